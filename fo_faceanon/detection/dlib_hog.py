"""dlib's frontal face detector: histograms of oriented gradients and linear classifiers (King 2015, arXiv:1502.00046)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from fo_faceanon.detection.base import check_image, sort_faces
from fo_faceanon.errors import InputError
from fo_faceanon.faces import Face

SMALLEST = 80  # pixels: the side of dlib's detection window
_SHARPNESS = 2.0  # logistic slope that takes dlib's margins to scores


class DlibHog:
    """Upright faces from the front, on the CPU; about 55 ms per megapixel that it looks at.

    The image is enlarged until faces of ``min_face`` pixels fill dlib's window of 80, as far as ``megapixels`` permits, and
    reduced where it is larger than that: small faces in large images are for another detector.

    Args:
        min_face: side of the smallest face looked for, in pixels.
        threshold: smallest score, the logistic function of twice dlib's margin; 0.5 is dlib's own threshold.
        megapixels: the most pixels that one detection looks at, in millions.

    Raises:
        InputError: an argument is out of range.
    """

    name = "dlib"

    def __init__(self, min_face: int = 16, threshold: float = 0.5, megapixels: float = 2.0) -> None:
        if not 0 < threshold < 1:
            raise InputError(f"the detection threshold must be between 0 and 1, but got {threshold}")
        if min_face < 8 or megapixels <= 0:
            raise InputError(f"min_face must be at least 8 and megapixels positive, but got {min_face} and {megapixels}")
        import dlib

        self.min_face, self.megapixels = min_face, megapixels
        self.margin = math.log(threshold / (1 - threshold)) / _SHARPNESS
        self._detector = dlib.get_frontal_face_detector()

    def __call__(self, images: Sequence[np.ndarray]) -> list[list[Face]]:
        """See :class:`~fo_faceanon.detection.base.Detector`."""
        return [self._detect(check_image(image, "dlib")) for image in images]

    def _detect(self, image: np.ndarray) -> list[Face]:
        grey: Any = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        height, width = grey.shape
        scale = min(SMALLEST / self.min_face, math.sqrt(self.megapixels * 1e6 / (height * width)))
        size = max(round(width * scale), 1), max(round(height * scale), 1)
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        boxes, margins, _ = self._detector.run(np.ascontiguousarray(grey), 0, self.margin)
        x, y = width / size[0], height / size[1]
        faces = []
        for box, margin in zip(boxes, margins, strict=True):
            score = 1 / (1 + math.exp(-_SHARPNESS * margin))
            corners = (box.left() * x, box.top() * y, (box.right() + 1) * x, (box.bottom() + 1) * y)
            faces.append(Face(corners, score=score, detector=self.name))
        return sort_faces(faces)
