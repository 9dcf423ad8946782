"""Masked Gaussian low-pass filters, and the transfer of an original's low-passed light."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fo_faceanon.photometry.color import luminance

#: Light is never multiplied by more than this, or by less than its inverse.
MAX_GAIN = 3.0
#: Light below this is noise of the sensor and of the encoding (about 8 grey levels of linear light's toe).
DARK = 0.004


def gaussian_blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian filter with one width per image and zeros outside of the frame.

    Two dense matrix products: on the small grids used here they beat a convolution as soon as sigma is more than a pixel, and
    every image of the batch has its own width.

    Args:
        images: ``B x C x H x W``.
        sigma: ``B``, in pixels.
    """
    rows, columns = (_kernel(sigma, length) for length in images.shape[-2:])
    return rows[:, None] @ images @ columns[:, None]


def _kernel(sigma: Tensor, length: int) -> Tensor:
    """``B x length x length`` symmetric Gaussian weights between positions of one axis."""
    axis = torch.arange(length, device=sigma.device, dtype=sigma.dtype)
    squared = (axis[:, None] - axis).square()
    sigma = sigma.clamp_min(1e-2)[:, None, None]
    return torch.exp(-squared / (2 * sigma * sigma)) / (sigma * math.sqrt(2 * math.pi))


def masked_lowpass(images: Tensor, weights: Tensor, sigma: Tensor) -> Tensor:
    """Normalised convolution (Knutsson and Westin 1993): only weighted pixels count, so nothing bleeds in from outside.

    Far from every weighted pixel the result tends to the weighted mean; without any weight it is 0.

    Args:
        images: ``B x C x H x W``.
        weights: ``B x 1 x H x W``, at least 0.
        sigma: ``B``, in pixels.
    """
    total = weights.sum((2, 3), keepdim=True).clamp_min(1e-6)
    mean = (images * weights).sum((2, 3), keepdim=True) / total
    blurred = gaussian_blur(torch.cat([images * weights, weights], 1), sigma)
    floor = 1e-3
    return (blurred[:, :-1] + floor * mean) / (blurred[:, -1:] + floor)


def lowpass_gain(generated: Tensor, original: Tensor, weights: Tensor, sigma: Tensor, colour: float = 1.0) -> Tensor:
    """Logarithm of the gain that gives ``generated`` the low-passed light of ``original``.

    The finer the low-pass, the more of the person's own shading is handed over: ``sigma`` is a privacy dial.

    Args:
        generated: ``B x 3 x H x W``, linear light.
        original: ``B x 3 x H x W``, linear light.
        weights: ``B x 1 x H x W``, which pixels count.
        sigma: ``B``, width of the Gaussian in pixels.
        colour: 1 transfers each channel, 0 the luminance only.

    Returns:
        ``B x 3 x H x W``, limited to ``±log(MAX_GAIN)``; 0 where no pixel counts.
    """
    channels = torch.cat([original, generated], 1)
    smooth = masked_lowpass(channels, weights, sigma).clamp_min(0)
    return log_ratio(smooth[:, :3], smooth[:, 3:], colour)


def log_ratio(target: Tensor, source: Tensor, colour: float = 1.0) -> Tensor:
    """Limited ``log(target / source)`` of two linear lights ``B x 3 x H x W``, steadied in the dark; ``colour`` as in `lowpass_gain`."""
    gain = ((target + DARK) / (source + DARK)).log()
    if colour < 1:
        grey = ((luminance(target) + DARK) / (luminance(source) + DARK)).log()
        gain = grey + colour * (gain - grey)
    limit = math.log(MAX_GAIN)
    return gain.clamp(-limit, limit)
