"""``fa.evaluate``: per-face and per-sample figures into the dataset, and a summary."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import fiftyone as fo
import numpy as np
from fiftyone.core.collections import SampleCollection

from fo_faceanon.errors import InputError
from fo_faceanon.evaluation.pair import Evaluator, FaceMetrics
from fo_faceanon.host.fields import FACES, LANDMARKS, MEDIA, STATUS
from fo_faceanon.host.session import require_images, root_dataset, sample_ids, stream_values
from fo_faceanon.images import decode_image
from fo_faceanon.records import FaceRecord

_FIGURES = ("landmark_error", "expression_error", "si_mse", "si_l2", "delta_l", "delta_c", "delta_e")
#: Samples whose figures are written at once.
_CHUNK = 200


def evaluate(
    samples: SampleCollection | str, *, device: str = "auto", progress: Callable[[int, int], None] | None = None
) -> dict[str, Any]:
    """Compares every anonymized sample with its original.

    Writes ``landmark_error``, ``expression_error``, ``si_mse``, ``si_l2``, ``delta_l``, ``delta_c``, ``delta_e`` and ``detected``
    of each face into its label, and the worst face's into the ``faceanon`` document.

    Args:
        samples: a dataset, a view, or a dataset's name; samples without anonymized media are counted, not measured.
        device: ``auto``, ``cpu``, ``cuda``, ...
        progress: called with ``done, total``.

    Returns:
        ``images``, ``not_evaluated``, ``faces``, ``detected``, and for each figure its ``mean``, ``median`` and ``n``.

    Raises:
        HostError: the dataset cannot be used, or was never anonymized.
    """
    collection = require_images(samples)
    dataset, ids = root_dataset(collection), sample_ids(collection)
    _declare(dataset)
    evaluator = Evaluator(device)
    fields = ("filepath", MEDIA, f"{FACES}.detections", f"{LANDMARKS}.keypoints")
    everything: list[FaceMetrics] = []
    pending: dict[str, list[FaceMetrics]] = {}
    skipped = 0
    for done, (sample, path, output, labels, marks) in enumerate(stream_values(dataset, ids, fields), 1):
        measured = None if output is None else _measure(evaluator, path, output, labels or [], marks or [])
        if measured is None:
            skipped += 1
        else:
            pending[sample] = measured
            everything += measured
        if len(pending) >= _CHUNK or (done == len(ids) and pending):
            _write(dataset, pending)
            pending = {}
        if progress is not None:
            progress(done, len(ids))
    return {"images": len(ids) - skipped, "not_evaluated": skipped, **summarise(everything)}


def summarise(metrics: list[FaceMetrics]) -> dict[str, Any]:
    """Counts, and each figure's mean, median and the number of faces that it could be measured on."""
    summary: dict[str, Any] = {"faces": len(metrics), "detected": sum(m.detected for m in metrics)}
    for name in _FIGURES:
        values = np.array([getattr(m, name) for m in metrics], float)
        values = values[np.isfinite(values)]
        mean, median = (float(values.mean()), float(np.median(values))) if len(values) else (None, None)
        summary[name] = {"mean": mean, "median": median, "n": len(values)}
    return summary


def _measure(
    evaluator: Evaluator, path: str, output: str, labels: list[fo.Detection], marks: list[fo.Keypoint]
) -> list[FaceMetrics] | None:
    try:
        original, result = decode_image(path).pixels, decode_image(output).pixels
    except InputError:  # moved or damaged since: counted as not evaluated; the export notices it by itself
        return None
    if original.shape != result.shape:
        return None
    scale = np.array([original.shape[1], original.shape[0]], float)
    points = {mark.instance.id: np.asarray(mark.points, float) * scale for mark in marks if mark.instance is not None}
    return evaluator(original, result, [_record(label, scale, points) for label in labels])


def _record(label: fo.Detection, scale: np.ndarray, points: dict[str, np.ndarray]) -> FaceRecord:
    x, y, w, h = (np.asarray(label.bounding_box, float) * [*scale, *scale]).tolist()
    record = FaceRecord((x, y, x + w, y + h), 1.0, "", label["action"], "", 0)
    known = points.get(label.instance.id) if label.instance is not None else None
    if known is not None and np.isfinite(known).all():
        record.landmarks = known.tolist()
    return record


def _declare(dataset: fo.Dataset) -> None:
    for name in _FIGURES:
        dataset.add_sample_field(f"{FACES}.detections.{name}", fo.FloatField)
        dataset.add_sample_field(f"{STATUS}.{name}", fo.FloatField)
    dataset.add_sample_field(f"{FACES}.detections.detected", fo.BooleanField)


def _write(dataset: fo.Dataset, measured: dict[str, list[FaceMetrics]]) -> None:
    for name in (*_FIGURES, "detected"):
        values = {sample: [m.to_dict()[name] for m in metrics] for sample, metrics in measured.items() if metrics}
        dataset.set_values(f"{FACES}.detections.{name}", values, key_field="id")
    for name in _FIGURES:
        worst = {sample: _worst([m.to_dict()[name] for m in metrics]) for sample, metrics in measured.items()}
        dataset.set_values(f"{STATUS}.{name}", worst, key_field="id")


def _worst(values: list[Any]) -> float | None:
    return max((v for v in values if v is not None), default=None)
