"""68 iBUG points out of MediaPipe's 478: affine combinations of mesh vertices, fitted to dlib's points where both are sure.

A combination whose weights sum to 1 follows every turn of the head, so what is fitted on faces that dlib can mark holds for
profiles, which it cannot. Only the jaw's far half is no fixed place of the head: dlib's jaw runs along what can be seen.
"""

from __future__ import annotations

import numpy as np

from fo_faceanon.landmarks.net68 import face_size

#: The vertices that lie nearest to the 68 points, by eye on the canonical mesh.
NEAREST = (
    162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389, 71, 63, 105, 66, 107, 336, 296, 334, 293, 301,
    168, 197, 5, 4, 75, 97, 2, 326, 305, 33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380, 61, 39, 37, 0, 267, 269, 291, 405,
    314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87,
)  # fmt: skip
#: Vertices in a combination, and the ridge penalty on their weights (points in face sizes, summed over faces).
_NEIGHBOURS, _RIDGE = 14, 3e-4
#: Degrees of yaw between which the jaw's far half moves from its place on the head to the outline.
_OUTLINE_FROM, _OUTLINE_TO = 12.0, 30.0
#: The face oval of MediaPipe's mesh and the two rings of vertices inside it, at the sides.
_OUTER = (
    54, 21, 162, 127, 234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 323, 454, 356, 389,
    251, 284, 68, 71, 139, 34, 227, 137, 177, 215, 138, 135, 169, 170, 140, 171, 396, 369, 395, 394, 364, 367, 435, 401, 366, 447, 264,
    368, 301, 298, 156, 143, 116, 123, 147, 213, 192, 214, 383, 372, 345, 352, 376, 433, 416, 434,
)  # fmt: skip


def upright(mesh: np.ndarray) -> np.ndarray:
    """``N x 2 x 2`` rotations of the picture that make faces upright, from the line between chin and forehead."""
    down = mesh[:, 152, :2] - mesh[:, 10, :2]
    down = down / np.maximum(np.linalg.norm(down, axis=1, keepdims=True), 1e-6)
    return np.stack([np.stack([down[:, 1], -down[:, 0]], 1), down], 1)


def fit_mapping(mesh: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Weights ``68 x 478`` with rows that sum to 1.

    Args:
        mesh: ``N x 478 x 3`` pixels.
        points: ``N x 68 x 2`` dlib's, in the same pixels.
    """
    size = face_size(points)[:, None, None]
    vertices, target = mesh[..., :2] / size, points / size
    frontal = (vertices - vertices.mean(1, keepdims=True)).mean(0)
    weights = np.zeros((68, 478))
    for k, nearest in enumerate(NEAREST):
        near = np.argsort(np.linalg.norm(frontal - frontal[nearest], axis=1))[:_NEIGHBOURS]
        # Differences to the nearest vertex leave the sum of the weights free to be 1.
        basis = (vertices[:, near[1:]] - vertices[:, near[:1]]).transpose(0, 2, 1).reshape(-1, _NEIGHBOURS - 1)
        goal = (target[:, k] - vertices[:, near[0]]).reshape(-1)
        gram = basis.T @ basis + _RIDGE * len(basis) * np.eye(_NEIGHBOURS - 1)
        found = np.linalg.solve(gram, basis.T @ goal)
        weights[k, near[1:]] = found
        weights[k, near[0]] = 1.0 - found.sum()
    return weights


def map_mesh(mesh: np.ndarray, yaw: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """``N x 68 x 2`` points of ``N x 478 x 3`` meshes with ``N`` degrees of yaw (positive: nose to image right)."""
    points = np.einsum("kv,nvc->nkc", weights, mesh[..., :2])
    turn = upright(mesh)
    turned = np.einsum("nij,nkj->nki", turn, points)
    vertices = np.einsum("nij,nvj->nvi", turn, mesh[..., :2])
    amount = np.clip((np.abs(yaw) - _OUTLINE_FROM) / (_OUTLINE_TO - _OUTLINE_FROM), 0, 1)
    sign = np.where(yaw >= 0, 1.0, -1.0)
    for k in range(17):
        far = ((k > 8) & (yaw > 0)) | ((k < 8) & (yaw < 0))
        edge = sign * _outline(vertices, turned[:, k, 1], sign)
        outside = np.maximum(edge - sign * turned[:, k, 0], 0)
        ease = min(abs(k - 8) / 3, 1.0)  # the chin stays the chin
        turned[:, k, 0] += np.where(far, sign * amount * ease * outside, 0)
    return np.einsum("nji,nkj->nki", turn, turned).astype(np.float32)


def _outline(vertices: np.ndarray, level: np.ndarray, sign: np.ndarray) -> np.ndarray:
    """The outermost x on the side of ``sign``, near the height ``level``, of the vertices that can be an outline."""
    span = np.ptp(vertices[..., 1], axis=1)
    chosen = vertices[:, list(_OUTER)]
    distance = np.abs(chosen[..., 1] - level[:, None])
    reach = np.maximum(0.05 * span, distance.min(1) + 1e-6)
    return sign * np.where(distance <= reach[:, None], sign[:, None] * chosen[..., 0], -np.inf).max(1)
