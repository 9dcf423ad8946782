"""Grain: the fine texture of skin and sensor, matched in strength band by band, from noise.

A donor's picture has 256 px. On a larger face it would come out soft, and on a noisy photograph too clean. What is read from the
original is one number per octave, the strength of its finest bands over the skin; what is drawn is seeded noise.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

#: Octaves that are matched, from the pixel up.
BANDS = 2
#: The most noise that is added, as a standard deviation in [0, 1]: beyond, the original has edges there, not grain.
LIMIT = 0.02
#: Pixels along a side that strengths are read from, and the side of the window's middle that holds them.
_SAMPLES, _MIDDLE = 96, 192


def _bands(image: Tensor) -> list[Tensor]:
    """The finest octaves of a one-channel image, each at its own resolution (a Laplacian pyramid's first levels)."""
    bands = []
    for _ in range(BANDS):
        if min(image.shape[-2:]) < 8:
            break
        small = F.avg_pool2d(image, 2, ceil_mode=True, count_include_pad=False)
        bands.append(image - F.interpolate(small, size=image.shape[-2:], mode="bilinear", align_corners=False))
        image = small
    return bands


def _strength(band: Tensor, skin: Tensor) -> Tensor:
    """``B`` standard deviations of the texture over the skin, from the median magnitude: edges, pores and freckles do not move it."""
    weight = skin if skin.shape == band.shape else F.adaptive_avg_pool2d(skin, (band.shape[-2], band.shape[-1]))
    step = -(-max(band.shape[-2:]) // _SAMPLES)  # a median of a part of the pixels is as good, and far cheaper
    band, weight = band[..., ::step, ::step], weight[..., ::step, ::step]
    magnitude = torch.where(weight > 0.5, band.abs(), torch.nan).flatten(1)
    return torch.nan_to_num(magnitude.nanmedian(1).values) / 0.6745


def match_grain(generated: Tensor, original: Tensor, skin: Tensor, seeds: list[int]) -> Tensor:
    """Adds seeded noise to the bands in which the generated skin is smoother than the original's.

    Args:
        generated: ``B x 3 x H x W`` in ``[0, 1]``.
        original: the same shape; read only for three strengths per face.
        skin: ``B x 1 x H x W`` weights.
        seeds: one per face.

    Returns:
        ``B x 3 x H x W`` in ``[0, 1]``.
    """
    weights = generated.new_tensor([0.299, 0.587, 0.114])[:, None, None]
    luma, wanted = (generated * weights).sum(1, keepdim=True), (original * weights).sum(1, keepdim=True)
    added = torch.zeros_like(luma)
    noise = torch.stack([_noise(luma.shape[-2:], seed) for seed in seeds]).to(luma)
    middle, middle_skin = [_middle(image) for image in (luma, wanted)], _middle(skin)
    for have, want, drawn in zip(_bands(middle[0]), _bands(middle[1]), _bands(noise), strict=True):
        missing = _strength(want, middle_skin).square() - _strength(have, middle_skin).square()
        gain = missing.clamp_min(0).sqrt().clamp_max(LIMIT) / drawn.square().mean((1, 2, 3)).sqrt().clamp_min(1e-6)
        added += F.interpolate(drawn * gain[:, None, None, None], size=luma.shape[-2:], mode="bilinear", align_corners=False)
    return (generated + added).clamp(0, 1)


def _middle(image: Tensor) -> Tensor:
    """The middle of a window, where the face is: enough to read strengths from."""
    rows, columns = ((max(side - _MIDDLE, 0) // 2, min(side, _MIDDLE)) for side in image.shape[-2:])
    return image[..., rows[0] : rows[0] + rows[1], columns[0] : columns[0] + columns[1]]


def _noise(size: torch.Size, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed % 2**63)
    return torch.randn(1, *size, generator=generator)
