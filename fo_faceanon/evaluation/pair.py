"""What an anonymized face kept: measured on pairs of pictures, with landmarks found anew on the result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor

from fo_faceanon.detection import create_detector
from fo_faceanon.devices import resolve_device
from fo_faceanon.errors import InputError
from fo_faceanon.faces import Face, box_iou
from fo_faceanon.landmarks.dlib68 import Dlib68
from fo_faceanon.metrics.colour import colour_metrics
from fo_faceanon.metrics.lighting import lighting_metrics
from fo_faceanon.photometry.skin import face_masks, face_size
from fo_faceanon.records import FaceRecord
from fo_faceanon.windows import cut_windows, window_of

#: Overlap from which a face found on the result is the one that was replaced.
_SAME_FACE = 0.3


@dataclass(slots=True)
class FaceMetrics:
    """One face, original against result; NaN where it could not be measured.

    ``detected``: the result still shows a face there. ``landmark_error`` (68 points) and ``expression_error`` (51 points,
    without the jaw line): mean absolute coordinate error in inter-ocular distances; zero is best. ``si_mse``, ``si_l2``:
    scale-invariant errors of linear light and of shading. ``delta_l``, ``delta_c``, ``delta_e``: CIE lightness, chroma and CIEDE2000
    differences over skin.
    """

    detected: bool = False
    landmark_error: float = float("nan")
    expression_error: float = float("nan")
    si_mse: float = float("nan")
    si_l2: float = float("nan")
    delta_l: float = float("nan")
    delta_c: float = float("nan")
    delta_e: float = float("nan")

    def to_dict(self) -> dict[str, float | bool | None]:
        """A dictionary for JSON and the database: None instead of NaN."""
        return {k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in asdict(self).items()}


class Evaluator:
    """Measures pairs of pictures.

    Args:
        device: where detection and photometry run.
    """

    def __init__(self, device: str = "auto") -> None:
        self.device = resolve_device(device)
        self._detector = create_detector("mtcnn", device=self.device)
        self._landmarker = Dlib68()

    def __call__(self, original: np.ndarray, result: np.ndarray, faces: Sequence[FaceRecord]) -> list[FaceMetrics]:
        """One picture.

        Args:
            original: ``H x W x 3`` uint8.
            result: the same size.
            faces: the records of its faces.

        Raises:
            InputError: the pictures differ in size.
        """
        if original.shape != result.shape:
            raise InputError(f"original and result must have one size, but got {original.shape} and {result.shape}")
        known = [record for record in faces if record.landmarks is not None]
        found = self._detector([result])[0] if known else []
        return [self._measure(original, result, record, found) if record.landmarks else FaceMetrics() for record in faces]

    def _measure(self, original: np.ndarray, result: np.ndarray, record: FaceRecord, found: Sequence[Face]) -> FaceMetrics:
        landmarks = np.asarray(record.landmarks, np.float32)
        face = Face(record.box, landmarks=landmarks)
        metrics = FaceMetrics(False, **self._photometry(original, result, face))
        around = (*landmarks.min(0).tolist(), *landmarks.max(0).tolist())
        best = max(found, key=lambda other: max(box_iou(other.box, face.box), box_iou(other.box, around)), default=None)
        if best is None or max(box_iou(best.box, face.box), box_iou(best.box, around)) < _SAME_FACE:
            return metrics
        metrics.detected = True
        marks = self._landmarker(result, [best])[0]
        if marks is not None:
            metrics.landmark_error = landmark_error(marks, landmarks)
            metrics.expression_error = landmark_error(marks[17:], landmarks[17:], interocular(landmarks))
        return metrics

    @torch.inference_mode()
    def _photometry(self, original: np.ndarray, result: np.ndarray, face: Face) -> dict[str, float]:
        window = window_of(face)
        before, after = (cut_windows([image], [face], [window], [0], [None], self.device) for image in (original, result))
        side = before.pixels.shape[-1]
        masks, size = face_masks(before.landmarks, side, side), face_size(before.landmarks)
        light: dict[str, Tensor] = lighting_metrics(after.pixels, before.pixels, masks.skin, size)
        colour = colour_metrics(after.pixels, before.pixels, masks.skin)
        return {
            "si_mse": float(light["si_mse"]),
            "si_l2": float(light["shading_si_l2"]),
            "delta_l": float(colour["delta_l"]),
            "delta_c": float(colour["delta_c"]),
            "delta_e": float(colour["delta_e_2000"]),
        }


def interocular(landmarks: np.ndarray) -> float:
    """Distance between the outer corners of the eyes, in pixels; the unit of landmark errors."""
    return max(float(np.linalg.norm(landmarks[45] - landmarks[36])), 1e-6)


def landmark_error(found: np.ndarray, expected: np.ndarray, unit: float | None = None) -> float:
    """Mean absolute coordinate difference, in ``unit`` pixels (the inter-ocular distance of ``expected`` where None)."""
    return float(np.abs(found - expected).mean()) / (unit or interocular(expected))
