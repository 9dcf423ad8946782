"""Verification and identification scores of unit vectors, and how LFW's people are split."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np


def half_of(person: str) -> str:
    """``"A"`` (thresholds are calibrated on these people) or ``"B"`` (and applied to these), by a hash of the name."""
    return "AB"[hashlib.sha256(person.encode()).digest()[0] & 1]


def same_person(probes: Sequence[str], gallery: Sequence[str]) -> np.ndarray:
    """``P x G`` bool: which pairs are of one person."""
    return np.asarray(probes)[:, None] == np.asarray(gallery)[None]


def threshold_at(impostors: np.ndarray, far: float) -> float:
    """The score that a fraction ``far`` of impostor scores exceeds."""
    return float(np.quantile(impostors, 1 - far))


def area_under_curve(genuine: np.ndarray, impostors: np.ndarray) -> float:
    """The probability that a genuine pair scores higher than an impostor pair (ties count half)."""
    from scipy.stats import rankdata

    ranks = rankdata(np.concatenate([genuine, impostors]))[: len(genuine)]
    return float((ranks.mean() - (len(genuine) + 1) / 2) / len(impostors))


def across_photos(probes: np.ndarray, gallery: np.ndarray, people: Sequence[str], threshold: float) -> dict[str, float]:
    """What an attacker achieves who holds other photographs of the same people.

    Args:
        probes: ``N x D`` vectors of the pictures under attack.
        gallery: ``N x D`` vectors of the originals, in the same order.
        people: who is on each.
        threshold: cosine above which the attacker takes two for the same person.

    Returns:
        ``tar``: fraction of same-person pairs above the threshold, the picture's own original left out; ``far``: the same of
        different people; ``rank1``: fraction of pictures whose nearest original, its own left out, is of the same person;
        ``cosine``: mean over same-person pairs. A picture without a vector (NaN) is never recognised.
    """
    scores = np.nan_to_num(probes @ gallery.T, nan=-1.0)
    same = same_person(people, people)
    np.fill_diagonal(scores, -np.inf)
    others = ~np.eye(len(people), dtype=bool)
    genuine, impostors = scores[same & others], scores[~same]
    nearest = scores.argmax(1)
    return {
        "tar": float((genuine > threshold).mean()),
        "far": float((impostors > threshold).mean()),
        "rank1": float((same[np.arange(len(people)), nearest] & np.isfinite(probes).all(1)).mean()),
        "cosine": float(genuine.mean()),
        "pairs": int(genuine.size),
    }


def same_photo(anonymized: np.ndarray, originals: np.ndarray, threshold: float) -> dict[str, float]:
    """How like its own original each anonymized picture still is.

    Args:
        anonymized: ``N x D`` vectors; NaN rows are left out of ``cosine`` and count as not recognised.
        originals: ``N x D`` vectors, in the same order, one person each.
        threshold: cosine above which two count as the same person.

    Returns:
        ``cosine`` with its own original, ``impostor`` with the others (means), ``rank1``: fraction whose nearest original
        among all is its own, ``accepted``: fraction above the threshold, ``n``: pictures with a cosine.
    """
    scores = anonymized @ originals.T
    own = np.diag(scores)
    known = np.isfinite(own)
    others = scores[~np.eye(len(scores), dtype=bool)]
    return {
        "cosine": float(np.nanmean(own)),
        "impostor": float(np.nanmean(others)),
        "rank1": float((np.nan_to_num(scores, nan=-2.0).argmax(1) == np.arange(len(scores)))[known].sum() / len(scores)),
        "accepted": float((own > threshold).mean()),
        "n": int(known.sum()),
    }
