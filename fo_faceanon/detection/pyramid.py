"""Antialiased resampling of images and boxes at any scale from one chain of halved images."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import roi_align

from fo_faceanon.faces import block_means


def halve_chain(images: Tensor, smallest: int = 24) -> list[Tensor]:
    """The images, then each one's 2 x 2 mean, until the longer side is at most ``smallest`` pixels.

    Args:
        images: ``B x C x H x W`` float.

    Returns:
        Element k has pixels that cover ``2**k x 2**k`` of the first; a last odd row or column is the mean of what there is.
    """
    chain = [images]
    while max(chain[-1].shape[-2:]) > smallest:
        chain.append(block_means(chain[-1], 2))
    return chain


def half_octaves(images: Tensor, scale: float, count: int) -> list[Tensor]:
    """``count`` images, each of half of the area of the one before: two resamplings, the others are 2 x 2 means.

    Args:
        images: ``B x C x H x W`` float.
        scale: of the first, in output pixels per input pixel.
        count: how many.

    Returns:
        Element k is at ``scale * 2**(-k / 2)``, with pixel edges of the image and of the levels at a common zero.
    """
    levels: list[Tensor] = []
    for k in range(count):
        if k >= 2:
            levels.append(block_means(levels[k - 2], 2))
            continue
        factor = scale * 0.5 ** (k / 2)
        smaller = (factor, factor)
        levels.append(F.interpolate(images, scale_factor=smaller, mode="bilinear", align_corners=False, antialias=factor < 1))
    return levels


def crop_boxes(chain: list[Tensor], boxes: Tensor, indices: Tensor, side: int) -> Tensor:
    """The contents of boxes as ``N x C x side x side`` crops, antialiased; all boxes in one call per octave of size.

    Args:
        chain: from :func:`halve_chain`.
        boxes: ``N x 4`` ``(x0, y0, x1, y1)`` in pixels; outside of the images they are 0.
        indices: ``N`` which image each box is of.
    """
    extent = (boxes[:, 2:] - boxes[:, :2]).amin(1).clamp_min(1e-3)
    level = (extent / side).log2().round().clamp(0, len(chain) - 1).long()  # 0.7 to 1.4 pixels per output pixel
    crops = boxes.new_empty((len(boxes), chain[0].shape[1], side, side))
    rois = torch.cat([indices[:, None].to(boxes), boxes], 1)
    for k in level.unique().tolist():
        rows = (level == k).nonzero()[:, 0]
        crops[rows] = roi_align(chain[k], rois[rows], side, spatial_scale=0.5**k, sampling_ratio=1, aligned=True)
    return crops
