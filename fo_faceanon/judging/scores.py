"""Verification and identification scores of unit vectors; pure NumPy.

A probe without a vector (a row of NaN) is never recognised and never left out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from fo_faceanon.metrics.privacy import accept_rate, impostor_scores, nearest_is_own, own_cosines

__all__ = [
    "accept_rate",
    "across_photos",
    "area_under_curve",
    "half_of",
    "impostor_scores",
    "nearest_is_own",
    "own_cosines",
    "rank_rate",
    "same_person",
    "same_photo",
    "threshold_at",
]


def half_of(person: str) -> str:
    """``"A"`` (thresholds are calibrated on these people) or ``"B"`` (and applied to these), by a hash of the name."""
    return "AB"[hashlib.sha256(person.encode("utf-8", "surrogateescape")).digest()[0] & 1]


def same_person(probes: Sequence[str | None], gallery: Sequence[str | None]) -> np.ndarray:
    """``P x G`` bool: which pairs are of one person; somebody unknown is like nobody."""
    a, b = np.asarray(probes, object), np.asarray(gallery, object)
    return (a[:, None] == b[None]) & np.array([name is not None for name in a], bool)[:, None]


def threshold_at(impostors: np.ndarray, far: float) -> float:
    """The score that a fraction ``far`` of impostor scores exceeds."""
    return float(np.quantile(impostors, 1 - far))


def area_under_curve(genuine: np.ndarray, impostors: np.ndarray) -> float:
    """The probability that a genuine pair scores higher than an impostor pair (ties count half); NaN where one is empty."""
    if not (genuine.size and impostors.size):
        return float("nan")
    ordered = np.sort(impostors)
    below = np.searchsorted(ordered, genuine, "left") + np.searchsorted(ordered, genuine, "right")
    return float(below.mean() / (2 * len(ordered)))


def rank_rate(scores: np.ndarray, same: np.ndarray, k: int = 1) -> float:
    """The fraction of probes with one of the same person among their ``k`` most alike.

    Args:
        scores: ``P x G``; NaN and -inf are never among them. A tie goes against the attacker.
        same: ``P x G`` bool.
        k: how many the attacker may name.
    """
    clean = _low_where_nan(scores)
    best = np.where(same, clean, -np.inf).max(1)
    others = np.where(same, -np.inf, clean)
    better = (others >= best[:, None]).sum(1)
    return float(((better < k) & np.isfinite(best)).mean())


def across_photos(
    probes: np.ndarray,
    gallery: np.ndarray,
    people: Sequence[str],
    threshold: float,
    ranks: Sequence[int] = (1, 5, 10),
    own: np.ndarray | None = None,
) -> dict[str, float]:
    """What an attacker achieves who holds other photographs of the same people.

    Args:
        probes: ``N x D`` vectors of the faces under attack.
        gallery: ``N x D`` vectors of the originals, in the same order.
        people: who each is.
        threshold: cosine above which the attacker takes two for the same person.
        ranks: how many people the attacker may name.
        own: ``N`` numbers of pictures: those with a probe's number are no evidence. By default only its own original is none.

    Returns:
        ``tar``: fraction of same-person pairs above the threshold; ``far``: the same of different people; ``rank1``, ...: fraction of
        probes with the same person among the nearest originals; ``cosine``: mean over same-person pairs; ``auc``; ``pairs`` (same
        person) and ``probes``, those that had another photograph of their person to be found by. NaN where there are none.
    """
    scores, same = probes @ gallery.T, same_person(people, people)
    picture = np.arange(len(people)) if own is None else own
    allowed = picture[:, None] != picture[None]
    genuine, impostors = scores[same & allowed], scores[~same & allowed]
    able = (same & allowed).any(1)
    seen = np.where(allowed, scores, -np.inf)[able]
    known = np.isfinite(genuine)
    return {
        "tar": accept_rate(genuine, threshold),
        "far": accept_rate(impostors, threshold),
        **{f"rank{k}": rank_rate(seen, same[able], k) if able.any() else float("nan") for k in ranks},
        "cosine": float(genuine[known].mean()) if known.any() else float("nan"),
        "auc": area_under_curve(np.nan_to_num(genuine, nan=-1.0), np.nan_to_num(impostors, nan=-1.0)),
        "pairs": int(genuine.size),
        "probes": int(able.sum()),
    }


def _low_where_nan(scores: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(scores), -np.inf, scores)


def same_photo(anonymized: np.ndarray, originals: np.ndarray, threshold: float) -> dict[str, float]:
    """How like its own original each anonymized face still is.

    Args:
        anonymized: ``N x D`` vectors; NaN rows are left out of ``cosine`` and count as not recognised.
        originals: ``N x D`` vectors, in the same order, one person each.
        threshold: cosine above which two count as the same person.

    Returns:
        ``cosine`` with its own original, ``impostor`` with the others (means), ``rank1``: fraction whose nearest original
        among all is its own, ``accepted``: fraction above the threshold, ``n``: faces with a cosine.
    """
    own = own_cosines(anonymized, originals)
    known, others = np.isfinite(own), impostor_scores(anonymized, originals)
    return {
        "cosine": float(own[known].mean()) if known.any() else float("nan"),
        "impostor": float(others.mean()) if others.size else float("nan"),
        "rank1": float(nearest_is_own(anonymized, originals).mean()) if len(own) else float("nan"),
        "accepted": accept_rate(own, threshold),
        "n": int(known.sum()),
    }
