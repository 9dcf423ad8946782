"""Mesh points for packed faces, for ``mesh478``: placed on the canonical crops themselves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from fo_faceanon.errors import InputError
from fo_faceanon.training.packed import put_mesh, read_faces

#: Less certain points are left out.
_PRESENCE = 0.5
#: Faces marked between two reports of progress.
_AT_ONCE = 50


class MeshLandmarker(Protocol):
    """Places 478 points; see :meth:`fo_faceanon.landmarks.mesh478.Mesh478.mark_windows`."""

    def mark_windows(self, windows: Tensor, landmarks: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor, Tensor]: ...


def add_mesh(folder: Path, landmarker: MeshLandmarker, progress: Callable[[str, int, int], None] | None = None) -> dict[str, int]:
    """Adds mesh points to every shard of a folder; shards that have them are done again.

    Args:
        folder: of packed shards.
        landmarker: places the points.
        progress: called with ``shard, faces done, faces``.

    Returns:
        Shard -> how many of its faces have points now.

    Raises:
        InputError: there are no shards.
    """
    paths = sorted(folder.glob("*.npz"))
    if not paths:
        raise InputError(f"{folder} holds no packed faces: prepare them with `fo-faceanon train prepare`")
    return {path.name: _mark_shard(path, landmarker, progress) for path in paths}


def _mark_shard(path: Path, landmarker: MeshLandmarker, progress: Callable[[str, int, int], None] | None) -> int:
    faces = read_faces(path)
    marked = []
    for start in range(0, len(faces), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        landmarks = faces.landmarks[part]
        boxes = torch.cat([landmarks.amin(1), landmarks.amax(1)], 1)
        points, presence, _ = landmarker.mark_windows(faces.pictures[part], landmarks, boxes)
        certain = (presence >= _PRESENCE)[:, None, None]
        marked.append(torch.where(certain, points[..., :2], torch.nan).cpu())
        if progress is not None:
            progress(path.name, min(start + _AT_ONCE, len(faces)), len(faces))
    mesh = torch.cat(marked)
    put_mesh(path, mesh.numpy())
    return int(mesh.isfinite().all(-1).all(-1).sum())
