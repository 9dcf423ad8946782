"""Random changes to face crops that leave the expression as it is: so that the emotion network reads expression and nothing else."""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from fo_faceanon.faces import grid_sample_pixels
from fo_faceanon.networks.emotion import CROP_SIDE
from fo_faceanon.training.emotion_data import MAGNIFY, MARGIN

#: Fractions of a batch that are compressed, and that a rectangle of is hidden.
_COMPRESSED, _COVERED = 0.3, 0.4


def cut(stored: Tensor, scale: Tensor, angle: Tensor, shift: Tensor, mirror: Tensor) -> Tensor:
    """Network crops out of stored ones.

    Args:
        stored: ``B x 1 x 128 x 128`` uint8 luma.
        scale: ``B x 2`` magnification across and down, about the crop's centre.
        angle: ``B`` clockwise turn of the face, radians.
        shift: ``B x 2`` move of the face, network pixels.
        mirror: ``B`` bool, applied last.

    Returns:
        ``B x 1 x 64 x 64`` in ``[0, 1]``.
    """
    axis = torch.arange(CROP_SIDE, dtype=torch.float32) - (CROP_SIDE - 1) / 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    x = torch.where(mirror[:, None, None], -x, x) - shift[:, 0, None, None]
    y = y.expand_as(x) - shift[:, 1, None, None]
    cos, sin = torch.cos(angle)[:, None, None], torch.sin(angle)[:, None, None]
    turned = torch.stack([cos * x + sin * y, cos * y - sin * x], -1) / scale[:, None, None]
    return grid_sample_pixels(stored.float() / 255, turned * MAGNIFY + (CROP_SIDE / 2 * MAGNIFY - 0.5 + MARGIN))


def plain(stored: Tensor) -> Tensor:
    """Network crops as they are when a face is judged."""
    n = len(stored)
    return cut(stored, torch.ones(n, 2), torch.zeros(n), torch.zeros(n, 2), torch.zeros(n, dtype=torch.bool))


def augment(stored: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Moved, mirrored, relit, reduced, compressed, noisy and partly hidden crops, and which ones are mirrored.

    Args:
        stored: ``B x 1 x 128 x 128`` uint8.
        rng: where chance comes from.

    Returns:
        ``B x 1 x 64 x 64`` and ``B`` bool.
    """
    n = len(stored)
    mirror = torch.rand(n, generator=rng) < 0.5
    angle = _uniform(n, -8, 8, rng)[:, 0] * (math.pi / 180)
    scale = _uniform(n, 0.92, 1.08, rng) * (1 + torch.randn(n, 2, generator=rng) * 0.03)
    crops = cut(stored, scale, angle, torch.randn(n, 2, generator=rng) * 1.2, mirror)
    crops = relight(crops, rng)
    crops = reduce_some(crops, rng)
    crops = compress_some(crops, rng)
    crops = crops + torch.randn(crops.shape, generator=rng) * (_uniform(n, 0, 1, rng)[:, :, None, None].square() * 0.08)
    return cover_some(crops, rng), mirror


def relight(crops: Tensor, rng: torch.Generator) -> Tensor:
    """Random gamma, and light that falls off in a random direction."""
    n = len(crops)
    crops = crops.clamp_min(1e-3) ** _uniform(n, 0.6, 1.6, rng)[:, :, None, None]
    axis = torch.linspace(-1, 1, CROP_SIDE)
    slope = torch.randn(n, 2, generator=rng) * 0.25
    ramp = slope[:, 0, None, None] * axis + slope[:, 1, None, None] * axis[:, None]
    return crops * ramp[:, None].exp()


def reduce_some(crops: Tensor, rng: torch.Generator) -> Tensor:
    """Half the batch in four groups, down to faces of about 20 px; the order of a batch is random."""
    group = len(crops) // 8
    out = crops.clone()
    for k, (low, high) in enumerate(((40, 58), (30, 46), (24, 36), (18, 28))):
        side = int(torch.randint(low, high, (), generator=rng))
        rows = slice(k * group, (k + 1) * group)
        small = F.interpolate(crops[rows], size=(side, side), mode="bilinear", antialias=True, align_corners=False)
        out[rows] = F.interpolate(small, size=(CROP_SIDE, CROP_SIDE), mode="bilinear", align_corners=False)
    return out


def compress_some(crops: Tensor, rng: torch.Generator) -> Tensor:
    """JPEG at qualities from 15 to 80."""
    out = crops.clone()
    for i in (torch.rand(len(crops), generator=rng) < _COMPRESSED).nonzero()[:, 0].tolist():
        quality = int(torch.randint(15, 80, (), generator=rng))
        pixels = (crops[i, 0].clamp(0, 1) * 255).byte().numpy()
        data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        out[i, 0] = torch.from_numpy(np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.float32)) / 255
    return out


def cover_some(crops: Tensor, rng: torch.Generator) -> Tensor:
    """A random rectangle, of the crop's mean, over some faces: one region must not decide alone."""
    n = len(crops)
    centre = torch.rand(n, 2, generator=rng) * CROP_SIDE
    half = _uniform(n, 4, 10, rng) * torch.tensor([1.0, 0.7])
    half = torch.where(torch.rand(n, 1, generator=rng) < _COVERED, half, torch.zeros(()))
    axis = torch.arange(CROP_SIDE, dtype=torch.float32)
    inside_x = (axis - centre[:, :1]).abs() < half[:, :1]
    inside_y = (axis - centre[:, 1:]).abs() < half[:, 1:]
    hidden = (inside_x[:, None, :] & inside_y[:, :, None])[:, None]
    return torch.where(hidden, crops.mean((1, 2, 3), keepdim=True), crops)


def _uniform(n: int, low: float, high: float, rng: torch.Generator) -> Tensor:
    return torch.rand(n, 1, generator=rng) * (high - low) + low
