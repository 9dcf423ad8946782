"""People split into parts by a hash: what an attack learns from some is used on others only."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np

#: Parts that people are split into; each is attacked with what was learnt from the others.
FOLDS = 4


def fold_numbers(people: Iterable[str], folds: int = FOLDS) -> np.ndarray:
    """The part, ``0 .. folds - 1``, of each row's person: all of a person's rows in one part, parts of equal size in people."""
    rows = list(people)
    ordered = sorted(set(rows), key=lambda name: hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest())
    part = {name: i % folds for i, name in enumerate(ordered)}
    return np.array([part[name] for name in rows], int)


def photos_of(people: Sequence[str]) -> dict[str, int]:
    """How many rows each person has."""
    names, counts = np.unique(np.asarray(people, str), return_counts=True)
    return dict(zip(names.tolist(), counts.tolist(), strict=True))


def some_of(people: Sequence[str], rows: np.ndarray) -> list[str]:
    """The people of some rows."""
    return [people[i] for i in rows.tolist()]
