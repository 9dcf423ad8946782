"""``landmark68`` and ``sparse7``: a face drawn by a network that sees the surroundings, landmarks and noise, but no pixel of the face."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import torch
from torch import Tensor

from fo_faceanon.anonymizers.base import Generated, replacement_alpha
from fo_faceanon.anonymizers.generator import DIALS, PAPER, finish, half_precision, hide, load, place
from fo_faceanon.donors.describe import Description
from fo_faceanon.errors import WeightsError
from fo_faceanon.faces import CropBatch, apply_affine
from fo_faceanon.landmarks.canonical import canonical_frame
from fo_faceanon.landmarks.drawing import sparse7
from fo_faceanon.networks.inpainting import InpaintingGenerator
from fo_faceanon.weights import sha256_of


class Landmark68:
    """Conditional inpainting with 68 landmarks and the paper's photometric correction (Celona et al. 2025).

    Args:
        device: where everything runs.
        weights: a trained generator's file; None for the released one.
        light: how light is handed over: ``intrinsic``, ``lowpass``, ``harmonics`` or ``none``. Light is identity too.
        light_strength: in ``[0, 1]``.
        bandwidth: the finest light that is handed over, as a fraction of the face; the paper does not limit it.
        pyramid: strength of the Laplacian blend, in ``[0, 1]``.
        colour_strength: strength of the Cb, Cr transfer, in ``[0, 1]``.

    Raises:
        InputError: a dial is out of range.
        WeightsError: the weights are missing, damaged or another method's.
    """

    name = "landmark68"
    uses_landmarks = True
    describes = False
    DIALS = DIALS
    POINTS = 68

    def __init__(self, device: str = "cpu", weights: str | None = None, **photometry: object) -> None:
        self.photometry = replace(PAPER, **photometry)  # type: ignore[arg-type]
        network, path = load(self.name, weights, InpaintingGenerator, device)
        self.network = cast(InpaintingGenerator, network)
        if self.network.config.points != self.POINTS:
            raise WeightsError(f"{path} is for {self.network.config.points} points, but method {self.name!r} gives {self.POINTS}")
        self.model_sha256 = sha256_of(path)

    @torch.inference_mode()
    def __call__(self, batch: CropBatch, description: Description | None, exclude: list[set[int]]) -> Generated:
        alpha = replacement_alpha(batch)
        frame = canonical_frame(batch.landmarks, self.network.config.size)
        made = place(self.draw(batch, alpha, frame), frame, batch.pixels.shape[-1])
        pixels = finish(made.clamp(0, 1), batch, self.photometry)
        return Generated(pixels, alpha, [None] * len(batch), [set() for _ in range(len(batch))])

    def draw(self, batch: CropBatch, alpha: Tensor, frame: Tensor) -> Tensor:
        """Canonical crops with new faces, ``B x 3 x size x size`` in ``[0, 1]``; pixels where ``alpha`` is above 0 are not read."""
        picture, hidden = hide(batch, alpha, frame, self.network.config.size)
        points = self._points(apply_affine(frame, batch.landmarks))
        noise = torch.stack([self._noise(seed, person) for seed, person in zip(batch.seeds, batch.persons, strict=True)])
        with half_precision(picture):
            made = self.network(picture, hidden, points, noise.to(picture))
        return (made.float() + 1) / 2

    def _points(self, landmarks: Tensor) -> Tensor:
        return landmarks

    def _noise(self, seed: int, person: str | None) -> Tensor:
        """A person's noise is the same wherever the person appears; everybody else's is the face's own."""
        number = seed if person is None else int(person[:15], 16)
        return torch.randn(self.network.config.noise, generator=torch.Generator().manual_seed(number))


class Sparse7(Landmark68):
    """The paper's baseline: seven points in place of 68 (DeepPrivacy, Hukkelås et al. 2019). Arguments as :class:`Landmark68`."""

    name = "sparse7"
    POINTS = 7

    def _points(self, landmarks: Tensor) -> Tensor:
        return sparse7(landmarks)
