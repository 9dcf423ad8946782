#!/usr/bin/env bash
# Three minutes that tell whether training works on this machine, and how fast: bash scripts/gpu_smoke.sh SHARDS
# The last line of each run's log is printed: its images_per_second is what counts. Compiled code is kept for later runs.
set -u
shards=$1
out=$(mktemp -d)
python3 -c "import torch; print(torch.__version__, torch.cuda.get_device_name() if torch.cuda.is_available() else 'no GPU')"
smoke() { # LABEL CONFIG [options...]
  local label=$1 config=$2 begin=$SECONDS
  shift 2
  python3 -u -m fo_faceanon.training.train_generator --config "$config" --data "$shards" --out "$out/$label" --images 5120 \
    --log-steps 20 "$@" > "$out/$label.log" 2>&1
  echo "$label, $((SECONDS - begin)) s in all: $(tail -n 1 "$out/$label.log" | cut -c 1-200)"
}
smoke landmark68 landmark68
smoke landmark68-64 landmark68 --set size=64 --set network.width=80 --set discriminator_width=128
smoke sparse7 sparse7
smoke mesh478 mesh478 --set batch=64
smoke landmark68-compiled landmark68 --compile
python3 - "$shards" << 'P' 2>&1 | tail -n 3
import sys
from pathlib import Path

import torch

from fo_faceanon.training.batches import Sampler
from fo_faceanon.training.config import load_config
from fo_faceanon.training.gan import Trainer
from fo_faceanon.training.packed import read_faces

if torch.cuda.is_available():
    faces = read_faces(Path(sys.argv[1]), device="cuda")
    trainer, sampler = Trainer(load_config("landmark68"), faces.pictures.shape[-1], torch.device("cuda"), half=True), Sampler(faces, {}, 0)
    for _ in range(17):  # both kinds of step, and whatever is only done once
        trainer.step(sampler)
    torch.cuda.set_sync_debug_mode("error")
    for _ in range(17):
        trainer.step(sampler)
    print("no step waits for the GPU")
P
