"""Thresholds of the recognisers at given false-accept rates, set on people other than the attacked ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from fo_faceanon.attacks.folds import fold_numbers, some_of
from fo_faceanon.attacks.rates import FARS, MIN_IMPOSTORS
from fo_faceanon.judging.scores import same_person, threshold_at
from fo_faceanon.recognition.thresholds import THRESHOLDS

OURS = "LFW, half A (262,450 pairs)"
HERE = "these originals, other people than the attacked"


@dataclass(frozen=True, slots=True)
class Calibration:
    """Thresholds by false-accept rate, and what they stand on.

    Args:
        thresholds: cosine above which two faces count as one person; a rate without a threshold is missing here.
        source: which pictures they were set on.
        pairs: how many pairs of different people.
        withheld: by rate, why there is no threshold.
    """

    thresholds: dict[float, float]
    source: str
    pairs: int
    withheld: dict[float, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """For JSON, with rates as text."""
        values = asdict(self)
        return {**values, **{key: {f"{far:g}": v for far, v in values[key].items()} for key in ("thresholds", "withheld")}}


def default_calibration(recogniser: str) -> Calibration | None:
    """The package's own thresholds; None for a recogniser without any."""
    known = THRESHOLDS.get(recogniser)
    return Calibration(dict(zip(FARS, known, strict=True)), OURS, 262_450) if known else None


def calibrate(originals: np.ndarray, people: Sequence[str]) -> Calibration:
    """Thresholds from all pairs of different people.

    Args:
        originals: ``N x D`` unit vectors; rows with NaN are left out.
        people: who is on each.
    """
    known = np.isfinite(originals).all(1)
    vectors, names = originals[known], [name for name, there in zip(people, known, strict=True) if there]
    above = np.triu_indices(len(names), 1)
    scores = (vectors @ vectors.T)[above][~same_person(names, names)[above]]
    thresholds, withheld = {}, {}
    for far in FARS:
        if len(scores) >= MIN_IMPOSTORS[far]:
            thresholds[far] = threshold_at(scores, far)
        else:
            withheld[far] = f"{len(scores):,} pairs of different people outside the attacked ones, {MIN_IMPOSTORS[far]:,} are needed"
    return Calibration(thresholds, HERE, len(scores), withheld)


def calibrate_by_fold(originals: np.ndarray, people: Sequence[str]) -> list[Calibration]:
    """One calibration per part of the people, each set on the other parts: nobody is attacked with a threshold from own pictures."""
    part = fold_numbers(people)
    calibrations = []
    for number in range(int(part.max(initial=0)) + 1):
        rows = np.flatnonzero(part != number)
        calibrations.append(calibrate(originals[rows], some_of(people, rows)))
    return calibrations
