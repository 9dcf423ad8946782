"""``donor``: a face of nobody, chosen for likeness in all but identity, bent to the target's landmarks (after Bitouk et al. 2008)."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from fo_faceanon.anonymizers.base import Generated, replacement_alpha
from fo_faceanon.donors.bank import load_bank
from fo_faceanon.donors.describe import Description
from fo_faceanon.donors.select import MAX_COST, DonorIndex
from fo_faceanon.donors.shape import ExplainedShape, blend_shapes
from fo_faceanon.donors.warp import warp_donors
from fo_faceanon.errors import InputError
from fo_faceanon.faces import CropBatch
from fo_faceanon.photometry.correct import Photometry, correct
from fo_faceanon.photometry.grain import match_grain
from fo_faceanon.photometry.skin import face_masks, face_size
from fo_faceanon.weights import sha256_of

#: Where across photographs an attacker gains nothing over a solid fill: see benchmarks/results.
PHOTOMETRY = Photometry(light="harmonics")


class Donor:
    """One donor per face.

    Args:
        device: where everything runs.
        bank: folder of another donor bank; None for the one in the package.
        shape: 0 keeps the target's landmarks exactly, 1 takes the donor's own face shape. Shape is identity.
        light: how light is handed over: ``lowpass``, ``intrinsic``, ``harmonics`` or ``none``. Light is identity too.
        light_strength: in ``[0, 1]``.
        bandwidth: the finest light that is handed over, as a fraction of the face; smaller is finer and costs privacy.
        pyramid: strength of the Laplacian blend of the paper, in ``[0, 1]``.
        colour_strength: strength of the Cb, Cr transfer, in ``[0, 1]``.

    Raises:
        InputError: a dial is out of range.
        WeightsError: the bank is missing.
    """

    name = "donor"
    uses_landmarks = True
    describes = True
    DIALS: tuple[str, ...] = ("bank", "shape", "light", "light_strength", "bandwidth", "pyramid", "colour_strength")
    COUNT = 1

    def __init__(self, device: str = "cpu", bank: str | None = None, shape: float = 0.6, **photometry: object) -> None:
        if not 0 <= shape <= 1:
            raise InputError(f"shape must be in [0, 1], but got {shape}")
        self.shape = float(shape)
        self.photometry = replace(PHOTOMETRY, **photometry)  # type: ignore[arg-type]
        self.bank = load_bank(bank, str(device))
        self.index = DonorIndex(self.bank)
        self._explained = ExplainedShape(self.bank.description)
        self.model_sha256 = sha256_of(self.bank.index_path)

    @torch.inference_mode()
    def __call__(self, batch: CropBatch, description: Description | None, exclude: list[set[int]]) -> Generated:
        if description is None:
            raise InputError(f"method {self.name!r} needs the faces described")
        rows, cost = self.index.pick(description, batch.seeds, self.COUNT, exclude, batch.persons, batch.failed)
        pixels = self.render(batch, description, rows)
        problems = [None if value < MAX_COST else "no donor is like enough" for value in cost.tolist()]
        return Generated(pixels, replacement_alpha(batch), problems, [set(row) for row in rows.tolist()])

    def render(self, batch: CropBatch, description: Description, rows: Tensor) -> Tensor:
        """``B x 3 x S x S``: the donors of ``B x K`` rows in the faces' shape, light and grain, not yet blended in."""
        pixels = self._texture(batch, rows, self._explained(description))
        side = batch.pixels.shape[-1]
        masks = face_masks(batch.landmarks, side, side)
        pixels = correct(pixels, batch.pixels, masks.hull, masks.skin, face_size(batch.landmarks), self.photometry, batch.landmarks)
        return match_grain(pixels, batch.pixels, masks.skin, batch.seeds)

    def _texture(self, batch: CropBatch, rows: Tensor, explained: Tensor) -> Tensor:
        """The mean of the donors' pictures, each bent to one common shape; ``explained`` is that of the targets."""
        side = batch.pixels.shape[-1]
        landmarks = self.bank.landmarks[rows]
        shapes = []
        for k in range(rows.shape[1]):
            difference = self._explained(self.bank.description[rows[:, k]]) - explained
            shapes.append(blend_shapes(batch.landmarks, landmarks[:, k], self.shape, difference))
        shape = torch.stack(shapes, 1).mean(1)
        warped = [warp_donors(self.bank.pictures(rows[:, k]), landmarks[:, k], shape, side) for k in range(rows.shape[1])]
        return torch.stack(warped).mean(0)
