"""Where a face is and where its skin is: soft masks from 68 landmarks, and the feather outside of a mask."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from fo_faceanon.errors import InputError

#: Longer side of the grid on which distances are computed; they are piecewise linear, so enlarging them loses little.
_GRID = 128
#: The most cells that a feather spans on its grid; a wider one uses coarser cells.
_FEATHER_STEPS = 10
_JAW, _BROWS = slice(0, 17), slice(17, 27)
_RIGHT_EYE, _LEFT_EYE, _MOUTH = slice(36, 42), slice(42, 48), slice(48, 60)
_RIGHT_BROW, _LEFT_BROW = slice(17, 22), slice(22, 27)
_UPPER_LIP = [48, 50, 51, 52, 54]
#: How high the forehead rises above each brow point, relative to its middle: a hairline is an arch.
_FOREHEAD_ARCH = (0.55, 0.80, 0.93, 0.99, 1.0, 1.0, 0.99, 0.93, 0.80, 0.55)


@dataclass(frozen=True, slots=True)
class FaceMasks:
    """Masks of a batch of faces, each ``B x 1 x H x W`` float32 in ``[0, 1]``, zero for a face without landmarks.

    Args:
        hull: the convex hull of all landmarks and the forehead; antialiased over one pixel.
        skin: soft weights of the skin inside it: no eyes, brows or mouth, and a margin to hair and background.
    """

    hull: Tensor
    skin: Tensor


def check_landmarks(landmarks: Tensor) -> None:
    """Raises InputError unless ``landmarks`` is ``B x 68 x 2``."""
    if landmarks.ndim != 3 or landmarks.shape[1:] != (68, 2):
        raise InputError(f"landmarks must have shape B x 68 x 2 (iBUG order), but got {tuple(landmarks.shape)}")


def face_size(landmarks: Tensor) -> Tensor:
    """Face size in pixels, ``B``: the geometric mean of jaw width and brow-to-chin height, so that yaw changes it little.

    Twice the eye-to-mouth distance is a lower bound, for profiles. A face without landmarks (NaN) gets NaN.
    """
    check_landmarks(landmarks)
    width = (landmarks[:, 16] - landmarks[:, 0]).norm(dim=-1)
    height = (landmarks[:, 8] - landmarks[:, _BROWS].mean(1)).norm(dim=-1)
    return torch.maximum((width * height).sqrt(), 2 * _up(landmarks).norm(dim=-1))


def forehead_points(landmarks: Tensor, height: float = 0.6) -> Tensor:
    """An arch above the brows, ``B x 10 x 2``; ``height`` is in eye-to-mouth distances (1 is about the hairline)."""
    arch = landmarks.new_tensor(_FOREHEAD_ARCH)[None, :, None]
    return landmarks[:, _BROWS] + height * arch * _up(landmarks)[:, None]


def face_masks(landmarks: Tensor, height: int, width: int, forehead: float = 0.6) -> FaceMasks:
    """Masks of the face and of its skin.

    The hull is convex, so at large pose, where the far jaw line lies inside the face, it still covers all 68 points. It
    moves continuously with the landmarks.

    Args:
        landmarks: ``B x 68 x 2`` pixel positions in the window; a face with any NaN gets empty masks.
        height: rows of the masks.
        width: columns of the masks.
        forehead: how far above the brows the hull goes, in eye-to-mouth distances (1 is about the hairline).

    Raises:
        InputError: the landmarks have another shape.
    """
    points, there = _known(landmarks)
    grid = _grid(points, height, width)
    size = face_size(points)[:, None, None, None].clamp_min(1)

    face = torch.cat([points, forehead_points(points, forehead)], 1)
    inner = torch.cat([points[:, _JAW], points[:, _BROWS], forehead_points(points, 0.75 * forehead)], 1)
    hulls = convex_distance([face, inner], *grid, directions=64)
    parts = [points[:, part] for part in (_RIGHT_EYE, _LEFT_EYE, _MOUTH, _RIGHT_BROW, _LEFT_BROW)]
    feature = convex_distance(parts, *grid, directions=24).amin(1, keepdim=True)
    # margins in fractions of the face: 3 % around eyes, brows and lips, 4 % inside the contour, both fading over 4 %
    skin = _ramp(feature / size, 0.01, 0.05) * _ramp(-hulls[:, 1:] / size, 0.02, 0.06)

    hull = _inside(hulls[:, :1], height, width)
    skin = F.interpolate(skin, (height, width), mode="bilinear", align_corners=False)
    return FaceMasks(hull * there, skin * hull * there)


def face_hull(landmarks: Tensor, height: int, width: int, forehead: float = 0.6) -> Tensor:
    """The hull of :func:`face_masks` alone, ``B x 1 x H x W``, in a third of the time; arguments as there."""
    points, there = _known(landmarks)
    face = torch.cat([points, forehead_points(points, forehead)], 1)
    return _inside(convex_distance([face], *_grid(points, height, width), directions=64), height, width) * there


def _known(landmarks: Tensor) -> tuple[Tensor, Tensor]:
    """Finite landmarks (zeros for a face with a NaN), and ``B x 1 x 1 x 1`` whether a face has any."""
    check_landmarks(landmarks)
    known = landmarks.isfinite().all(-1).all(-1)
    return torch.where(known[:, None, None], landmarks, torch.zeros_like(landmarks)).float(), known[:, None, None, None]


def _grid(points: Tensor, height: int, width: int) -> tuple[int, int, Tensor]:
    """Rows and columns of the grid of distances, and its cells' size in pixels."""
    scale = max(1.0, max(height, width) / _GRID)
    rows, columns = math.ceil(height / scale), math.ceil(width / scale)
    return rows, columns, points.new_tensor([width / columns, height / rows])


def _inside(distance: Tensor, height: int, width: int) -> Tensor:
    """Where a signed distance on the grid is negative, at full size and antialiased over a pixel."""
    return (0.5 - F.interpolate(distance, (height, width), mode="bilinear", align_corners=False)).clamp(0, 1)


def convex_distance(parts: list[Tensor], rows: int, columns: int, step: Tensor, directions: int) -> Tensor:
    """Signed distances to the convex hulls of point sets, negative inside.

    For a convex set with support function h the signed distance of x is the maximum over unit vectors u of <x, u> - h(u);
    taking it over ``directions`` of them is off by at most 1 - cos(pi / directions) of the distance, and needs no explicit
    hull, no polygon filling and no loop over faces.

    Args:
        parts: point sets, ``B x N_i x 2``, in pixels.
        rows: rows of the result's grid.
        columns: columns of the result's grid.
        step: ``2``, pixels per grid cell in x and y; cells lie as in an image enlarged without aligned corners.
        directions: number of unit vectors.

    Returns:
        ``B x len(parts) x rows x columns``, in pixels.
    """
    device = parts[0].device
    angle = torch.arange(directions, device=device) * (2 * math.pi / directions)
    unit = torch.stack([angle.cos(), angle.sin()], 0)
    support = torch.stack([(part @ unit).amax(1) for part in parts], 1)[..., None]  # B x parts x K x 1
    x = (torch.arange(columns, device=device) + 0.5) * step[0] - 0.5
    y = (torch.arange(rows, device=device) + 0.5) * step[1] - 0.5
    along, across = x * unit[0, :, None], y * unit[1, :, None] - support  # K x columns, B x parts x K x rows: cheap beside their sums
    distance = across[:, :, 0, :, None] + along[0]
    for k in range(1, directions):
        distance = torch.maximum(distance, across[:, :, k, :, None] + along[k])
    return distance


def feather(mask: Tensor, radius: float) -> Tensor:
    """Alpha that is 1 wherever ``mask`` is at least one half and falls smoothly to 0 within ``radius`` pixels outside of it.

    It never cuts into the mask, so no original pixel shows through inside.

    Args:
        mask: ``B x 1 x H x W`` in ``[0, 1]``.
        radius: pixels; 0 gives the mask with its inside made solid.

    Raises:
        InputError: the mask is not ``B x 1 x H x W`` or the radius is negative or not finite.
    """
    if mask.ndim != 4 or mask.shape[1] != 1:
        raise InputError(f"a mask must have shape B x 1 x H x W, but got {tuple(mask.shape)}")
    if not (math.isfinite(radius) and radius >= 0):
        raise InputError(f"the feather's radius must be a number of pixels >= 0, but got {radius!r}")
    core = (mask >= 0.5).to(mask.dtype)
    if radius < 1:
        return torch.maximum(mask, core)
    # a wide feather is smooth: its distances are computed on a coarser grid (the widened core and the enlarging reach
    # at most two coarse cells too far, which the radius gives back)
    factor = max(1, math.ceil(radius / _FEATHER_STEPS))
    coarse = F.max_pool2d(core, factor, ceil_mode=True) if factor > 1 else core
    reach = radius / factor - (2 if factor > 1 else 0)
    ratio = (_squared_distance(coarse, math.ceil(reach)).sqrt() / reach).clamp(max=1)
    alpha = 1 - ratio.square() * (3 - 2 * ratio)
    if factor > 1:
        size = (alpha.shape[-2] * factor, alpha.shape[-1] * factor)
        alpha = F.interpolate(alpha, size, mode="bilinear", align_corners=False)[..., : mask.shape[-2], : mask.shape[-1]]
    return torch.maximum(alpha, core)


def _squared_distance(core: Tensor, reach: int) -> Tensor:
    """Exact squared distance to the nearest 1 in pixels, ``(reach + 1)^2`` or more where none is within ``reach``; separable."""
    distance = (1 - core) * (reach + 1) ** 2
    for dim in (-1, -2):
        best = distance.clone()
        for shift in range(1, min(reach, core.shape[dim] - 1) + 1):
            length = core.shape[dim] - shift
            moved = distance + shift**2
            for start, other in ((0, shift), (shift, 0)):
                near = best.narrow(dim, start, length)
                torch.minimum(near, moved.narrow(dim, other, length), out=near)
        distance = best
    return distance


def _up(landmarks: Tensor) -> Tensor:
    """From the upper lip's line to the eyes, ``B x 2``: points of like depth, so yaw does not tilt it as the nose would."""
    return landmarks[:, 36:48].mean(1) - landmarks[:, _UPPER_LIP].mean(1)


def _ramp(x: Tensor, low: float, high: float) -> Tensor:
    """0 below ``low``, 1 above ``high``, smooth between."""
    t = ((x - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)
