"""Head pose from mesh points, as MediaPipe's face geometry module finds it: a similarity from a canonical head to the points.

The camera is taken for one of 63 degrees vertical field of view whose picture is the whole image. Depth of the points is known
only up to a scale; two rounds of a weighted Procrustes fit find the scale at which the points are as large as the canonical head
(`geometry_pipeline.cc` of MediaPipe, Apache-2.0, written anew from its description).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fo_faceanon.errors import WeightsError
from fo_faceanon.recognition.graphdef import protobuf_fields

_FIELD_OF_VIEW = math.radians(63)
# Field numbers of mediapipe/modules/face_geometry/protos/{geometry_pipeline_metadata,mesh_3d}.proto
_MESH, _BASIS, _VERTICES, _POINT, _WEIGHT, _FLOATS_PER_VERTEX = 1, 2, 3, 1, 2, 5


@dataclass(frozen=True, slots=True)
class CanonicalHead:
    """The points that a pose is fitted to.

    Args:
        index: ``K`` numbers of mesh points.
        positions: ``K x 3`` float64 centimetres: x to the head's left, y up, z to the front.
        weights: ``K`` float64.
    """

    index: list[int]
    positions: Tensor
    weights: Tensor


def read_canonical_head(data: bytes) -> CanonicalHead:
    """The canonical head in ``face_landmarker.task``.

    Raises:
        WeightsError: the data are damaged.
    """
    try:
        fields = list(protobuf_fields(memoryview(data)))
        mesh = next(value for number, value in fields if number == _MESH)
        values = b"".join(bytes(value) for number, value in protobuf_fields(mesh) if number == _VERTICES)
        vertices = np.frombuffer(values, "<f4").reshape(-1, _FLOATS_PER_VERTEX)[:, :3]
        basis = [dict(protobuf_fields(value)) for number, value in fields if number == _BASIS]
        index = [int(entry[_POINT]) for entry in basis]
        weights = [float(np.frombuffer(entry[_WEIGHT], "<f4")[0]) for entry in basis]
        return CanonicalHead(index, torch.from_numpy(vertices[index].astype(np.float64)), torch.tensor(weights, dtype=torch.float64))
    except (ValueError, KeyError, IndexError, StopIteration) as error:
        raise WeightsError(f"the canonical head in face_landmarker.task cannot be read: {error}") from error


def head_pose(points: Tensor, height: int, width: int, head: CanonicalHead) -> Tensor:
    """Similarity transforms from the canonical head to camera space (centimetres; x right, y up, z towards the viewer).

    Args:
        points: ``B x 478 x 3`` in image pixels, pixel centres at integers; z in the same unit.
        height: of the image, in pixels.
        width: of the image, in pixels.
        head: the canonical head.

    Returns:
        ``B x 4 x 4`` float64; the linear part is a rotation times a scale near 1.
    """
    points = points.double()
    unit = 2 * math.tan(_FIELD_OF_VIEW / 2) / height
    shift = points.new_tensor([(width - 1) / 2, (height - 1) / 2, 0])
    screen = (points - shift) * points.new_tensor([unit, -unit, unit])
    depth = screen[:, :468, 2].mean(1)[:, None]
    screen = screen[:, head.index]
    positions, weights = head.positions.to(points.device), head.weights.to(points.device)
    scale = _fit(positions, screen * screen.new_tensor([1, 1, -1]), weights)[:, :3, 0].norm(dim=1)[:, None]
    scale = scale * _fit(positions, _unproject(screen, depth, scale), weights)[:, :3, 0].norm(dim=1)[:, None]
    return _fit(positions, _unproject(screen, depth, scale), weights)


def _unproject(screen: Tensor, depth: Tensor, scale: Tensor) -> Tensor:
    """Points before the camera (whose picture lies at distance 1), if their depth is ``scale`` times too large."""
    away = (screen[..., 2] - depth + 1) / scale
    return torch.stack([screen[..., 0] * away, screen[..., 1] * away, -away], -1)


def _fit(source: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Weighted least-squares similarities, ``B x 4 x 4``, from ``K x 3`` to ``B x K x 3`` (Umeyama 1991)."""
    share = (weights / weights.sum())[:, None]
    middle, middles = (share * source).sum(0), (share * target).sum(1)
    s, t = source - middle, target - middles[:, None]
    u, _, v = torch.linalg.svd(torch.einsum("bki,kj->bij", share * t, s))
    sign = torch.ones_like(middles)
    sign[:, 2] = torch.det(u @ v).sign()
    rotation = (u * sign[:, None]) @ v
    scale = (share * t * torch.einsum("bij,kj->bki", rotation, s)).sum((1, 2)) / (share * s.square()).sum().clamp_min(1e-12)
    result = torch.eye(4, dtype=target.dtype, device=target.device).repeat(len(target), 1, 1)
    result[:, :3, :3] = rotation * scale[:, None, None]
    result[:, :3, 3] = middles - torch.einsum("bij,j->bi", result[:, :3, :3], middle)
    return result
