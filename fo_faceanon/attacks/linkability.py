"""Whether fakes lead to each other: of one person from different photographs, or from one photograph in two anonymized sets.

In the ``consistent`` identity mode the fakes of a person are meant to be alike; in the ``fresh`` mode they must not be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fo_faceanon.attacks.protocols import cosines
from fo_faceanon.attacks.rates import MIN_TRIALS, Rate
from fo_faceanon.judging.scores import area_under_curve, same_person

_SAMPLES = 500


def linked_photos(vectors: Mapping[str, np.ndarray], people: Sequence[str]) -> dict[str, Rate]:
    """Within one anonymized set: are two photographs of a person more alike than those of two people?

    Args:
        vectors: per recogniser ``N x D`` unit vectors.
        people: who is on each.

    Returns:
        Per recogniser the probability that a pair of one person is more alike than a pair of two (AUC): .5 is chance, 1 is linked.
    """
    same = same_person(people, people) & ~np.eye(len(people), dtype=bool)
    apart = ~same_person(people, people)
    return {name: _auc_rate(cosines(rows, rows), same, apart, people) for name, rows in vectors.items()}


def linked_sets(first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray], people: Sequence[str]) -> dict[str, dict[str, Rate]]:
    """Between two anonymized sets of the same faces (two seeds, two keys, two releases).

    Args:
        first: per recogniser ``N x D`` unit vectors.
        second: of the same faces in the same order.
        people: who is on each.

    Returns:
        Per recogniser ``same photo`` and ``other photo``: the probability that a face of the first set is more like that of the
        same photograph (of another photograph of the person) in the second than like another person's.
    """
    own = np.eye(len(people), dtype=bool)
    same = same_person(people, people)
    return {
        name: {
            "same photo": _auc_rate(cosines(first[name], second[name]), own, ~same, people),
            "other photo": _auc_rate(cosines(first[name], second[name]), same & ~own, ~same, people),
        }
        for name in first
        if name in second
    }


def _auc_rate(scores: np.ndarray, same: np.ndarray, apart: np.ndarray, people: Sequence[str]) -> Rate:
    """AUC over the pairs, its interval by resampling the people of the first of each pair."""
    finite = np.isfinite(scores)
    genuine, impostors = scores[same & finite], scores[apart & finite]
    names, index = np.unique(np.asarray(people, str), return_inverse=True)
    n = int(genuine.size)
    if n < MIN_TRIALS or impostors.size < MIN_TRIALS:
        reason = f"{n} pairs of one person and {impostors.size} of two are too few: at least {MIN_TRIALS} of each are needed"
        return Rate(None, n, len(names), chance=0.5, withheld=reason)
    ordered = np.sort(impostors)
    below = (np.searchsorted(ordered, genuine, "left") + np.searchsorted(ordered, genuine, "right")) / (2 * len(ordered))
    owner = np.repeat(index, (same & finite).sum(1))
    sums, counts = np.bincount(owner, below, len(names)), np.bincount(owner, minlength=len(names))
    drawn = np.random.default_rng(0).multinomial(len(names), np.full(len(names), 1 / len(names)), _SAMPLES)
    low, high = np.quantile((drawn @ sums) / np.maximum(drawn @ counts, 1), (0.025, 0.975))
    return Rate(area_under_curve(genuine, impostors), n, len(names), float(low), float(high), 0.5)
