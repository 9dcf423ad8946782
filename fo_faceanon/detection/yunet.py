"""YuNet (Wu et al. 2023, Machine Intelligence Research 20(5)): a small one-shot detector, run by OpenCV on the CPU."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from fo_faceanon.detection.base import check_image, sort_faces
from fo_faceanon.detection.merge import merge_faces
from fo_faceanon.errors import InputError, WeightsError
from fo_faceanon.faces import Face
from fo_faceanon.weights import require_weight

TILE = 1536  # pixels: larger images are looked at in tiles, so memory is bounded
OVERLAP = 160  # pixels that tiles share: a face of that size is whole in one of them
WHOLE = 384  # pixels of the longer side at which the whole image is looked at once more, for large faces
BORDER = 0.125  # of each side, added around small looks so that a face that fills the image is found


class YuNet:
    """Faces from about 10 pixels to the whole image, profiles and masked ones included.

    Args:
        min_face: faces smaller than this many pixels are left out.
        threshold: smallest score.

    Raises:
        InputError: an argument is out of range.
        WeightsError: the weights have not been fetched (``fo-faceanon weights get yunet``) or cannot be read.
    """

    name = "yunet"

    def __init__(self, min_face: int = 16, threshold: float = 0.6) -> None:
        if not 0 < threshold < 1:
            raise InputError(f"the detection threshold must be between 0 and 1, but got {threshold}")
        if min_face < 8:
            raise InputError(f"min_face must be at least 8 pixels, but got {min_face}")
        path = require_weight("yunet", "face_detection_yunet_2023mar.onnx")
        self.min_face = min_face
        try:
            self._network = cv2.FaceDetectorYN.create(str(path), "", (WHOLE, WHOLE), threshold, 0.3, 5000)
        except cv2.error as error:
            raise WeightsError(f"OpenCV cannot read {path}: fetch it again with `fo-faceanon weights get yunet`") from error
        self._lock = threading.Lock()  # OpenCV's network holds the input size: one caller at a time

    def __call__(self, images: Sequence[np.ndarray]) -> list[list[Face]]:
        """See :class:`~fo_faceanon.detection.base.Detector`."""
        return [self._detect(check_image(image, "YuNet")) for image in images]

    def _detect(self, image: np.ndarray) -> list[Face]:
        looks = [self._look(tile, 1.0, origin) for tile, origin in tiles(image)] if max(image.shape[:2]) > WHOLE else []
        looks.append(self._whole(image))
        return sort_faces([face for face in merge_faces(looks) if face.size >= self.min_face])

    def _whole(self, image: np.ndarray) -> list[Face]:
        """One look at the whole image, reduced or up to twice enlarged to ``WHOLE`` pixels, inside a replicated border."""
        scale = min(WHOLE / max(image.shape[:2]), 2.0)
        height, width = (max(round(side * scale), 1) for side in image.shape[:2])
        small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        y, x = round(height * BORDER), round(width * BORDER)
        small = cv2.copyMakeBorder(small, y, y, x, x, cv2.BORDER_REPLICATE)
        return self._look(small, scale, (-x / scale, -y / scale))

    def _look(self, pixels: np.ndarray, scale: float, origin: tuple[float, float]) -> list[Face]:
        with self._lock:
            self._network.setInputSize((pixels.shape[1], pixels.shape[0]))
            rows = self._network.detect(np.ascontiguousarray(pixels[:, :, ::-1]))[1]
        faces = []
        for row in [] if rows is None else rows:
            x, y, width, height = (float(value) / scale for value in row[:4])
            if np.isfinite(row).all() and width > 0 and height > 0:
                box = (x + origin[0], y + origin[1], x + origin[0] + width, y + origin[1] + height)
                faces.append(Face(box, score=min(max(float(row[14]), 0.0), 1.0), detector=self.name))
        return faces


def tiles(image: np.ndarray) -> Iterator[tuple[np.ndarray, tuple[float, float]]]:
    """Views of at most ``TILE`` pixels a side that cover the image and share ``OVERLAP`` pixels, with their origins."""
    height, width = image.shape[:2]
    for y in range(0, max(height - OVERLAP, 1), TILE - OVERLAP):
        for x in range(0, max(width - OVERLAP, 1), TILE - OVERLAP):
            yield image[y : y + TILE, x : x + TILE], (float(x), float(y))
