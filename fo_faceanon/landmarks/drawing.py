"""Landmarks as pictures, which is how generators are told the shape of a face; and what mirroring does to landmarks."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from fo_faceanon.errors import InputError
from fo_faceanon.landmarks.mesh_mirror import MIRROR_478

__all__ = ["MIRROR_7", "MIRROR_68", "MIRROR_478", "blob_profiles", "draw_mesh", "draw_points", "mirror_points", "sparse7"]

#: Standard deviation of a blob, in pixels of the map it is drawn on: the sharpest that still moves smoothly between pixels.
BLOB_SIGMA = 0.8
#: Radius of a mesh dot as a fraction of the picture's side: GANonymization draws dots 3 pixels wide on 512.
_DOT_RADIUS = 1.5 / 512
_PAIRS_68 = (
    "0-16 1-15 2-14 3-13 4-12 5-11 6-10 7-9 17-26 18-25 19-24 20-23 21-22 31-35 32-34 36-45 37-44 38-43 39-42 40-47 41-46 "
    "48-54 49-53 50-52 55-59 56-58 60-64 61-63 65-67"
)


def _order(pairs: str, count: int) -> tuple[int, ...]:
    order = list(range(count))
    for pair in pairs.split():
        a, b = map(int, pair.split("-"))
        order[a], order[b] = b, a
    return tuple(order)


#: Index permutations of 68 and of 7 points under mirroring; each its own inverse.
MIRROR_68 = _order(_PAIRS_68, 68)
MIRROR_7 = _order("1-2 3-4 5-6", 7)
_MIRRORS = {7: MIRROR_7, 68: MIRROR_68, 478: MIRROR_478}


def mirror_points(points: Tensor, size: int) -> Tensor:
    """Points of the mirrored picture: x is reflected, and left and right change places.

    Args:
        points: ``B x K x 2`` in pixels, ``K`` 7, 68 or 478.
        size: the picture's width in pixels.

    Raises:
        InputError: another number of points.
    """
    if points.shape[1] not in _MIRRORS:
        raise InputError(f"points can be mirrored where there are 7, 68 or 478 of them, but got {tuple(points.shape)}")
    mirrored = points[:, _mirror_index(points.shape[1], points.device)]
    return torch.stack([size - 1 - mirrored[..., 0], mirrored[..., 1]], -1)


@lru_cache(maxsize=16)
def _mirror_index(count: int, device: torch.device) -> Tensor:
    """The permutation, copied to a device once."""
    return torch.tensor(_MIRRORS[count], device=device)


def sparse7(landmarks: Tensor) -> Tensor:
    """The seven points of the paper's baseline, as far as 68 landmarks have them.

    DeepPrivacy (Hukkelås et al. 2019) is told nose, eyes, ears and shoulders. The ends of the jaw line stand for the ears, its
    corners for the shoulders, which 68 landmarks do not reach.

    Args:
        landmarks: ``B x 68 x 2``.

    Returns:
        ``B x 7 x 2``: nose tip, right eye, left eye, right ear, left ear, right and left corner of the jaw.
    """
    eyes = [landmarks[:, 36:42].mean(1), landmarks[:, 42:48].mean(1)]
    jaw = [landmarks[:, i] for i in (0, 16, 4, 12)]  # no index list: on a GPU that would wait for a copy
    return torch.stack([landmarks[:, 30], *eyes, *jaw], 1)


def blob_profiles(points: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The factors of Gaussian blobs, which are products of a column and a row.

    Args:
        points: ``B x K x 2`` in pixels of the map; NaN where unknown.
        size: side of the map in pixels.

    Returns:
        Rows and columns, each ``B x K x size``: blob ``k`` at ``(x, y)`` is ``rows[k, y] * columns[k, x]``; all 0 where unknown.
    """
    known = points.isfinite().all(-1, keepdim=True)
    points = torch.where(known, points, torch.zeros_like(points)).clamp(-size, 2 * size)
    axis = torch.arange(size, device=points.device, dtype=points.dtype)
    profile = torch.exp(-(axis - points[..., None]).square() / (2 * BLOB_SIGMA**2))
    return profile[:, :, 1] * known, profile[:, :, 0]


def draw_points(points: Tensor, size: int) -> Tensor:
    """One map per point with a Gaussian blob of height 1 at it.

    Args:
        points: ``B x K x 2`` in pixels of the maps. A point with NaN, or far outside, gives an empty map.
        size: side of the maps in pixels.

    Returns:
        ``B x K x size x size`` in ``[0, 1]``.
    """
    rows, columns = blob_profiles(points, size)
    return rows[..., :, None] * columns[..., None, :]


def draw_mesh(points: Tensor, size: int) -> Tensor:
    """White dots on black, as GANonymization draws them (Hellmann et al. 2024): no lines, all points alike.

    Dots are antialiased discs that scale with the picture, so that they move smoothly and never vanish.

    Args:
        points: ``B x K x 2`` (``K`` is 478) in pixels of the picture; points with NaN are left out.
        size: side of the picture in pixels.

    Returns:
        ``B x 1 x size x size`` in ``[0, 1]``.
    """
    count = points.shape[0]
    radius = max(_DOT_RADIUS * size, 0.75)
    reach = int(radius + 1.5)
    known = points.isfinite().all(-1)
    centre = torch.where(known[..., None], points, torch.zeros_like(points)).clamp(-2 * reach, size + 2 * reach)
    axis = torch.arange(-reach, reach + 1, device=points.device, dtype=points.dtype)
    around = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).reshape(1, 1, -1, 2)
    cells = centre.round()[:, :, None] + around
    value = (radius + 0.5 - (cells - centre[:, :, None]).norm(dim=-1)).clamp(0, 1) * known[..., None]
    inside = ((cells >= 0) & (cells < size)).all(-1)
    index = (cells[..., 1] * size + cells[..., 0]).clamp(0, size * size - 1).long()
    canvas = points.new_zeros(count, size * size)
    canvas = canvas.scatter_reduce(1, index.flatten(1), (value * inside).flatten(1), "amax")
    return canvas.view(count, 1, size, size)
