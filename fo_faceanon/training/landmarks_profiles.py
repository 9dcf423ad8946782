"""Faces turned further than they were photographed: pictures of large yaw, of which the training sets have few.

After Zhu et al. 2016 (CVPR, "Face Alignment Across Large Poses"), with MediaPipe's mesh in the place of a fitted morphable model: the
mesh and rings of points around it, taken to lie on a head, are turned about the head's axis, and the picture's triangles follow.
"""

from __future__ import annotations

import cv2
import numpy as np

from fo_faceanon.training.landmarks_mapping import upright

#: The mesh's outline, in order.
_OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150, 136, 172, 58, 132,
    93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
#: Rings around the outline: how far out (of the outline's distance to its middle), and how far behind it (of the face's height).
_RINGS = ((1.12, 0.12), (1.28, 0.32), (1.5, 0.55))
#: Points per side of the picture's border, which stays where it is.
_BORDER = 8
#: Where the head turns: this far behind the outline's middle, of the face's height.
_AXIS = 0.25


def turn_face(crop: np.ndarray, mesh: np.ndarray, degrees: float) -> tuple[np.ndarray, np.ndarray]:
    """A face turned by more yaw in the direction in which it looks already, so that what comes into sight was in sight.

    Args:
        crop: ``S x S x 3`` uint8.
        mesh: ``478 x 3`` crop pixels, z in the same unit, smaller is nearer.
        degrees: positive turns the nose to the image's right.

    Returns:
        The picture, and the turned mesh.
    """
    points = np.concatenate([mesh, *_rings(mesh)])
    turned = _rotate(points, mesh, degrees)
    border = _border(crop.shape[0])
    source = np.concatenate([points[:, :2], border])
    target = np.concatenate([turned[:, :2], border])
    depth = np.concatenate([turned[:, 2], np.full(len(border), turned[:, 2].max())])
    return _redraw(crop, source, target, depth), turned[: len(mesh)].astype(np.float32)


def _rings(mesh: np.ndarray) -> list[np.ndarray]:
    oval = mesh[list(_OVAL)]
    middle, height = oval.mean(0), float(np.linalg.norm(mesh[152] - mesh[10]))
    rings = []
    for reach, behind in _RINGS:
        ring = middle + (oval - middle) * [reach, reach, 1.0]
        ring[:, 2] += behind * height
        rings.append(ring)
    return rings


def _border(size: int) -> np.ndarray:
    steps = np.linspace(-0.25 * size, 1.25 * size, _BORDER)
    low, high = np.full(_BORDER, steps[0]), np.full(_BORDER, steps[-1])
    sides = [np.stack(pair, 1) for pair in ((steps, low), (steps, high), (low, steps), (high, steps))]
    return np.unique(np.concatenate(sides), axis=0)


def _rotate(points: np.ndarray, mesh: np.ndarray, degrees: float) -> np.ndarray:
    """About the line from forehead to chin in the picture's plane, moved back into the head."""
    turn = np.eye(3)
    turn[:2, :2] = upright(mesh[None])[0]
    angle = np.radians(degrees)
    yaw = np.array([[np.cos(angle), 0, -np.sin(angle)], [0, 1, 0], [np.sin(angle), 0, np.cos(angle)]])
    oval = mesh[list(_OVAL)]
    centre = oval.mean(0) + np.array([0, 0, _AXIS * float(np.linalg.norm(mesh[152] - mesh[10]))])
    moved = (points - centre) @ turn.T @ yaw.T @ turn + centre
    moved[:, :2] += oval[:, :2].mean(0) - moved[list(_OVAL), :2].mean(0)
    return moved


def _redraw(crop: np.ndarray, source: np.ndarray, target: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """The picture with its triangles moved, nearer ones over farther ones."""
    size = crop.shape[0]
    triangles = _delaunay(source)
    order = np.argsort(-depth[triangles].mean(1))
    triangles = triangles[order]
    chosen = np.full((size, size), -1, np.int32)
    for number, corners in enumerate(np.rint(target[triangles] * 16).astype(np.int32)):
        cv2.fillConvexPoly(chosen, corners, number, shift=4)
    ones = np.ones((len(triangles), 3, 1))
    before, after = np.concatenate([source[triangles], ones], 2), np.concatenate([target[triangles], ones], 2)
    maps = np.linalg.pinv(after) @ before  # row vectors: (x, y, 1) of the target to those of the source
    rows, columns = np.mgrid[:size, :size]
    positions = np.stack([columns, rows, np.ones_like(rows)], -1).astype(np.float64)
    found = np.einsum("hwi,hwij->hwj", positions, maps[chosen])[..., :2]
    found = np.where(chosen[..., None] >= 0, found, positions[..., :2]).astype(np.float32)
    return cv2.remap(crop, found[..., 0], found[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _delaunay(points: np.ndarray) -> np.ndarray:
    from scipy.spatial import Delaunay

    return Delaunay(points).simplices
