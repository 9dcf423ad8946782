#!/usr/bin/env bash
# Gathers what a training left into at most seven files of 15 MiB: weights, losses, logs and each run's newest sheet.
#   bash scripts/gpu_collect.sh RUNS OUT
# Join them with: cat OUT/runs.tar.* | tar x
set -u
runs=$1 out=$2
mkdir -p "$out"
cd "$runs" || exit 1
files=$(ls -d ./*.log ./*/losses.csv ./*/config.json 2>/dev/null)
for name in landmark68 sparse7 mesh478; do # the 64 px runs are only a beginning: their weights stay
  files="$files $(ls "$name"/generator.* 2>/dev/null)"
done
for run in */; do
  files="$files $(ls "$run"sheet-*.png 2>/dev/null | tail -n 1)"
done
tar c $files | split -b 15M -d - "$out/runs.tar."
ls -la "$out"
tail -qn 1 ./*.log
