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
    centre = shape.mean(1, keepdim=True)
    width = 2 * (shape - centre).square().sum(-1).mean(1).sqrt().clamp_min(1.0)[:, None, None]
    to_donor = estimate_similarity(shape, donor)
    ring = shape.new_tensor(_RING).expand(len(shape), -1, -1)
    control = torch.cat([(shape - centre) / width, ring], 1)
    weights = _solve(control, torch.cat([donor - apply_affine(to_donor, shape), torch.zeros_like(ring)], 1))

    cells = min(GRID, side)
    axis = (torch.arange(cells, dtype=shape.dtype, device=shape.device) + 0.5) * (side / cells) - 0.5
    coarse = _evaluate(control, weights, (axis - centre.transpose(1, 2)) / width).float().contiguous()
    positions = F.interpolate(coarse, size=(side, side), mode="bilinear", align_corners=False)
    matrix = to_donor.float()
    axis = torch.arange(side, dtype=matrix.dtype, device=matrix.device)
    positions += matrix[:, :, 0, None, None] * axis
    positions += (matrix[:, :, 1, None] * axis + matrix[:, :, 2, None])[..., None]
    return positions.permute(0, 2, 3, 1)


def _solve(control: Tensor, values: Tensor) -> Tensor:
    """Weights ``B x (N + 3) x 2`` of the spline that takes ``B x N x 2`` points to ``B x N x 2`` values."""
    count, n = control.shape[:2]
    one = torch.eye(n, dtype=control.dtype, device=control.device)
    affine = torch.cat([torch.ones_like(control[..., :1]), control], -1)
    system = control.new_zeros(count, n + 3, n + 3)
    system[:, :n, :n] = _kernel((control[:, :, None] - control[:, None]).square().sum(-1)) + SMOOTHING * one
    system[:, :n, n:] = affine
    system[:, n:, :n] = affine.transpose(1, 2)
    system[:, n:, n:] -= 1e-9 * one[:3, :3]
    return torch.linalg.solve(system, torch.cat([values, values.new_zeros(count, 3, 2)], 1))


def _evaluate(control: Tensor, weights: Tensor, axes: Tensor) -> Tensor:
    """The spline on a grid: ``B x 2 x rows x columns`` at the columns ``axes[:, 0]`` and the rows ``axes[:, 1]`` (``B x 2 x K``)."""
    n = control.shape[1]
    x, y = ((axes[:, i, :, None] - control[:, None, :, i]).square() for i in (0, 1))  # squared distances are sums of these
    bent = _kernel(y[:, :, None] + x[:, None]) @ weights[:, None, :n]
    plane = weights[:, n:, :, None, None]
    return bent.permute(0, 3, 1, 2) + plane[:, 0] + plane[:, 1] * axes[:, None, None, 0] + plane[:, 2] * axes[:, None, 1, :, None]


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
