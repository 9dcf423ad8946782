"""Whether anonymized pictures look like photographs: distances between sets of features, gathered pair by pair."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from fo_faceanon.errors import InputError
from fo_faceanon.evaluation.figures import Figure
from fo_faceanon.metrics.realism import Distance, Moments, fid, kid

#: Pictures below which a distance between sets is withheld: with few it measures their number.
MIN_PICTURES = 50
#: Pictures whose features are kept, for KID and an exact FID; FID of larger sets comes from moments.
_KEPT = 5000
#: Features that moments are updated by at once.
_BLOCK = 256


class PairedFeatures:
    """Features of originals and of what was made of them, in the same order."""

    def __init__(self) -> None:
        self.count = 0
        self._rows: list[tuple[np.ndarray, np.ndarray]] = []
        self._moments: tuple[Moments, Moments] | None = None
        self._waiting: list[tuple[np.ndarray, np.ndarray]] = []

    def add(self, before: np.ndarray, after: np.ndarray) -> None:
        """``N x D`` more of both; pairs with a NaN on either side are left out."""
        known = np.isfinite(before).all(1) & np.isfinite(after).all(1)
        before, after = before[known], after[known]
        if not len(before):
            return
        if self.count < _KEPT:
            self._rows.append((before, after))
        self.count += len(before)
        self._waiting.append((before, after))
        if sum(len(rows) for rows, _ in self._waiting) >= _BLOCK and self.count > _KEPT:
            self._flush()

    def _flush(self) -> None:
        """Into the moments, which begin only where the rows do not do."""
        parts = [torch.from_numpy(np.concatenate(part)) for part in zip(*self._waiting, strict=True)]
        if self._moments is None:
            self._moments = Moments(parts[0].shape[1]), Moments(parts[0].shape[1])
        for moments, rows in zip(self._moments, parts, strict=True):
            moments.add(rows)
        self._waiting = []

    def fid(self) -> Distance:
        """Of what was made, to the originals.

        Raises:
            InputError: there are fewer than two.
        """
        if self.count <= _KEPT:
            return fid(*self._kept())
        if self._waiting:
            self._flush()
        assert self._moments is not None
        return self._moments[1].fid(self._moments[0])

    def kid(self) -> Distance:
        """Of the first 5,000."""
        return kid(*self._kept(), paired=True)

    def _kept(self) -> tuple[Tensor, Tensor]:
        if not self._rows:
            raise InputError("a distance between sets needs two pictures of each, but got none")
        before, after = (torch.from_numpy(np.concatenate(part)) for part in zip(*self._rows, strict=True))
        return after, before


def distance_figures(name: str, features: PairedFeatures, floor: PairedFeatures, withheld: str | None = None) -> dict[str, Figure]:
    """``fid...`` and ``kid...`` (times 1000, with its standard error's interval) of one region as figures.

    Args:
        name: what follows their names: nothing, or ``_face``.
        features: of the pictures.
        floor: of the originals re-encoded.
        withheld: why there is no value.
    """
    return {
        f"fid{name}": distance_figure(features, floor, PairedFeatures.fid, 1.0, withheld),
        f"kid{name}": distance_figure(features, floor, PairedFeatures.kid, 1000.0, withheld),
    }


def distance_figure(
    features: PairedFeatures,
    floor: PairedFeatures,
    distance: Callable[[PairedFeatures], Distance] = PairedFeatures.fid,
    scale: float = 1.0,
    withheld: str | None = None,
) -> Figure:
    """One distance between sets as a figure, beside the same of the floor."""
    if withheld is None and features.count < MIN_PICTURES:
        withheld = f"only {features.count} of them, and a distance between sets needs {MIN_PICTURES}"
    if withheld is not None:
        return Figure(None, features.count, withheld=withheld)
    found = distance(features)
    base = distance(floor).value * scale if floor.count >= MIN_PICTURES else None
    reach = None if found.standard_error is None else 1.96 * found.standard_error * scale
    value = found.value * scale
    low, high = (None, None) if reach is None else (value - reach, value + reach)
    return Figure(value, found.preds, low, high, floor=base, floor_n=floor.count if base is not None else 0)
