"""Surface normals of a generic face in the pose of 68 landmarks."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from fo_faceanon.photometry.skin import forehead_points

#: The subject's right half and the midline of a generic head, in millimetres from the base of the nose: x to the image's right,
#: y down, z towards the camera. Estimated from facial proportions for this package; light needs no more than that.
_HALF = {
    0: (-71, -36, -88), 1: (-71, -15, -86), 2: (-69, 7, -82), 3: (-65, 28, -76), 4: (-58, 46, -67), 5: (-47, 60, -55),
    6: (-33, 70, -44), 7: (-17, 76, -36), 8: (0, 78, -33), 17: (-58, -52, -48), 18: (-50, -60, -37), 19: (-39, -63, -30),
    20: (-28, -61, -25), 21: (-17, -57, -22), 27: (0, -42, -23), 28: (0, -29, -15), 29: (0, -17, -7), 30: (0, -8, 0),
    31: (-13, 1, -19), 32: (-7, 3, -14), 33: (0, 4, -11), 36: (-45, -38, -43), 37: (-37, -43, -36), 38: (-26, -43, -33),
    39: (-17, -37, -36), 40: (-26, -34, -35), 41: (-37, -34, -37), 48: (-26, 29, -32), 49: (-16, 23, -22), 50: (-6, 20, -16),
    51: (0, 21, -15), 57: (0, 38, -18), 58: (-7, 37, -19), 59: (-17, 34, -24), 60: (-22, 29, -30), 61: (-8, 27, -20),
    62: (0, 27, -18), 66: (0, 31, -18), 67: (-8, 30, -20),
}  # fmt: skip
#: Where the other half's points come from: a mirrored index for every point of the subject's left.
_MIRROR = (
    {16 - i: i for i in range(8)} | {26 - i: 17 + i for i in range(5)} | {35: 31, 34: 32} | {45: 36, 44: 37, 43: 38, 42: 39, 47: 40, 46: 41}
    | {54: 48, 53: 49, 52: 50, 56: 58, 55: 59, 64: 60, 63: 61, 65: 67}
)  # fmt: skip
#: The forehead arch above the ten brow points, as `forehead_points` has it in the image.
_FOREHEAD_Z = (-56, -42, -34, -30, -28, -28, -30, -34, -42, -56)

#: Points that neither speech nor expression moves much.
_RIGID = [1, 15, *range(17, 48)]


@lru_cache(maxsize=1)
def canonical_head() -> Tensor:
    """``78 x 3``: 68 landmarks and ten points of the forehead, in millimetres, z towards the camera."""
    points = torch.zeros(68, 3)
    for index, position in _HALF.items():
        points[index] = torch.tensor(position, dtype=torch.float32)
    for index, source in _MIRROR.items():
        points[index] = points[source] * torch.tensor([-1.0, 1.0, 1.0])
    arch = forehead_points(points[None, :, :2])[0]
    return torch.cat([points, torch.cat([arch, torch.tensor(_FOREHEAD_Z, dtype=torch.float32)[:, None]], 1)])


@lru_cache(maxsize=1)
def canonical_normals() -> Tensor:
    """``78 x 3`` unit normals of a smooth surface through the canonical points."""
    head = canonical_head().double()
    shifts = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], dtype=torch.float64) * 4  # a slope over 4 mm, not at a point
    queries = torch.cat([head[:, :2] + s * d for s in (1, -1) for d in shifts[1:]])
    depth = thin_plate(head[None, :, :2], head[None, :, 2:], queries[None], smoothing=0.02)[0, :, 0].view(2, 2, -1)
    slope = (depth[0] - depth[1]) / 8
    normals = torch.stack([-slope[0], -slope[1], torch.ones_like(slope[0])], -1)
    return torch.nn.functional.normalize(normals, dim=-1).float()


@lru_cache(maxsize=1)
def _rigid_solver() -> Tensor:
    """``N x 3`` pseudo-inverse of the centred rigid points."""
    model = canonical_head()[_RIGID]
    return torch.linalg.pinv(model - model.mean(0)).T


def estimate_rotation(landmarks: Tensor) -> Tensor:
    """Rotations ``B x 3 x 3`` from the generic head to the camera, by scaled orthography on the rigid points.

    The least-squares affine camera, made orthonormal; jaw and mouth, which move, do not take part.

    Args:
        landmarks: ``B x 68 x 2``; finite.
    """
    image = landmarks[:, _RIGID] - landmarks[:, _RIGID].mean(1, keepdim=True)
    camera = image.transpose(1, 2) @ _rigid_solver().to(landmarks)
    camera = camera + 1e-6 * torch.eye(2, 3, device=camera.device, dtype=camera.dtype)  # coincident points: frontal
    u, _, vh = torch.linalg.svd(camera, full_matrices=False)
    rows = u @ vh
    return torch.cat([rows, torch.linalg.cross(rows[:, 0], rows[:, 1])[:, None]], 1)


def face_normals(landmarks: Tensor, height: int, width: int, grid: int = 32) -> Tensor:
    """Unit normals ``B x 3 x H x W`` (x right, y down, z towards the camera), smooth beyond the face's contour.

    The generic head's normals, turned by the pose of the landmarks, are spread over the window by a thin-plate spline.

    Args:
        landmarks: ``B x 68 x 2`` window pixels; a face with any NaN gets normals that all look at the camera.
        height: rows.
        width: columns.
        grid: longer side of the grid on which the spline is evaluated.
    """
    known = landmarks.isfinite().all(-1).all(-1)[:, None, None]
    points = torch.where(known, landmarks, canonical_head()[:68, :2].to(landmarks))
    points = torch.cat([points, forehead_points(points)], 1)
    turned = canonical_normals().to(landmarks) @ estimate_rotation(points[:, :68]).transpose(1, 2)
    rows, columns = (max(1, round(grid * side / max(height, width))) for side in (height, width))
    x = (torch.arange(columns, device=landmarks.device) + 0.5) * (width / columns) - 0.5
    y = (torch.arange(rows, device=landmarks.device) + 0.5) * (height / rows) - 0.5
    queries = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).reshape(1, -1, 2).expand(len(points), -1, -1)
    normals = thin_plate(points, turned, queries, smoothing=0.1).transpose(1, 2).reshape(-1, 3, rows, columns)
    normals = torch.nn.functional.interpolate(normals, (height, width), mode="bilinear", align_corners=False)
    frontal = normals.new_tensor([0.0, 0.0, 1.0])[None, :, None, None]
    normals = torch.where(known[..., None], normals, frontal)
    x, y, z = normals[:, 0], normals[:, 1], normals[:, 2].clamp_min(0.05)  # what is seen looks towards the camera
    length = (x * x + y * y + z * z).sqrt_()  # whole planes: a norm over the channels is slow
    return torch.stack([x / length, y / length, z / length], 1)


def thin_plate(points: Tensor, values: Tensor, queries: Tensor, smoothing: float) -> Tensor:
    """Smoothed thin-plate splines (Wahba 1990), batched.

    Args:
        points: ``B x N x 2``; coincident points are fine, smoothing keeps the system regular.
        values: ``B x N x C``.
        queries: ``B x M x 2``.
        smoothing: ridge on the kernel, in units of the squared spread of the points; above 0.

    Returns:
        ``B x M x C``.
    """
    centre = points.mean(1, keepdim=True)
    spread = (points - centre).square().sum(-1).mean(1).clamp_min(1e-6).sqrt()[:, None, None]
    points, queries = (points - centre) / spread, (queries - centre) / spread
    n = points.shape[1]
    affine = torch.cat([torch.ones_like(points[..., :1]), points], -1)
    ridge = smoothing * torch.eye(n, device=points.device, dtype=points.dtype)
    top = torch.cat([_kernel(points, points) + ridge, affine], -1)
    corner = -1e-6 * torch.eye(3, device=points.device, dtype=points.dtype).expand(len(points), 3, 3)
    system = torch.cat([top, torch.cat([affine.transpose(1, 2), corner], -1)], 1)
    right = torch.cat([values, values.new_zeros(len(values), 3, values.shape[-1])], 1)
    weights = torch.linalg.solve(system, right)
    basis = torch.cat([_kernel(queries, points), torch.ones_like(queries[..., :1]), queries], -1)
    return basis @ weights


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    """``r^2 log r`` between two point sets."""
    squared = (a[:, :, None] - b[:, None]).square().sum(-1)
    return 0.5 * squared * squared.clamp_min(1e-12).log()
