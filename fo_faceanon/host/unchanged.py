"""Whether the other faces of a picture came out as they were when one of them was made again."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from fo_faceanon.errors import InputError
from fo_faceanon.faces import Face
from fo_faceanon.images import DecodedImage, decode_image
from fo_faceanon.records import FaceRecord
from fo_faceanon.verify import MIN_CHANGE
from fo_faceanon.windows import window_of

#: Pixels around a window whose colours a change inside it can reach: rounded landmarks, and where coding is lossy, its blocks.
_REACH, _REACH_LOSSY = 4, 24


def others_unchanged(old: Path, old_sha256: str | None, new: Path, faces: Sequence[FaceRecord], chosen: Collection[str | None]) -> bool:
    """True where two outputs of one original show the same outside of the chosen faces' surroundings.

    Bit for bit; or, where the machine or a lossy format rounds otherwise, by less than :data:`fo_faceanon.verify.MIN_CHANGE` grey levels on
    average over each other face.

    Args:
        old: the picture that is to be replaced.
        old_sha256: of the bytes that were written then.
        new: the picture that is to replace it.
        faces: all faces of the new one.
        chosen: keys of those that may differ.
    """
    try:
        before, after = decode_image(old), decode_image(new)
    except InputError:
        return False
    if before.file_sha256 != old_sha256 or before.pixels.shape != after.pixels.shape:
        return False
    free = _surroundings(after, [face for face in faces if face.key in chosen])
    distance = np.abs(before.pixels.astype(np.int16) - after.pixels).max(-1)
    distance[free] = 0
    return not distance.any() or all(_mean(distance, free, face) < MIN_CHANGE for face in faces if face.key not in chosen)


def _surroundings(image: DecodedImage, faces: Sequence[FaceRecord]) -> np.ndarray:
    """``H x W`` bool: what may change with these faces."""
    reach = _REACH if image.lossless else _REACH_LOSSY
    height, width = image.pixels.shape[:2]
    free = np.zeros((height, width), bool)
    for face in faces:
        window = window_of(_face(face), surroundings=face.landmarks is not None)
        (x, y), side = window.origin, window.side
        free[max(y - reach, 0) : max(y + side + reach, 0), max(x - reach, 0) : max(x + side + reach, 0)] = True
    return free


def _face(record: FaceRecord) -> Face:
    return Face(record.box, landmarks=None if record.landmarks is None else np.asarray(record.landmarks, np.float32))


def _mean(distance: np.ndarray, free: np.ndarray, face: FaceRecord) -> float:
    """Mean difference over a face's box, where it must not change; 0 where that leaves nothing."""
    x0, y0, x1, y1 = (round(max(value, 0)) for value in face.box)
    box = (slice(y0, max(y1, y0 + 1)), slice(x0, max(x1, x0 + 1)))
    held = ~free[box]
    return float(distance[box][held].mean()) if held.any() else 0.0
