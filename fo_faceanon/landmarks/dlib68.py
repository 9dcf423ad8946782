"""dlib's 68 landmarks: an ensemble of regression trees (Kazemi and Sullivan 2014, CVPR), trained on iBUG 300-W."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from fo_faceanon.detection.base import check_image
from fo_faceanon.errors import WeightsError
from fo_faceanon.faces import Face
from fo_faceanon.weights import require_weight

# The predictor expects the squares of dlib's own detector. Medians over 175 faces (CelebA-HQ and LFW) that dlib, MTCNN and YuNet find:
_SIDE_OF_BOX, _DOWN_OF_BOX = 0.955, 0.10  # square's side and downward shift, in geometric means of the detector's box sides
_SIDE_OF_SHAPE, _DOWN_OF_SHAPE = 1.097, -0.08  # the same, of the sides of the landmarks' bounding box
SIDES = (160, 400)  # pixels: a face is resampled until its square is within
MARGIN = 0.6  # of the square's side, around it in the crop
AGREEMENT = 0.10  # of the square's side: how far the second pass may move the landmarks
SMALLEST = 6  # pixels: a smaller square shows nothing that a landmark could stand on


class Dlib68:
    """68 landmarks (iBUG order) for the faces of an image, whichever detector drew their boxes; on the CPU.

    Two passes: the second starts at the square that the first one's landmarks span, so that the result depends little on the box.

    Raises:
        WeightsError: the weights are missing or cannot be read.
    """

    name = "dlib68"

    def __init__(self) -> None:
        import dlib

        path = require_weight("dlib-landmarks", "shape_predictor_68_face_landmarks.dat")
        try:
            self._predictor = dlib.shape_predictor(str(path))
        except RuntimeError as error:
            raise WeightsError(f"dlib cannot read {path}: {error}") from error
        self._rectangle = dlib.rectangle

    def __call__(self, image: np.ndarray, faces: Sequence[Face]) -> list[np.ndarray | None]:
        """Landmarks for each face.

        Args:
            image: ``H x W x 3`` uint8 RGB, oriented.
            faces: only their boxes and their detectors' names are read.

        Returns:
            For each face ``68 x 2`` float32 pixel positions, which may leave the image; None where they do not look like a face's
            (:func:`plausible`) or the box shows none of the image.
        """
        image = check_image(image, self.name)
        return [self._mark(image, face) for face in faces]

    def _mark(self, image: np.ndarray, face: Face) -> np.ndarray | None:
        square = detector_square(face)
        height, width = image.shape[:2]
        x, y, side = square
        if not SMALLEST <= side <= 4 * max(height, width) or x >= width or y >= height or x + side <= 0 or y + side <= 0:
            return None
        crop, matrix = _crop(image, square)
        first = self._predict(crop, matrix, square)
        second = self._predict(crop, matrix, shape_square(first))
        return second if plausible(first, second) else None

    def _predict(self, crop: np.ndarray, matrix: np.ndarray, square: np.ndarray) -> np.ndarray:
        """Landmarks in image pixels, from a square in image pixels; ``matrix`` is (scale, x, y) of the crop in the image."""
        x, y, side = square
        corners = (np.array([x, y, x + side, y + side]) - [matrix[1], matrix[2]] * 2) * matrix[0]
        left, top, right, bottom = (round(float(value)) for value in corners)
        shape: Any = self._predictor(crop, self._rectangle(left, top, max(right, left + 1) - 1, max(bottom, top + 1) - 1))
        points = np.array([(p.x, p.y) for p in shape.parts()], dtype=np.float64)
        return ((points + 0.5) / matrix[0] + matrix[1:] - 0.5).astype(np.float32)


def detector_square(face: Face) -> np.ndarray:
    """The square that dlib's detector would have drawn: ``(x, y, side)`` in pixels."""
    x0, y0, x1, y1 = face.box
    if face.detector.startswith("dlib"):
        return _square((x0 + x1) / 2, (y0 + y1) / 2, max(x1 - x0, y1 - y0))
    mean = float(np.sqrt(max(x1 - x0, 0.0) * max(y1 - y0, 0.0)))
    return _square((x0 + x1) / 2, (y0 + y1) / 2 + _DOWN_OF_BOX * mean, _SIDE_OF_BOX * mean)


def shape_square(landmarks: np.ndarray) -> np.ndarray:
    """The same, from ``68 x 2`` landmarks."""
    low, high = landmarks.min(0).astype(np.float64), landmarks.max(0).astype(np.float64)
    mean = float(np.sqrt((high - low).prod()))
    x, y = (low + high) / 2
    return _square(x, y + _DOWN_OF_SHAPE * mean, max(_SIDE_OF_SHAPE * mean, 1.0))


def _square(x: float, y: float, side: float) -> np.ndarray:
    return np.array([x - side / 2, y - side / 2, side])


def _crop(image: np.ndarray, square: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The square with its margin, resampled, edges replicated; and (scale, x, y): crop pixels per image pixel, and its origin."""
    height, width = image.shape[:2]
    reach = MARGIN * square[2]
    low = np.floor(square[:2] - reach).astype(int)
    high = np.ceil(square[:2] + square[2] + reach).astype(int)
    a, b = np.clip(low, 0, [width - 1, height - 1]), np.clip(high, 1, [width, height])
    crop = image[a[1] : b[1], a[0] : b[0]]
    scale = float(np.clip(square[2], *SIDES) / square[2])
    size = max(round((b[0] - a[0]) * scale), 1), max(round((b[1] - a[1]) * scale), 1)
    crop = cv2.resize(crop, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    left, top = (round(float(value) * scale) for value in a - low)
    right, bottom = (round(float(value) * scale) for value in high - b)
    crop = cv2.copyMakeBorder(crop, top, bottom, left, right, cv2.BORDER_REPLICATE)
    return crop, np.array([scale, a[0] - left / scale, a[1] - top / scale])


def plausible(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two predictions from different squares, both ``68 x 2``, agree as they do on a face.

    Off a face the landmarks follow the square; on one they stay where the face is. Both the mean distance, in sides of the
    second's square, and the second's distance between the eyes must be a face's.
    """
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        return False
    side = shape_square(second)[2]
    eyes = float(np.linalg.norm(second[36:42].mean(0) - second[42:48].mean(0)))
    moved = float(np.linalg.norm(second - first, axis=1).mean())
    return side > 1 and moved <= AGREEMENT * side and 0.1 * side <= eyes <= 0.8 * side
