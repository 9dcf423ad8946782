"""The classical operations (Celona et al. 2025, Fig. 1): their strength is relative to the face, never in pixels."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.nn import functional as F

from fo_faceanon.anonymizers.base import Generated, face_widths, replacement_alpha
from fo_faceanon.donors.describe import Description
from fo_faceanon.errors import InputError
from fo_faceanon.faces import CropBatch

#: Side of the square grid that a face is reduced to before anything is drawn from it, at strength 1.
_BLOCKS = 6.0


class _Obfuscation(ABC):
    """Common to the four: alpha, and the checked strength."""

    uses_landmarks = False
    describes = False
    model_sha256 = None
    DIALS: tuple[str, ...] = ("strength",)

    def __init__(self, device: str = "cpu", strength: float = 1.0) -> None:
        if not 0.5 <= strength <= 4:
            raise InputError(f"strength must be in [0.5, 4], but got {strength}: below, a face stays recognisable")
        self.strength = float(strength)

    def __call__(self, batch: CropBatch, description: Description | None, exclude: list[set[int]]) -> Generated:
        alpha = replacement_alpha(batch)
        pixels = torch.cat([self._make(batch, alpha, i) for i in range(len(batch))])
        return Generated(pixels, alpha, [None] * len(batch), [set() for _ in range(len(batch))])

    @abstractmethod
    def _make(self, batch: CropBatch, alpha: Tensor, i: int) -> Tensor:
        """``1 x 3 x S x S`` new pixels of face ``i``."""

    def _blocks(self, batch: CropBatch, i: int) -> Tensor:
        """The window averaged over blocks of one sixth of the face, divided by the strength."""
        side = batch.pixels.shape[-1]
        block = max(float(face_widths(batch)[i]) / _BLOCKS * self.strength, 1.0)
        cells = max(round(side / block), 1)
        return F.adaptive_avg_pool2d(batch.pixels[i : i + 1], cells)


class Mask(_Obfuscation):
    """A solid fill: three numbers, the mean colour of what it covers, are all that is left."""

    name = "mask"
    DIALS = ()

    def __init__(self, device: str = "cpu") -> None:
        super().__init__(device)

    def _make(self, batch: CropBatch, alpha: Tensor, i: int) -> Tensor:
        weight = (alpha[i : i + 1] > 0).float()
        pixels = batch.pixels[i : i + 1]
        mean = (pixels * weight).sum((2, 3), keepdim=True) / weight.sum().clamp_min(1)
        return mean.expand_as(pixels)


class Pixelate(_Obfuscation):
    """Six blocks across the face at strength 1, fewer at more."""

    name = "pixelate"

    def _make(self, batch: CropBatch, alpha: Tensor, i: int) -> Tensor:
        return F.interpolate(self._blocks(batch, i), size=batch.pixels.shape[-2:], mode="nearest")


class Blur(_Obfuscation):
    """A blur as wide as the blocks of :class:`Pixelate`, so that a large face is not merely softened."""

    name = "blur"

    def _make(self, batch: CropBatch, alpha: Tensor, i: int) -> Tensor:
        blocks = F.avg_pool2d(F.pad(self._blocks(batch, i), (1, 1, 1, 1), mode="replicate"), 3, 1)
        return F.interpolate(blocks, size=batch.pixels.shape[-2:], mode="bicubic", align_corners=False).clamp(0, 1)


class Noise(Blur):
    """Seeded noise of the size of the blocks, over the blur."""

    name = "noise"

    def _make(self, batch: CropBatch, alpha: Tensor, i: int) -> Tensor:
        blurred = super()._make(batch, alpha, i)
        generator = torch.Generator().manual_seed(batch.seeds[i] % 2**63)
        cells = self._blocks(batch, i).shape[-1]
        coarse = torch.randn(1, 3, 2 * cells, 2 * cells, generator=generator).to(blurred) * 0.18
        fine = torch.randn(blurred.shape, generator=generator).to(blurred) * 0.06
        drawn = F.interpolate(coarse, size=blurred.shape[-2:], mode="bicubic", align_corners=False)
        return (blurred + drawn + fine).clamp(0, 1)
