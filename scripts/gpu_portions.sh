#!/usr/bin/env bash
# Sorts shards into portions that can be sent one after the other: bash scripts/gpu_portions.sh SHARDS OUT [MEGABYTES]
# Makes OUT/0, OUT/1, ... of hard links (copies, on another disk), each of at most that many MB (default 56).
set -eu
shards=$1 out=$2 limit=$((${3:-56} * 1000000))
portion=0 filled=0
mkdir -p "$out/0"
for shard in "$shards"/*.npz; do
  bytes=$(stat -c %s "$shard")
  if [ "$filled" -gt 0 ] && [ $((filled + bytes)) -gt "$limit" ]; then
    portion=$((portion + 1)) filled=0
    mkdir -p "$out/$portion"
  fi
  ln -f "$shard" "$out/$portion/" 2>/dev/null || cp "$shard" "$out/$portion/"
  filled=$((filled + bytes))
done
du -sh "$out"/*
