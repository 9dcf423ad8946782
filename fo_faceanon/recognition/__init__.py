"""Face recognisers: one guides the choice of a donor, the others judge what an attacker would see.

recogniser = create_recogniser("arcface-w600k-mbf", device="cuda")
vectors = embed_images(recogniser, images, landmarks)       # N x D, NaN where there is no face
same = vectors @ vectors.T > recogniser.threshold
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from fo_faceanon.recognition.recognisers import NetworkRecogniser, recogniser_names, recogniser_spec
from fo_faceanon.recognition.thresholds import THRESHOLDS
from fo_faceanon.recognition.windows import crops_of

__all__ = ["Recogniser", "available_recognisers", "create_recogniser", "crops_of", "embed_images", "recogniser_names"]


class Recogniser(Protocol):
    """Turns faces into unit vectors whose inner product says how alike two identities are."""

    name: str
    licence: str
    size: int
    dim: int
    guide_allowed: bool
    threshold: float

    def embed(self, crops: Tensor, landmarks: Tensor) -> Tensor:
        """``B x dim`` unit vectors of ``B x 3 x S x S`` crops with ``B x 68 x 2`` landmarks; NaN where landmarks are NaN."""
        ...


def create_recogniser(name: str, device: str | torch.device = "cpu") -> Recogniser:
    """The recogniser called ``name``, loaded.

    Raises:
        InputError: there is no such recogniser.
        WeightsError: its weights are missing or altered; the message holds the command that helps.
    """
    from fo_faceanon.weights import require_weight

    spec, target = recogniser_spec(name), torch.device(device)
    network = spec.load(require_weight(spec.weight or spec.name, spec.file), target)
    return NetworkRecogniser(spec, network, THRESHOLDS[name][0], target)


def available_recognisers() -> list[str]:
    """Names of the recognisers whose weights are here."""
    from fo_faceanon.weights import find_weight

    specs = [recogniser_spec(name) for name in recogniser_names()]
    return [spec.name for spec in specs if find_weight(spec.weight or spec.name, spec.file) is not None]


def embed_images(recogniser: Recogniser, images: Sequence[np.ndarray], landmarks: Sequence[np.ndarray | None]) -> Tensor:
    """``N x dim`` unit vectors on the CPU of one face per image (see :func:`crops_of`); NaN where there are no landmarks."""
    vectors = torch.full((len(images), recogniser.dim), torch.nan)
    for indices, crops, points in crops_of(images, landmarks):
        vectors[indices] = recogniser.embed(crops, points).cpu()
    return vectors
