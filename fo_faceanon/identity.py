"""Whether a made face is still recognised as its original."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fo_faceanon.donors.describe import Description
from fo_faceanon.donors.guides import likeness, load_guides
from fo_faceanon.faces import CropBatch
from fo_faceanon.recognition import Recogniser, available_recognisers, create_recogniser
from fo_faceanon.recognition.thresholds import THRESHOLDS

#: A second recogniser, where one was fetched: the first of these. It never guides the choice of donors.
_SECOND = ("edgeface-s", "mobilefacenet", "facenet-vggface2", "facenet-casia", "arcface-w600k-mbf")


@dataclass(frozen=True, slots=True)
class Verdict:
    """How alike a result and its original are.

    ``similarity``: the cosine closest to (or furthest above) its recogniser's threshold. ``likeness``: what the recognisers that also
    guide the choice of donors say together (:func:`~fo_faceanon.donors.guides.likeness`). ``reidentified``: any was above its threshold.
    """

    similarity: float
    likeness: float
    reidentified: bool
    recognisers: tuple[str, ...]


class IdentityCheck:
    """Compares originals and results with dlib's recogniser and, where it was fetched, an independent second one.

    Args:
        device: where they run.
    """

    def __init__(self, device: str = "cpu") -> None:
        self._guides = load_guides(str(device))
        there = available_recognisers()
        names = [name for name in _SECOND if name in there][:1]
        self._judges: list[Recogniser] = [create_recogniser(name, device=device) for name in names]

    def __call__(self, batch: CropBatch, blended: Tensor, description: Description | None) -> list[Verdict | None]:
        """A verdict per face; None for faces without landmarks, which no recogniser can align."""
        made, landmarks = batch.reduce(blended), batch.reduced_landmarks
        known = (~batch.landmarks.isnan().any(-1).any(-1)).tolist()
        identity, resemblance = self._guides.embed(made, landmarks)
        if description is None:
            originals = self._guides.embed(batch.reduce(batch.pixels), landmarks)
        else:
            originals = description.identity, description.resemblance
        by_dlib, by_ours = (originals[0] * identity).sum(1), (originals[1] * resemblance).sum(1)
        values, margins, names = [by_dlib], [by_dlib - THRESHOLDS["dlib"][0]], ["dlib"]
        for judge in self._judges:
            similarity = (judge.embed(batch.reduce(batch.pixels), landmarks) * judge.embed(made, landmarks)).sum(1)
            values.append(similarity)
            margins.append(similarity - judge.threshold)
            names.append(judge.name)
        margin, worst = torch.stack(margins).max(0)
        value = torch.stack(values).gather(0, worst[None])[0]
        rows = zip(value.tolist(), likeness(by_dlib, by_ours).tolist(), margin.tolist(), known, strict=True)
        return [Verdict(round(v, 4), round(alike, 4), m > 0, tuple(names)) if there else None for v, alike, m, there in rows]
