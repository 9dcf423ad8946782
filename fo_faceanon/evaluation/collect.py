"""What processes measured, pair by pair, gathered for the figures of the whole."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from fo_faceanon.evaluation.feature_sets import PairedFeatures
from fo_faceanon.evaluation.measure import Compared, Measured, Row

#: The recogniser whose vectors are the second feature space of the Fréchet distance.
SECOND_SPACE = "facenet-vggface2"


@dataclass(slots=True)
class Gathered:
    """All faces of the pictures on one side: the anonymized ones, or the floor's.

    Args:
        rows: one per face.
        before: per recogniser and pair ``F x D`` vectors of the originals.
        after: the same of the pictures.
        emotions: per pair ``F x 7`` probabilities before and after.
        whole: features of whole pictures.
        windows: features of the windows around faces.
        vectors: those of :data:`SECOND_SPACE`.
    """

    rows: list[Row] = field(default_factory=list)
    before: dict[str, list[np.ndarray]] = field(default_factory=dict)
    after: dict[str, list[np.ndarray]] = field(default_factory=dict)
    emotions: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    whole: PairedFeatures = field(default_factory=PairedFeatures)
    windows: PairedFeatures = field(default_factory=PairedFeatures)
    vectors: PairedFeatures = field(default_factory=PairedFeatures)

    def add(self, compared: Compared) -> None:
        """One more picture."""
        self.rows += compared.rows
        self.emotions.append(compared.emotions)
        for name, (before, after) in compared.vectors.items():
            self.before.setdefault(name, []).append(before)
            self.after.setdefault(name, []).append(after)
            if name == SECOND_SPACE:
                self.vectors.add(before, after)
        for features, pair in ((self.whole, compared.whole), (self.windows, compared.windows)):
            if pair is not None:
                features.add(*pair)

    def vectors_of(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """``N x D`` of originals and pictures by one recogniser."""
        return np.concatenate(self.before[name]), np.concatenate(self.after[name])

    def column(self, name: str) -> np.ndarray:
        """``N`` values of a figure; NaN where a face has none."""
        values = [row.get(name) for row in self.rows]
        return np.array([np.nan if value is None else float(value) for value in values])


@dataclass(slots=True)
class Collected:
    """Both sides, and which face of the first each face of the floor is."""

    anonymized: Gathered = field(default_factory=Gathered)
    floor: Gathered = field(default_factory=Gathered)
    floor_index: list[int] = field(default_factory=list)
    pictures: int = 0

    def add(self, measured: Measured) -> None:
        """One more pair."""
        self.pictures += 1
        if measured.floor is not None:
            self.floor_index.append(len(self.anonymized.rows))
            self.floor.add(measured.floor)
        self.anonymized.add(measured.anonymized)

    @property
    def clusters(self) -> np.ndarray:
        """``N`` numbers of the people where all are known, else of the pictures: what a bootstrap draws."""
        rows = self.anonymized.rows
        by = "person" if rows and all(row["person"] is not None for row in rows) else "key"
        return np.unique([str(row[by]) for row in rows], return_inverse=True)[1] if rows else np.zeros(0, int)
