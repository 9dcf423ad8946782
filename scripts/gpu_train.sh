#!/usr/bin/env bash
# Trains the three generators side by side on one GPU, in the time given. Needs python3 with torch and numpy; start it from a checkout:
#   setsid nohup bash scripts/gpu_train.sh SHARDS RUNS MINUTES [FACES [OPTIONS]] > RUNS.log 2>&1 &
# FACES is how many landmark68 will be shown at 128 px (the weights of feature matching and pixel loss fall until then): what
# gpu_smoke.sh measured, times the seconds of its part, times 0.5, since two trainings share the GPU. OPTIONS: --compile.
# landmark68 has the GPU's attention all the time: a quarter of it at 64 px, the rest at 128 px. sparse7 is trained the same way
# beside it for half the time, so that the two can be compared at equal numbers of faces shown; then mesh478 takes its place.
set -u
shards=$1 runs=$2 minutes=$3 faces=${4:-1000000} options=${5:-}
mkdir -p "$runs"
train() { # NAME CONFIG MINUTES [options...]
  local name=$1 config=$2 time=$3
  shift 3
  python3 -u -m fo_faceanon.training.train_generator --config "$config" --data "$shards" --out "$runs/$name" \
    --minutes "$time" --save-minutes 2 $options "$@" > "$runs/$name.log" 2>&1
}
part() { python3 -c "print($minutes * $1)"; }
small() { # half the size, twice the widths: what growing expects
  echo --set size=64 --set network.width=80 --set discriminator_width=128
}
(
  train landmark68-64 landmark68 "$(part 0.25)" $(small) --set total_images=4000000
  train landmark68 landmark68 "$(part 0.72)" --grow-from "$runs/landmark68-64" --set "total_images=$faces"
) &
(
  train sparse7-64 sparse7 "$(part 0.14)" $(small) --set total_images=4000000
  train sparse7 sparse7 "$(part 0.42)" --grow-from "$runs/sparse7-64" --set "total_images=$faces"
  train mesh478 mesh478 "$(part 0.40)"
) &
wait
echo done
