"""Writes finished records into the dataset, many samples at once."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import fiftyone as fo

from fo_faceanon.host import fields
from fo_faceanon.host.fields import PENDING
from fo_faceanon.host.inputs import Row, file_stamp
from fo_faceanon.host.lock import DatasetLock
from fo_faceanon.records import ImageRecord

_MAX_RECORDS = 64
_MAX_SECONDS = 5.0


class FieldWriter:
    """Collects records and writes them every few seconds.

    The media path is set only for a record whose output is there, and the status comes last: a crash between two writes leaves
    a status whose hash does not fit, which no export accepts and the next run redoes.
    """

    def __init__(self, dataset: fo.Dataset, run_key: str, output_dir: Path, lock: DatasetLock) -> None:
        self._dataset = dataset
        self._run_key = run_key
        self._output_dir = output_dir
        self._lock = lock
        self._waiting: list[tuple[Row, ImageRecord]] = []
        self._flushed = time.monotonic()

    def add(self, row: Row, record: ImageRecord) -> None:
        """Takes a finished record; writes when enough have come together."""
        self._waiting.append((row, record))
        if len(self._waiting) >= _MAX_RECORDS or time.monotonic() - self._flushed > _MAX_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Writes everything taken so far."""
        waiting, self._waiting = self._waiting, []
        self._flushed = time.monotonic()
        self._lock.refresh()
        if not waiting:
            return
        labels = {row.id: _with_marked(row, *fields.face_labels(record, row.carried)) for row, record in waiting}
        outputs = {row.id: record.output if record.status != "failed" else None for row, record in waiting}
        self._set(fields.FACES, {key: faces for key, (faces, _) in labels.items()})
        self._set(fields.LANDMARKS, {key: points for key, (_, points) in labels.items()})
        self._set(fields.MEDIA, outputs)
        self._set(fields.STATUS, {row.id: self._document(row, record, labels[row.id][0]) for row, record in waiting})
        for row, _ in waiting:
            self._remove_replaced(row.previous_output, outputs[row.id])

    def _document(self, row: Row, record: ImageRecord, faces: fo.Detections | None) -> fo.DynamicEmbeddedDocument:
        digest = None if faces is None else fields.faces_digest((face.id, face.bounding_box) for face in faces.detections)
        stamps = {"source_stamp": row.stamp, "output_stamp": file_stamp(record.output)}
        return fields.status_document(record, self._run_key, row.fingerprint, faces_digest=digest, **stamps)

    def _set(self, name: str, values: dict) -> None:
        self._dataset.set_values(name, values, key_field="id")

    def _remove_replaced(self, old: Path | None, new: str | None) -> None:
        """Deletes an output that no field names any more; only where it lies in this run's own folder."""
        if old is None or str(old) == new or not old.is_relative_to(self._output_dir):
            return
        with suppress(OSError):
            old.unlink()


def _with_marked(row: Row, faces: fo.Detections | None, points: fo.Keypoints | None) -> tuple[fo.Detections | None, fo.Keypoints | None]:
    """A picture that cannot be done forgets no face that a person drew: the next run has to have it."""
    there = {face.id for face in faces.detections} if faces is not None else set()
    missing = [label for label in row.marked if label.id not in there]
    if not missing:
        return faces, points
    for label in missing:
        label["action"] = PENDING
    return fo.Detections(detections=[*(faces.detections if faces is not None else []), *missing]), points
