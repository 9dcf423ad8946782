"""Laplacian pyramids (Burt and Adelson 1983): exact at any size, and a continuous cut between two images' bands."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from fo_faceanon.errors import InputError


def build_pyramid(image: Tensor, levels: int) -> list[Tensor]:
    """``levels`` band-pass images, finest first, and last the coarsest Gaussian residual, without which the mean is lost.

    Args:
        image: ``B x C x H x W``; odd sides are fine.
        levels: number of bands; halving stops early where a side would fall below 2.

    Raises:
        InputError: the image is not ``B x C x H x W`` or ``levels`` is negative.
    """
    if image.ndim != 4 or levels < 0:
        raise InputError(f"a pyramid needs B x C x H x W and levels >= 0, but got {tuple(image.shape)} and {levels}")
    bands = []
    for _ in range(levels):
        if min(image.shape[-2:]) < 3:
            break
        coarse = _reduce(image)
        bands.append(image - _expand(coarse, image))
        image = coarse
    return [*bands, image]


def collapse_pyramid(bands: list[Tensor]) -> Tensor:
    """The image whose pyramid this is: the exact inverse of `build_pyramid`."""
    image = bands[-1]
    for band in reversed(bands[:-1]):
        image = _expand(image, band) + band
    return image


def blend_bands(low: Tensor, high: Tensor, cut: Tensor, levels: int = 6) -> Tensor:
    """Coarse bands and residual of ``low`` with the fine bands of ``high``.

    Args:
        low: ``B x C x H x W``.
        high: ``B x C x H x W``.
        cut: ``B``, the Gaussian width in pixels where one gives way to the other; between octaves a band is mixed, so the
            result depends on it continuously. 0 gives ``low``; a cut beyond the coarsest band leaves ``low`` the residual only.
        levels: number of bands.
    """
    if low.shape != high.shape:
        raise InputError(f"cannot blend pyramids of different shapes: {tuple(low.shape)} and {tuple(high.shape)}")
    # the k-th Gaussian level has a width of sqrt((4^k - 1) / 3) pixels, about 0.577 * 2^k
    octave = (cut.clamp_min(1e-3) / 0.577).log2()[:, None, None, None]
    bands = build_pyramid(low - high, levels)  # linear, so one pyramid of the difference does
    weighted = [band * (1 - (octave - k).clamp(0, 1)) for k, band in enumerate(bands[:-1])]
    return high + collapse_pyramid([*weighted, bands[-1]])


def _smooth(image: Tensor) -> Tensor:
    """Binomial 1-4-6-4-1 filter with replicated borders, separable."""
    channels = image.shape[1]
    taps = image.new_tensor([1, 4, 6, 4, 1]) / 16
    image = F.pad(image, (2, 2, 2, 2), mode="replicate")
    image = F.conv2d(image, taps.view(1, 1, 1, 5).expand(channels, 1, 1, 5), groups=channels)
    return F.conv2d(image, taps.view(1, 1, 5, 1).expand(channels, 1, 5, 1), groups=channels)


def _reduce(image: Tensor) -> Tensor:
    return _smooth(image)[..., ::2, ::2]


def _expand(image: Tensor, like: Tensor) -> Tensor:
    """Twice the size (less one, for odd sides), by interpolation on the grid where sample k lies at 2 k."""
    rows, columns = like.shape[-2:]
    wide = torch.stack([image, (image + torch.cat([image[..., 1:], image[..., -1:]], -1)) / 2], -1).flatten(-2)
    tall = torch.stack([wide, (wide + torch.cat([wide[..., 1:, :], wide[..., -1:, :]], -2)) / 2], -2).flatten(-3, -2)
    return tall[..., :rows, :columns]
