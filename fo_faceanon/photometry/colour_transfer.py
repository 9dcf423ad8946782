"""Skin tone: the chroma of a generated skin moved to the mean and spread of the original's (Reinhard et al. 2001, on Cb and Cr)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fo_faceanon.photometry.color import ycbcr_matrix

#: Spread below this (about 1.5 grey levels) is noise, not skin: it is neither divided by nor reached for.
SIGMA_FLOOR = 0.006
#: Limit of the chroma gain, both ways.
GAIN_LIMIT = 1.6


def chroma_statistics(rgb: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted mean and standard deviation of Cb and Cr (neutral at 0), each ``B x 2``; 0 where no pixel counts."""
    chroma = torch.einsum("ij,bjhw->bihw", ycbcr_matrix(rgb)[1:], rgb)
    total = weights.sum((2, 3)).clamp_min(1e-6)
    mean = (chroma * weights).sum((2, 3)) / total
    variance = ((chroma - mean[..., None, None]).square() * weights).sum((2, 3)) / total
    return mean, variance.sqrt()


@dataclass(frozen=True, slots=True)
class ColourTransform:
    """An affine map of RGB per face, and the mean luma of its skin.

    Args:
        matrix: ``B x 3 x 3``.
        offset: ``B x 3 x 1``.
        level: ``B x 1 x 1``.
    """

    matrix: Tensor
    offset: Tensor
    level: Tensor

    def part(self, faces: slice) -> ColourTransform:
        """These faces' maps."""
        return ColourTransform(self.matrix[faces], self.offset[faces], self.level[faces])

    def apply(self, rgb: Tensor, spared: Tensor) -> Tensor:
        """The map applied to ``B x 3 x H x W``, unclipped; less so in the dark, for a shift of chroma would dye black hair and nostrils.

        Args:
            rgb: gamma-encoded sRGB.
            spared: ``B x 1 x H x W``, the share of the change that a pixel is spared.
        """
        flat = rgb.flatten(2)
        luma = ycbcr_matrix(rgb)[:1].expand(len(rgb), 1, 3) @ flat
        amount = (luma / (0.6 * self.level).clamp_min(1e-3)).clamp_(0, 1) * (1 - spared.flatten(2))
        return torch.addcmul(flat, torch.baddbmm(self.offset, self.matrix, flat).sub_(flat), amount).view_as(rgb)


def colour_transform(generated: Tensor, original: Tensor, weights: Tensor, strength: float = 1.0) -> ColourTransform:
    """The map that gives ``generated`` the chroma statistics of ``original``; luma stays as it is.

    Args:
        generated: ``B x 3 x H x W`` gamma-encoded sRGB.
        original: ``B x 3 x H x W``.
        weights: ``B x 1 x H x W``: skin only, or eyes, lips and hair shift the tone.
        strength: 0 is the identity, 1 the full transfer, linear between.

    Returns:
        The map; the identity for a face without skin pixels.
    """
    (mean_g, sigma_g), (mean_o, sigma_o) = chroma_statistics(generated, weights), chroma_statistics(original, weights)
    gain = (sigma_o.clamp_min(SIGMA_FLOOR) / sigma_g.clamp_min(SIGMA_FLOOR)).clamp(1 / GAIN_LIMIT, GAIN_LIMIT)
    to_chroma = ycbcr_matrix(generated)
    to_rgb = torch.linalg.inv(to_chroma)[:, 1:]
    total = weights.sum((1, 2, 3))
    there = (total > 1e-6).to(generated.dtype)[:, None] * strength
    matrix = to_rgb @ ((there * (gain - 1))[..., None] * to_chroma[1:])
    matrix = matrix + torch.eye(3, device=generated.device, dtype=generated.dtype)
    offset = (there * (mean_o - gain * mean_g)) @ to_rgb.T
    level = torch.einsum("bchw,c,bhw->b", generated, to_chroma[0], weights[:, 0]) / total.clamp_min(1e-6)
    return ColourTransform(matrix, offset[..., None], level[:, None, None])
