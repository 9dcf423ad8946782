"""Retinex-style intrinsic images: albedo and shading in linear light."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from fo_faceanon.photometry.color import GAMMA, apply_gain, luminance, srgb_to_linear
from fo_faceanon.photometry.lowpass import DARK, MAX_GAIN, masked_lowpass

#: Spatial width of the bilateral filter, as a fraction of the face.
SPATIAL = 0.08
#: Its range width, and the number of range levels, on a lightness scale of 0 to 1.
RANGE, LEVELS = 0.15, 8
#: Longer side of the grid on which the range levels are smoothed.
_GRID = 64


def bilateral(values: Tensor, guide: Tensor, weights: Tensor, sigma: Tensor) -> Tensor:
    """Piecewise-linear bilateral filter (Durand and Dorsey 2002), masked.

    For each of `LEVELS` guide values the filter is a normalised Gaussian convolution; a pixel interpolates between the two
    levels next to its own guide value. The convolutions are smooth, so they run on a reduced grid while the guide stays at
    full size and keeps the edges. Chosen over a bilateral grid because it needs no scatter, which is not deterministic on a
    GPU, and over a guided filter because it is the filter that the method names.

    Args:
        values: ``B x 1 x H x W``.
        guide: ``B x 1 x H x W`` in ``[0, 1]``, the range in which edges are judged.
        weights: ``B x 1 x H x W``, which pixels count.
        sigma: ``B``, spatial width in pixels.
    """
    factor = max(1, math.ceil(max(values.shape[-2:]) / _GRID))
    levels = torch.linspace(0, 1, LEVELS, device=values.device, dtype=values.dtype)
    result = torch.zeros_like(values)
    for level in levels:
        near = weights * torch.exp(-0.5 * ((guide - level) / RANGE).square())
        hat = (1 - (guide - level).abs() * (LEVELS - 1)).clamp_min(0)
        result = result + hat * _smooth_level(values, near, sigma / factor, factor)
    return result


def _smooth_level(values: Tensor, near: Tensor, sigma: Tensor, factor: int) -> Tensor:
    if factor == 1:
        return masked_lowpass(values, near, sigma)
    weight = F.avg_pool2d(near, factor, ceil_mode=True)
    smooth = masked_lowpass(F.avg_pool2d(values * near, factor, ceil_mode=True) / weight.clamp_min(1e-8), weight, sigma)
    size = (smooth.shape[-2] * factor, smooth.shape[-1] * factor)
    return F.interpolate(smooth, size, mode="bilinear", align_corners=False)[..., : values.shape[-2], : values.shape[-1]]


def shading_of(linear: Tensor, mask: Tensor, face_size: Tensor) -> Tensor:
    """Shading ``B x 1 x H x W`` of linear-light ``B x 3 x H x W``: the bilateral-filtered luminance inside the mask."""
    grey = luminance(linear)
    return bilateral(grey, grey.clamp(0, 1) ** (1 / GAMMA), mask, SPATIAL * face_size)


def decompose(rgb: Tensor, mask: Tensor, face_size: Tensor) -> tuple[Tensor, Tensor]:
    """``image = albedo * shading`` in linear light.

    The albedo is not limited to ``[0, 1]``: a pure red of full luminance has 4.7.

    Args:
        rgb: ``B x 3 x H x W`` gamma-encoded sRGB in ``[0, 1]``.
        mask: ``B x 1 x H x W``; only pixels inside it count.
        face_size: ``B``, in pixels.

    Returns:
        Albedo ``B x 3 x H x W`` and shading ``B x 1 x H x W``, finite everywhere (dark pixels divide by at least `DARK`).
    """
    linear = srgb_to_linear(rgb)
    shading = shading_of(linear, mask, face_size)
    return linear / shading.clamp_min(DARK), shading


def intrinsic_gain(generated: Tensor, original: Tensor, weights: Tensor, face_size: Tensor, sigma: Tensor) -> Tensor:
    """Logarithm of the ratio of shadings, ``B x 1 x H x W``, low-passed so that edges of the original's face are not handed over.

    Args:
        generated: ``B x 3 x H x W``, linear light.
        original: ``B x 3 x H x W``, linear light.
        weights: ``B x 1 x H x W``, which pixels count.
        face_size: ``B``, in pixels.
        sigma: ``B``, width of the low-pass in pixels.
    """
    target, source = (shading_of(image, weights, face_size) + DARK for image in (original, generated))
    limit = math.log(MAX_GAIN)
    return masked_lowpass((target / source).log().clamp(-limit, limit), weights, sigma)


def relight(generated: Tensor, original: Tensor, mask: Tensor, face_size: Tensor) -> Tensor:
    """The generated albedo under the original's whole shading, ratio clamped to ``[1/3, 3]``: the paper's step, without a low-pass.

    It hands over the original's shading edges, and with them identity: for comparison and for metrics; `correct` low-passes.

    Args:
        generated: ``B x 3 x H x W`` gamma-encoded sRGB in ``[0, 1]``.
        original: ``B x 3 x H x W``.
        mask: ``B x 1 x H x W``.
        face_size: ``B``, in pixels.
    """
    target, source = (shading_of(srgb_to_linear(image), mask, face_size) + DARK for image in (original, generated))
    ratio = (target / source).clamp(1 / MAX_GAIN, MAX_GAIN)
    return apply_gain(generated, ratio ** (1 / GAMMA)).clamp(0, 1)
