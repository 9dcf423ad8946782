"""Faces of several detectors, or of a user, as one list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fo_faceanon.errors import InputError
from fo_faceanon.faces import Face, box_iou


def same_face(a: Sequence[float], b: Sequence[float], iou: float = 0.35, inside: float = 0.75) -> bool:
    """Whether two boxes ``(x0, y0, x1, y1)`` show one face: they overlap by ``iou``, or one holds ``inside`` of the other.

    The second rule is for detectors that draw tight and loose boxes, so the larger box may have four times the area at most: a
    face in front of a larger one is a face of its own.
    """
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return False
    inter = width * height
    small, large = sorted(((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1])))
    return inter >= iou * (small + large - inter) or (inter >= inside * small and large <= 4 * small)


def merge_faces(groups: Sequence[Sequence[Face]]) -> list[Face]:
    """One list of the faces in several, each face once.

    A face of a later group that shows the same face as one before (:func:`same_face`) is dropped; its detector's name is joined
    (``mtcnn+yunet``), the higher score kept, and what only it knows (landmarks, key, person) taken over. Faces of one
    group are not compared with each other.
    """
    merged: list[Face] = []
    for group in groups:
        earlier = len(merged)
        for face in group:
            overlaps = [i for i in range(earlier) if same_face(merged[i].box, face.box)]
            if not overlaps:
                merged.append(face)
            for i in overlaps:
                merged[i] = _join(merged[i], face)
    return merged


def _join(first: Face, second: Face) -> Face:
    names = first.detector.split("+")
    names += [name for name in second.detector.split("+") if name not in names]
    return replace(
        first,
        score=max(first.score, second.score),
        detector="+".join(names),
        landmarks=first.landmarks if first.landmarks is not None else second.landmarks,
        key=first.key or second.key,
        person=first.person or second.person,
        keep=first.keep or second.keep,
    )


def confirming_face(face: Face, found: Sequence[Face]) -> Face | None:
    """The face whose box landmarks are placed from: a detector's own, or of those ``found`` in the picture the one that overlaps a
    user's box most; None where none does. A user's box may be loose, tight or off."""
    if face.detector != "user":
        return face
    best = max(found, key=lambda other: box_iou(other.box, face.box), default=None)
    return best if best is not None and same_face(best.box, face.box) else None


def faces_from_boxes(
    boxes: Sequence[Sequence[float]] | np.ndarray, scores: Sequence[float] | None = None, keys: Sequence[str | None] | None = None
) -> list[Face]:
    """Faces that someone else found.

    Args:
        boxes: ``N x 4`` ``(x0, y0, x1, y1)`` in pixels of the oriented image; they may leave the image.
        scores: N values in ``[0, 1]``; 1 where not given.
        keys: N names, see :class:`~fo_faceanon.faces.Face`.

    Raises:
        InputError: a wrong shape, number, or an empty or non-finite box.
    """
    array = np.asarray(boxes, dtype=np.float64)
    if array.size == 0:
        array = array.reshape(0, 4)
    if array.ndim != 2 or array.shape[1] != 4:
        raise InputError(f"boxes must have shape (N, 4) with x0, y0, x1, y1 in pixels, but got {array.shape}")
    for name, values in (("scores", scores), ("keys", keys)):
        if values is not None and len(values) != len(array):
            raise InputError(f"{name} must have one entry for each of {len(array)} boxes, but got {len(values)}")
    faces = []
    for i, (x0, y0, x1, y1) in enumerate(array.tolist()):
        score = 1.0 if scores is None else float(scores[i])
        if not np.isfinite([x0, y0, x1, y1]).all() or x1 - x0 <= 0 or y1 - y0 <= 0:
            raise InputError(f"box {i} must be finite with x1 > x0 and y1 > y0 in pixels, but got {[x0, y0, x1, y1]}")
        if not 0 <= score <= 1:
            raise InputError(f"score {i} must be in [0, 1], but got {score}")
        faces.append(Face((x0, y0, x1, y1), score=score, key=None if keys is None else keys[i]))
    return faces
