"""What every detector is: a callable from oriented RGB images to faces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from fo_faceanon.errors import InputError
from fo_faceanon.faces import Face


class Detector(Protocol):
    """Finds faces.

    Called with ``H x W x 3`` uint8 RGB images of any sizes, it returns one list of faces per image, in order of falling
    score. What it finds in an image depends on that image alone, never on the others in the call.
    """

    name: str

    def __call__(self, images: Sequence[np.ndarray]) -> list[list[Face]]: ...


def check_image(image: np.ndarray, where: str) -> np.ndarray:
    """The image, contiguous.

    Raises:
        InputError: it is not ``H x W x 3`` uint8 with at least one pixel.
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        got = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise InputError(f"{where} needs an H x W x 3 uint8 RGB image of at least one pixel, but got {got}")
    return np.ascontiguousarray(image)


def sort_faces(faces: Sequence[Face]) -> list[Face]:
    """Faces by falling score; equal scores by position, so that the order never depends on how they were found."""
    return sorted(faces, key=lambda face: (-face.score, face.box))
