"""Whether a made face is still recognised as its original."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fo_faceanon.donors.describe import Description
from fo_faceanon.faces import CropBatch
from fo_faceanon.recognition import Recogniser, available_recognisers, create_recogniser

#: A second recogniser, where one was fetched: the first of these. It never guides the choice of donors.
_SECOND = ("edgeface-s", "mobilefacenet", "facenet-vggface2", "facenet-casia", "arcface-w600k-mbf")


@dataclass(frozen=True, slots=True)
class Verdict:
    """How alike a result and its original are.

    ``similarity``: the cosine closest to (or furthest above) its recogniser's threshold. ``guide``: the cosine of the
    recogniser that also guides the choice of donors. ``reidentified``: any was above its threshold.
    """

    similarity: float
    guide: float
    reidentified: bool
    recognisers: tuple[str, ...]


class IdentityCheck:
    """Compares originals and results with dlib's recogniser and, where it was fetched, an independent second one.

    Args:
        device: where they run.
    """

    def __init__(self, device: str = "cpu") -> None:
        there = available_recognisers()
        names = ["dlib", *[name for name in _SECOND if name in there][:1]]
        self.recognisers: list[Recogniser] = [create_recogniser(name, device=device) for name in names]

    def __call__(self, batch: CropBatch, blended: Tensor, description: Description | None) -> list[Verdict | None]:
        """A verdict per face; None for faces without landmarks, which no recogniser can align."""
        made, landmarks = batch.reduce(blended), batch.reduced_landmarks
        known = (~batch.landmarks.isnan().any(-1).any(-1)).tolist()
        margins, values = [], []
        for recogniser in self.recognisers:
            original = self._original(recogniser, batch, description)
            similarity = (original * recogniser.embed(made, landmarks)).sum(1)
            values.append(similarity)
            margins.append(similarity - recogniser.threshold)
        margin, worst = torch.stack(margins).max(0)
        value = torch.stack(values).gather(0, worst[None])[0]
        names = tuple(recogniser.name for recogniser in self.recognisers)
        pairs = zip(value.tolist(), values[0].tolist(), margin.tolist(), known, strict=True)
        return [Verdict(round(v, 4), round(g, 4), m > 0, names) if there else None for v, g, m, there in pairs]

    @staticmethod
    def _original(recogniser: Recogniser, batch: CropBatch, description: Description | None) -> Tensor:
        if recogniser.name == "dlib" and description is not None:
            return description.identity  # the guide is the same network: computed once
        return recogniser.embed(batch.reduce(batch.pixels), batch.reduced_landmarks)
