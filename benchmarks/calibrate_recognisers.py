"""Thresholds of the recognisers: false-accept rates on one half of LFW's people, true-accept rates on the other.

    python benchmarks/calibrate_recognisers.py --cache CACHE --out benchmarks/results/recognisers.json

The thresholds go into ``fo_faceanon/recognition/thresholds.py`` by hand, with the date of the run.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from embedding import judge_set, recognisers
from scores import area_under_curve, half_of, same_person, threshold_at
from sources import read_tar

FARS = (1e-3, 1e-2)


def pair_scores(vectors: np.ndarray, people: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Cosines of all same-person pairs, and of all others; pictures without a face (NaN) are left out."""
    known = np.isfinite(vectors).all(1)
    vectors, people = vectors[known], [p for p, k in zip(people, known, strict=True) if k]
    above = np.triu_indices(len(people), 1)
    scores, same = (vectors @ vectors.T)[above], same_person(people, people)[above]
    return scores[same], scores[~same]


def calibrate(vectors: np.ndarray, people: list[str]) -> dict[str, float]:
    """Thresholds on half A, and what they give on half B."""
    halves = {h: [i for i, person in enumerate(people) if half_of(person) == h] for h in "AB"}
    (gen_a, imp_a), (gen_b, imp_b) = (pair_scores(vectors[rows], [people[i] for i in rows]) for rows in halves.values())
    row: dict[str, float] = {"auc_b": area_under_curve(gen_b, imp_b), "genuine_b": float(gen_b.mean()), "impostor_b": float(imp_b.mean())}
    row |= {"pairs_a": len(gen_a) + len(imp_a), "genuine_pairs_b": len(gen_b), "impostor_pairs_b": len(imp_b)}
    for far in FARS:
        threshold = threshold_at(imp_a, far)
        row |= {f"threshold@{far}": threshold, f"tar_b@{far}": float((gen_b > threshold).mean())}
        row[f"far_b@{far}"] = float((imp_b > threshold).mean())
    return row


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    pictures = read_tar("lfw")
    people = [name.split("/")[0] for name in pictures]
    result = {}
    for network in recognisers():
        judged = judge_set(list(pictures.values()), [network], args.cache)
        result[network.name] = calibrate(judged.vectors[network.name], people)
        print(network.name, json.dumps(result[network.name]), flush=True)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
