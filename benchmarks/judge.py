"""The faces of a picture as the benchmarks judge them: found by facenet-pytorch's MTCNN, landmarks by dlib.

These are other detectors than the anonymizer's own cascade on purpose: the judge must not share its blind spots.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image


@dataclass(frozen=True, slots=True)
class Judged:
    """One face: MTCNN's box, its score, and 68 landmarks by dlib."""

    box: np.ndarray
    score: float
    landmarks: np.ndarray


@cache
def _mtcnn():
    from facenet_pytorch import MTCNN

    return MTCNN(keep_all=True)  # defaults: min_face_size 20, thresholds .6 .7 .7, factor .709


@cache
def _predictor():
    import dlib

    from fo_faceanon.weights import require_weight

    return dlib.shape_predictor(str(require_weight("dlib-landmarks", "shape_predictor_68_face_landmarks.dat")))


def _square(centre: np.ndarray, side: float):
    import dlib

    low = np.round(centre - side / 2).astype(int)
    high = np.round(centre + side / 2).astype(int)
    return dlib.rectangle(int(low[0]), int(low[1]), int(high[0]), int(high[1]))


def predict_landmarks(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """``68 x 2`` by dlib in two passes: from MTCNN's box, then from the box that dlib's own detector would have given.

    The two conversions are means over 80 photographs of LFW that both detectors find.
    """
    size = box[2:] - box[:2]
    rect = _square((box[2:] + box[:2]) / 2 + (0, 0.062 * size[1]), 0.975 * float(np.sqrt(size.prod())))
    return _predict(image, _square(*_frame(_predict(image, rect))))


def steady_landmarks(image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """The mean of dlib's landmarks from seven boxes around known ``68 x 2`` landmarks, moved and scaled by a few percent.

    dlib gives whole pixels and depends on its box; the mean halves what re-encoding a picture as JPEG 95 alone costs
    (on 40 CelebA-HQ pictures from .0115 to .0057 of the inter-ocular distance).
    """
    return seven_landmarks(image, landmarks).mean(0)


def unsteadiness(points: np.ndarray) -> float:
    """How far dlib's ``7 x 68 x 2`` landmarks follow their boxes, in inter-ocular distances: about .01 where they hold on to a face."""
    mean = points.mean(0)
    eyes = np.linalg.norm(mean[36:42].mean(0) - mean[42:48].mean(0))
    return float(np.linalg.norm(points - mean, axis=2).mean() / max(eyes, 1e-6))


def seven_landmarks(image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """``7 x 68 x 2``: dlib's landmarks from the seven boxes of :func:`steady_landmarks`."""
    centre, side = _frame(landmarks)
    shifts = [(0, 0, 1), (0.03, 0, 1), (-0.03, 0, 1), (0, 0.03, 1), (0, -0.03, 1), (0, 0, 1.05), (0, 0, 0.95)]
    return np.stack([_predict(image, _square(centre + side * np.array([x, y]), side * scale)) for x, y, scale in shifts])


def _predict(image: np.ndarray, rect) -> np.ndarray:
    return np.array([(p.x, p.y) for p in _predictor()(image, rect).parts()], np.float32)


def _frame(landmarks: np.ndarray) -> tuple[np.ndarray, float]:
    """Centre and side of the box that dlib's own detector would have given."""
    low, high = landmarks.min(0), landmarks.max(0)
    extent = float((high - low).max())
    return (low + high) / 2 - (0, 0.1 * extent), 1.058 * extent


def judge_face(image: np.ndarray, near: np.ndarray | None = None) -> Judged | None:
    """The main face of an ``H x W x 3`` uint8 picture, or None where MTCNN finds none.

    Args:
        image: the picture.
        near: a box ``(x0, y0, x1, y1)``; only a face that overlaps it by more than 0.3 (IoU) counts. Without it, the largest
            face counts, less the more it lies off the picture's centre.
    """
    boxes, scores = _mtcnn().detect(Image.fromarray(image))
    if boxes is None:
        return None
    boxes = np.asarray(boxes, np.float64)  # an array of objects where pictures hold several faces
    if near is None:
        middle = np.array(image.shape[1::-1]) / 2
        size = boxes[:, 2:] - boxes[:, :2]
        merit = size.prod(1) - 2 * np.square((boxes[:, 2:] + boxes[:, :2]) / 2 - middle).sum(1)
    else:
        merit = np.array([_iou(box, near) for box in boxes])
        if merit.max() <= 0.3:
            return None
    best = int(merit.argmax())
    return Judged(boxes[best], float(scores[best]), predict_landmarks(image, boxes[best]))


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    from fo_faceanon.faces import box_iou

    return box_iou(a.tolist(), b.tolist())
