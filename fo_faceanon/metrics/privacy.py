"""How alike identities still are: cosines of unit identity vectors, and what an attacker with the originals makes of them; pure NumPy.

A face without a vector (a row of NaN) is never recognised and never left out of a share.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

#: Faces compared with the whole gallery at once: bounds memory.
_ROWS = 2048
#: Pairs multiplied at once.
_PAIRS = 65536


def own_cosines(anonymized: np.ndarray, originals: np.ndarray) -> np.ndarray:
    """``N`` cosines of each face with its own original, of ``N x D`` unit vectors each; NaN where one has no vector."""
    return np.einsum("nd,nd->n", anonymized, originals)


def accept_rate(scores: np.ndarray, threshold: float) -> float:
    """The fraction of scores above a threshold: TAR of genuine pairs, FAR of impostors. NaN scores count as below; NaN of none."""
    return float((scores > threshold).mean()) if scores.size else float("nan")


def impostor_scores(
    probes: np.ndarray, gallery: np.ndarray, people: Sequence[str | None] | None = None, most: int = 1_000_000, seed: int = 0
) -> np.ndarray:
    """Scores of probe ``i`` with gallery ``j`` for ``i != j``, and of different people where those are known.

    Args:
        probes: ``N x D``.
        gallery: ``N x D``.
        people: who each is, None for unknown.
        most: all pairs where there are no more, else so many, drawn at random.
        seed: of the draw.
    """
    i, j = _pairs_of(len(probes), most, seed)
    if people is not None:
        names = np.unique([f"={name}" if name is not None else f"#{row}" for row, name in enumerate(people)], return_inverse=True)[1]
        apart = names[i] != names[j]
        i, j = i[apart], j[apart]
    parts = [np.einsum("nd,nd->n", probes[i[s : s + _PAIRS]], gallery[j[s : s + _PAIRS]]) for s in range(0, len(i), _PAIRS)]
    scores = np.concatenate(parts) if parts else np.zeros(0, np.float32)
    return scores[np.isfinite(scores)]


def _pairs_of(n: int, most: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of two different faces each."""
    if n * (n - 1) <= most:
        i, j = np.nonzero(~np.eye(n, dtype=bool))
        return i, j
    random = np.random.default_rng(seed)
    i, j = random.integers(n, size=most), random.integers(n - 1, size=most)
    return i, j + (j >= i)


def nearest_is_own(probes: np.ndarray, originals: np.ndarray, own: np.ndarray | None = None) -> np.ndarray:
    """``P`` bool: whether of all originals a face's own is the most alike; false without a vector, and for a tie.

    Args:
        probes: ``P x D``.
        originals: ``N x D``.
        own: ``P`` row numbers of the probes' originals; by default they are in the same order.
    """
    rows = np.arange(len(probes)) if own is None else own
    hits = np.zeros(len(probes), bool)
    for start, scores in _blocks(probes, originals):
        block, mine = np.arange(len(scores)), rows[start : start + len(scores)]
        best = scores[block, mine].copy()
        scores[block, mine] = -np.inf
        hits[start : start + len(scores)] = best > np.where(np.isnan(scores), -np.inf, scores).max(1)
    return hits


def _blocks(probes: np.ndarray, gallery: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    for start in range(0, len(probes), _ROWS):
        yield start, probes[start : start + _ROWS] @ gallery.T
