"""The faces of a picture as they are judged: found by facenet-pytorch's MTCNN, landmarks by dlib.

These are other detectors than the anonymizer's own cascade on purpose: the judge must not share its blind spots.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from fo_faceanon.detection.base import check_image
from fo_faceanon.errors import WeightsError
from fo_faceanon.faces import Face, box_iou
from fo_faceanon.weights import require_weight

#: Overlap (intersection over union) from which a face on the anonymized picture is the one that was replaced.
SAME_FACE = 0.3
#: Originals' faces that are judged: the detector is sure of them, and they show enough to recognise someone by.
SURE, SMALLEST = 0.9, 20
#: facenet-pytorch's own default, below which its pyramid is empty and it raises.
_LEAST_SIDE = 20
#: Moves (in sides of the box) and scales of the seven boxes that dlib's landmarks are averaged over.
_SHIFTS = ((0, 0, 1), (0.03, 0, 1), (-0.03, 0, 1), (0, 0.03, 1), (0, -0.03, 1), (0, 0, 1.05), (0, 0, 0.95))


@dataclass(frozen=True, slots=True)
class JudgedFace:
    """One face: MTCNN's box ``(x0, y0, x1, y1)`` in pixels, its score, and dlib's ``68 x 2`` float32 landmarks in pixels."""

    box: tuple[float, float, float, float]
    score: float
    landmarks: np.ndarray

    @property
    def side(self) -> float:
        """The shorter side of the box, in pixels."""
        return min(self.box[2] - self.box[0], self.box[3] - self.box[1])

    def to_face(self) -> Face:
        """As the other modules take it."""
        return Face(self.box, score=self.score, landmarks=self.landmarks, detector="mtcnn")


class Judge:
    """Finds faces with MTCNN at its defaults (smallest face 20 px, thresholds .6 .7 .7, factor .709).

    Args:
        device: where MTCNN runs; dlib is on the CPU.

    Raises:
        WeightsError: dlib's weights are missing.
    """

    def __init__(self, device: str = "cpu") -> None:
        import dlib
        from facenet_pytorch import MTCNN

        self._mtcnn = MTCNN(keep_all=True, device=device)
        path = require_weight("dlib-landmarks", "shape_predictor_68_face_landmarks.dat")
        try:
            self._predictor = dlib.shape_predictor(str(path))
        except RuntimeError as error:
            raise WeightsError(f"dlib cannot read {path}: {error}") from error

    def faces(self, images: Sequence[np.ndarray]) -> list[list[JudgedFace]]:
        """All faces of ``H x W x 3`` uint8 pictures of any sizes, each picture's by falling score.

        Raises:
            InputError: a picture has another shape or type.
        """
        return [self._faces(check_image(image, "the judge")) for image in images]

    def _faces(self, image: np.ndarray) -> list[JudgedFace]:
        if min(image.shape[:2]) < _LEAST_SIDE:
            return []
        boxes, scores = self._mtcnn.detect(Image.fromarray(image))
        if boxes is None:
            return []
        rows = np.asarray(boxes, np.float64)  # an array of objects where pictures hold several faces
        found = [
            JudgedFace((box[0], box[1], box[2], box[3]), float(score), self.landmarks(image, row))
            for row, score in zip(rows, scores, strict=True)
            if (box := [float(value) for value in row]) and box[2] - box[0] >= 1 and box[3] - box[1] >= 1
        ]
        return sorted(found, key=lambda face: (-face.score, face.box))

    def landmarks(self, image: np.ndarray, box: np.ndarray) -> np.ndarray:
        """``68 x 2`` float32 by dlib in two passes: from MTCNN's box, then from the box that dlib's own detector would have given.

        The two conversions are means over 80 photographs of LFW that both detectors find.
        """
        size = box[2:] - box[:2]
        rect = _square((box[2:] + box[:2]) / 2 + (0, 0.062 * size[1]), 0.975 * float(np.sqrt(size.prod())))
        return self._predict(image, _square(*_frame(self._predict(image, rect))))

    def seven(self, image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        """``7 x 68 x 2``: dlib's landmarks from seven boxes around known ones, moved and scaled by a few percent.

        dlib gives whole pixels and depends on its box; the mean of the seven halves what re-encoding a picture as JPEG 95
        alone costs (on 40 CelebA-HQ pictures from .0115 to .0057 of the inter-ocular distance).
        """
        centre, side = _frame(landmarks)
        return np.stack([self._predict(image, _square(centre + side * np.array([x, y]), side * scale)) for x, y, scale in _SHIFTS])

    def _predict(self, image: np.ndarray, rect: Any) -> np.ndarray:
        return np.array([(p.x, p.y) for p in self._predictor(image, rect).parts()], np.float32)


def match(found: Sequence[JudgedFace], original: JudgedFace) -> JudgedFace | None:
    """The face of an anonymized picture that took the place of an original's; None where none overlaps it by more than `SAME_FACE`."""
    return match_all(found, [original])[0]


def match_all(found: Sequence[JudgedFace], originals: Sequence[JudgedFace]) -> list[JudgedFace | None]:
    """The same for all faces of a picture at once: one found face stands for one original at most, the best overlap first."""
    overlaps = [(box_iou(new.box, old.box), i, j) for i, old in enumerate(originals) for j, new in enumerate(found)]
    result: list[JudgedFace | None] = [None] * len(originals)
    taken: set[int] = set()
    for overlap, i, j in sorted(overlaps, key=lambda entry: (-entry[0], entry[1], entry[2])):
        if overlap > SAME_FACE and result[i] is None and j not in taken:
            result[i] = found[j]
            taken.add(j)
    return result


def faces_to_judge(found: Sequence[JudgedFace], height: int, width: int, main_face_only: bool = False) -> list[JudgedFace]:
    """The faces of an original picture that count: those found surely and not tiny; on demand only the main one.

    The main face is the largest, less the more it lies off the middle of the ``height x width`` picture.
    """
    sure = [face for face in found if face.score >= SURE and face.side >= SMALLEST]
    if not main_face_only or not sure:
        return sure
    boxes = np.array([face.box for face in sure])
    middle = np.square((boxes[:, 2:] + boxes[:, :2]) / 2 - np.array([width, height]) / 2).sum(1)
    return [sure[int(((boxes[:, 2:] - boxes[:, :2]).prod(1) - 2 * middle).argmax())]]


def unsteadiness(points: np.ndarray) -> float:
    """How far dlib's ``7 x 68 x 2`` landmarks follow their boxes, in inter-ocular distances: about .01 where they hold on to a face."""
    mean = points.mean(0)
    eyes = np.linalg.norm(mean[36:42].mean(0) - mean[42:48].mean(0))
    return float(np.linalg.norm(points - mean, axis=2).mean() / max(eyes, 1e-6))


def _square(centre: np.ndarray, side: float) -> Any:
    import dlib

    low = np.round(centre - side / 2).astype(int)
    high = np.round(centre + side / 2).astype(int)
    return dlib.rectangle(int(low[0]), int(low[1]), int(high[0]), int(high[1]))


def _frame(landmarks: np.ndarray) -> tuple[np.ndarray, float]:
    """Centre and side of the box that dlib's own detector would have given."""
    low, high = landmarks.min(0), landmarks.max(0)
    extent = float((high - low).max())
    return (low + high) / 2 - (0, 0.1 * extent), 1.058 * extent
