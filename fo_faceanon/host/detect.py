"""Detections and emotions of a whole dataset into its labels, past whatever cannot be read."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import fiftyone as fo
import numpy as np
from fiftyone.core.collections import SampleCollection

from fo_faceanon.detection import create_detector
from fo_faceanon.devices import resolve_device
from fo_faceanon.errors import InputError
from fo_faceanon.faces import Face
from fo_faceanon.host import fields
from fo_faceanon.host.face_models import FaceEmotion, Parameters, face_label, own_faces
from fo_faceanon.host.inputs import FaceSource
from fo_faceanon.host.lock import DatasetLock
from fo_faceanon.host.session import database_errors, require_images, root_dataset, sample_ids, stream_values
from fo_faceanon.images import decode_image
from fo_faceanon.steps import drain

#: Pictures that are looked at together.
_BATCH = 8
#: Samples that are written together.
_AT_ONCE = 64


@dataclass(slots=True)
class LabelReport:
    """Counts: ``samples = done + skipped + unreadable``."""

    samples: int = 0
    done: int = 0
    skipped: int = 0
    unreadable: int = 0
    faces: int = 0

    def to_dict(self) -> dict[str, int]:
        """A JSON-serializable dictionary."""
        return asdict(self)


Steps = Generator[tuple[int, int], None, LabelReport]


def detect_faces(samples: SampleCollection | str, field: str = "detected_faces", **settings: Any) -> LabelReport:
    """Finds faces and writes them as Detections, for a look before anything is anonymized, or as ``faces_field`` of a run.

    Args:
        samples: a dataset, a view, or a dataset's name.
        field: where they go: a new field, or one that an earlier call made.
        **settings: see :func:`detect_steps`.

    Raises:
        HostError: the field is somebody else's, or one that a run writes.
        InputError: a setting is out of range.
        WeightsError: the detector's weights are missing.
    """
    return drain(detect_steps(samples, field, **settings))


def detect_steps(
    samples: SampleCollection | str,
    field: str = "detected_faces",
    *,
    detector: str = "union",
    threshold: float | None = None,
    min_face: int = 16,
    device: str = "auto",
    overwrite: bool = False,
) -> Steps:
    """:func:`detect_faces` as a generator of ``done, total``, with the counts as its return value.

    Args:
        samples: see :func:`detect_faces`.
        field: see :func:`detect_faces`.
        detector: ``union``, ``mtcnn``, ``yunet`` or ``dlib``.
        threshold: smallest score in ``(0, 1)``; None for the detector's own.
        min_face: side of the smallest face looked for, in pixels.
        device: ``auto``, ``cpu``, ``cuda``, ...
        overwrite: look again at samples that have a value.
    """
    samples = require_images(samples)
    dataset, ids = root_dataset(samples), sample_ids(samples)
    fields.check_label_field(dataset, field)
    detect = create_detector(detector, resolve_device(device), min_face, threshold)
    report = LabelReport(samples=len(ids))
    with database_errors():
        fields.declare_label_field(dataset, field, fo.Detections)
        dataset.add_sample_field(f"{field}.detections.detector", fo.StringField)
        todo = ids if overwrite else list(dataset.select(ids, ordered=True).exists(field, False).values("id"))
        report.skipped = len(ids) - len(todo)
        for start in range(0, len(todo), _BATCH):
            batch = list(stream_values(dataset, todo[start : start + _BATCH], ["filepath"]))
            pictures = {sample_id: image for sample_id, path in batch if (image := _read(path)) is not None}
            found = dict(zip(pictures, detect(list(pictures.values())), strict=True)) if pictures else {}
            labels = {key: fo.Detections(detections=[face_label(face, pictures[key]) for face in faces]) for key, faces in found.items()}
            dataset.set_values(field, labels, key_field="id")
            report.done += len(labels)
            report.unreadable += len(batch) - len(labels)
            report.faces += sum(len(faces) for faces in found.values())
            yield report.skipped + report.done + report.unreadable, len(ids)
    return report


def predict_emotions(samples: SampleCollection | str, faces_field: str = fields.FACES, **settings: Any) -> LabelReport:
    """Writes the most probable emotion of each face into its label: ``emotion`` as in the original, ``emotion_anonymized`` as in the
    anonymized picture where there is one. The judge is weak (see its model card), and is not what chose the donors.

    Args:
        samples: a dataset, a view, or a dataset's name.
        faces_field: a Detections field; ``emotion_anonymized`` is written into ``faces`` only.
        **settings: ``device``.

    Raises:
        HostError: no such field, or another run is on the dataset.
        WeightsError: weights are missing.
    """
    return drain(emotion_steps(samples, faces_field, **settings))


def emotion_steps(samples: SampleCollection | str, faces_field: str = fields.FACES, *, device: str = "auto") -> Steps:
    """:func:`predict_emotions` as a generator of ``done, total``, with the counts as its return value."""
    samples = require_images(samples)
    dataset, ids = root_dataset(samples), sample_ids(samples)
    FaceSource(faces_field).check(dataset)
    model = FaceEmotion(Parameters(device=device))
    pairs = {"emotion": "filepath"}
    if faces_field == fields.FACES and dataset.has_field(fields.MEDIA):
        pairs["emotion_anonymized"] = fields.MEDIA
    report = LabelReport(samples=len(ids))
    with database_errors(), DatasetLock(dataset) as lock:  # values go to labels by their order, which a run may change
        for name in pairs:
            dataset.add_sample_field(f"{faces_field}.detections.{name}", fo.StringField)
        for start in range(0, len(ids), _AT_ONCE):
            chunk = ids[start : start + _AT_ONCE]
            written: dict[str, dict[str, list[str | None]]] = {name: {} for name in pairs}
            for row in stream_values(dataset, chunk, [faces_field, *pairs.values()]):
                _emotions_of(model, row, list(pairs), written, report)
                yield report.skipped + report.done + report.unreadable, len(ids)
            lock.refresh()
            for name, values in written.items():
                dataset.set_values(f"{faces_field}.detections.{name}", values, key_field="id")
    return report


def _emotions_of(
    model: FaceEmotion, row: tuple, names: Sequence[str], written: dict[str, dict[str, list[str | None]]], report: LabelReport
) -> None:
    sample_id, found, *paths = row
    labels = found.detections if found is not None else []
    if not labels:
        report.skipped += 1
        return
    images = [None if path is None else _read(path) for path in paths]
    if images[0] is None:
        report.unreadable += 1
        return
    report.done += 1
    report.faces += len(labels)
    for name, image in zip(names, images, strict=True):
        if image is not None:
            written[name][sample_id] = model.emotions(image, [_face(label, image) for label in labels])


def _face(label: fo.Detection, image: np.ndarray) -> Face:
    """A labelled face, that of a run under the name of the detector that drew its box; one pixel where the box cannot be used."""
    name = label["detector"] if label.has_field("detector") and label["detector"] else "user"
    faces = own_faces(image, [label.bounding_box])
    return Face(faces[0].box if faces else (0.0, 0.0, 1.0, 1.0), detector=name)


def _read(path: str | None) -> np.ndarray | None:
    try:
        return decode_image(path or "").pixels
    except InputError:
        return None
