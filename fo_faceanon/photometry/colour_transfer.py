"""Skin tone: the chroma of a generated skin moved to the mean and spread of the original's (Reinhard et al. 2001, on Cb and Cr)."""

from __future__ import annotations

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


def colour_transform(generated: Tensor, original: Tensor, weights: Tensor, strength: float = 1.0) -> tuple[Tensor, Tensor]:
    """The affine map of RGB that gives ``generated`` the chroma statistics of ``original``; luma stays as it is.

    Args:
        generated: ``B x 3 x H x W`` gamma-encoded sRGB.
        original: ``B x 3 x H x W``.
        weights: ``B x 1 x H x W``: skin only, or eyes, lips and hair shift the tone.
        strength: 0 is the identity, 1 the full transfer, linear between.

    Returns:
        ``B x 3 x 3`` and ``B x 3 x 1 x 1``; the identity for a face without skin pixels.
    """
    (mean_g, sigma_g), (mean_o, sigma_o) = chroma_statistics(generated, weights), chroma_statistics(original, weights)
    gain = (sigma_o.clamp_min(SIGMA_FLOOR) / sigma_g.clamp_min(SIGMA_FLOOR)).clamp(1 / GAIN_LIMIT, GAIN_LIMIT)
    to_chroma = ycbcr_matrix(generated)
    to_rgb = torch.linalg.inv(to_chroma)[:, 1:]
    there = (weights.sum((1, 2, 3)) > 1e-6).to(generated.dtype)[:, None] * strength
    matrix = to_rgb @ ((there * (gain - 1))[..., None] * to_chroma[1:])
    offset = (there * (mean_o - gain * mean_g)) @ to_rgb.T
    return matrix + torch.eye(3, device=generated.device, dtype=generated.dtype), offset[..., None, None]


def apply_transform(rgb: Tensor, matrix: Tensor, offset: Tensor) -> Tensor:
    """``matrix @ rgb + offset`` per pixel; unclipped."""
    return torch.baddbmm(offset.flatten(2), matrix, rgb.flatten(2)).view_as(rgb)


def transfer_colour(generated: Tensor, original: Tensor, skin: Tensor, strength: float = 1.0) -> Tensor:
    """`colour_transform` applied, and clipped once; ``strength`` 0 returns ``generated`` itself."""
    if strength == 0:
        return generated
    return apply_transform(generated, *colour_transform(generated, original, skin, strength)).clamp(0, 1)
