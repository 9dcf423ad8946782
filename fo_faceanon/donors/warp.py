"""Smooth warps between two sets of landmarks: thin-plate splines, solved per face, evaluated on a coarse grid."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from fo_faceanon.faces import apply_affine, estimate_similarity, grid_sample_pixels

#: Cells along a window's side at which the spline is evaluated; between them it is interpolated (it is smooth).
GRID = 48
#: Smoothing of the spline, in units of the control points' spread: landmarks are noisy by about a hundredth of it.
SMOOTHING = 1e-3
#: Control points around the head, as (x, y) in face widths from the face's centre, that keep the warp tame far from the face.
_RING = ((-1.2, -1.2), (0.0, -1.4), (1.2, -1.2), (-1.4, 0.0), (1.4, 0.0), (-1.2, 1.2), (0.0, 1.4), (1.2, 1.2))


def _kernel(distance2: Tensor) -> Tensor:
    return distance2 * torch.log(distance2.clamp_min(1e-12))


def spline_positions(shape: Tensor, donor: Tensor, side: int) -> Tensor:
    """For every pixel of a window, the donor position that it shows.

    A thin-plate spline (Bookstein 1989) through the landmarks, with eight points around the head that follow the
    overall similarity, smoothed a little. Everything is bounded: coincident or absurd landmarks give a smooth map, never
    a hang or a number that is not finite.

    Args:
        shape: ``B x 68 x 2`` landmarks in the window.
        donor: ``B x 68 x 2`` the donor's landmarks in its picture.
        side: the window's side in pixels.

    Returns:
        ``B x side x side x 2`` donor pixel positions (x, y).
    """
    shape, donor = shape.double(), donor.double()
    count, device = len(shape), shape.device
    centre = shape.mean(1, keepdim=True)
    width = 2 * (shape - centre).square().sum(-1).mean(1).sqrt().clamp_min(1.0)[:, None, None]
    to_donor = estimate_similarity(shape, donor)
    ring = shape.new_tensor(_RING).expand(count, -1, -1)
    control = torch.cat([(shape - centre) / width, ring], 1)
    residual = torch.cat([donor - apply_affine(to_donor, shape), torch.zeros_like(ring)], 1)

    n = control.shape[1]
    affine = torch.cat([torch.ones_like(control[..., :1]), control], -1)
    system = control.new_zeros(count, n + 3, n + 3)
    system[:, :n, :n] = _kernel(torch.cdist(control, control).square()) + SMOOTHING * torch.eye(n, dtype=shape.dtype, device=device)
    system[:, :n, n:] = affine
    system[:, n:, :n] = affine.transpose(1, 2)
    system[:, n:, n:] -= 1e-9 * torch.eye(3, dtype=shape.dtype, device=device)
    weights = torch.linalg.solve(system, torch.cat([residual, residual.new_zeros(count, 3, 2)], 1))

    cells = min(GRID, side)
    axis = (torch.arange(cells, dtype=shape.dtype, device=device) + 0.5) * (side / cells) - 0.5
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).reshape(1, -1, 2).expand(count, -1, -1)
    local = (grid - centre) / width
    basis = torch.cat([_kernel(torch.cdist(local, control).square()), torch.ones_like(local[..., :1]), local], -1)
    coarse = (basis @ weights).reshape(count, cells, cells, 2).permute(0, 3, 1, 2).float()
    offsets = F.interpolate(coarse, size=(side, side), mode="bilinear", align_corners=False).permute(0, 2, 3, 1)
    return offsets + _affine_positions(to_donor.float(), side)


def _affine_positions(matrix: Tensor, side: int) -> Tensor:
    axis = torch.arange(side, dtype=matrix.dtype, device=matrix.device)
    rows = matrix[:, :, 1, None] * axis + matrix[:, :, 2, None]
    columns = matrix[:, :, 0, None] * axis
    return (rows[:, :, :, None] + columns[:, :, None, :]).permute(0, 2, 3, 1)


def warp_donors(pictures: Tensor, donor: Tensor, shape: Tensor, side: int) -> Tensor:
    """Donor pictures bent so that their landmarks fall on ``shape``.

    Args:
        pictures: ``B x 3 x P x P`` in ``[0, 1]``.
        donor: ``B x 68 x 2`` landmarks in the pictures.
        shape: ``B x 68 x 2`` landmarks in the window.
        side: the window's side in pixels.

    Returns:
        ``B x 3 x side x side``; antialiased where the picture is shrunk.
    """
    matrix = estimate_similarity(shape, donor)
    steps = matrix[:, :, 0].square().sum(1).sqrt().clamp(1e-3, 64).tolist()  # donor pixels per window pixel
    positions = spline_positions(shape, donor, side)
    # One face at a time where the prefilter differs, so that a face's result never depends on its neighbours in the batch.
    return torch.cat([_sample(pictures[i : i + 1], positions[i : i + 1], step) for i, step in enumerate(steps)])


def _sample(pictures: Tensor, positions: Tensor, step: float) -> Tensor:
    factor = int(step)
    if factor > 1:
        pictures = F.avg_pool2d(pictures, factor, ceil_mode=True, count_include_pad=False)
        positions = (positions + 0.5) / factor - 0.5
    mode = "bicubic" if step < 0.75 else "bilinear"  # enlarging: bicubic keeps edges crisper
    return grid_sample_pixels(pictures, positions, mode).clamp(0, 1)
