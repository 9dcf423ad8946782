#!/usr/bin/env bash
# Two minutes that tell whether training works on this machine, and how fast: bash scripts/gpu_smoke.sh SHARDS
# Prints faces per second of each method, plain and compiled; 1000 faces warm up, the last line of each log counts.
set -u
shards=$1
out=$(mktemp -d)
python3 -c "import torch; print(torch.__version__, torch.cuda.get_device_name() if torch.cuda.is_available() else 'no GPU')"
for method in landmark68 sparse7 mesh478; do
  for option in "" --compile; do
    log="$out/$method$option.log"
    python3 -u -m fo_faceanon.training.train_generator --config "$method" --data "$shards" --out "$out/$method$option" \
      --minutes 0.4 --log-steps 20 $option > "$log" 2>&1
    echo "$method $option: $(tail -n 1 "$log" | cut -c 1-160)"
  done
done
