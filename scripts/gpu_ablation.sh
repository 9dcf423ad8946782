#!/usr/bin/env bash
# Trains landmark68 once per choice, each changed alone, with equal numbers of faces shown: bash scripts/gpu_ablation.sh SHARDS RUNS FACES
# At 64 px, where a run takes minutes. Afterwards: fo-faceanon train import each, then benchmarks/train_compare.py.
set -u
shards=$1 runs=$2 faces=$3
mkdir -p "$runs"
try() { # NAME [changes...]
  local name=$1
  shift
  python3 -u -m fo_faceanon.training.train_generator --config landmark68 --data "$shards" --out "$runs/$name" --images "$faces" \
    --set size=64 --set network.width=48 --set "total_images=$faces" "$@" > "$runs/$name.log" 2>&1
  echo "$name: $(tail -n 1 "$runs/$name.log" | cut -c 1-200)"
}
try base
try box --set hull=false
try plain_convolutions --set network.gated=false
try no_augmentation --set augment=false
try no_matching --set matching=0 --set matching_end=0
try no_pixel_loss --set pixel=0 --set pixel_end=0
try narrow_never --set narrow=0
try half_width --set network.width=24
try strong_penalty --set gamma=1
try seven_points --set network.points=7
