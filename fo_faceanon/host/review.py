"""What a person decides on single samples: a face was missed, or all of it was a mistake and shall be undone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import fiftyone as fo
from fiftyone.core.collections import SampleCollection

from fo_faceanon.detection import same_face
from fo_faceanon.errors import HostError, InputError
from fo_faceanon.host import fields
from fo_faceanon.host.candidates import corners
from fo_faceanon.host.inputs import is_marked
from fo_faceanon.host.lock import DatasetLock
from fo_faceanon.host.session import CHUNK, database_errors, require_images, root_dataset, sample_ids, stream_values
from fo_faceanon.images import file_sha256

Box = Sequence[float]


def mark_missed(samples: SampleCollection | str, boxes: Mapping[str, Sequence[Box]] | str, *, labels: Sequence[str] | None = None) -> int:
    """Notes faces that a run missed: the next run anonymizes them, and until then their samples cannot be exported.

    The boxes become labels of ``faces`` with the action ``pending``, and every later run keeps them, whatever its detectors find.

    Args:
        samples: a dataset, a view, or a dataset's name.
        boxes: by sample id, boxes ``[x, y, width, height]`` relative to the picture as the App shows it; or the name of a Detections
            field whose labels are the faces, for example ``missed_face_candidates``.
        labels: of that field, only the labels with these ids.

    Returns:
        How many faces were noted; one that was noted before counts no more.

    Raises:
        HostError: no such field or sample, another run is on the dataset, or a field of ours is taken.
        InputError: a box is empty or not finite.
    """
    samples = require_images(samples)
    dataset, ids = root_dataset(samples), sample_ids(samples)
    with database_errors(), DatasetLock(dataset):
        wanted = _boxes_of_field(dataset, ids, boxes, labels) if isinstance(boxes, str) else _checked(dict(boxes), ids)
        fields.declare_fields(dataset)
        return _add(dataset, wanted)


@dataclass(slots=True)
class UndoReport:
    """What :func:`undo` did: ``samples = undone + untouched``; a file is left where it is not byte for byte what a run wrote."""

    samples: int = 0
    undone: int = 0
    untouched: int = 0
    files_removed: int = 0
    files_left: int = 0
    marked_faces_kept: int = 0

    def to_dict(self) -> dict[str, int]:
        """A JSON-serializable dictionary."""
        return asdict(self)


def undo(samples: SampleCollection | str) -> UndoReport:
    """Takes samples back to where they were before they were anonymized: our files and field values go.

    Originals are never touched. A file goes only if the hash in the dataset says that a run of ours wrote it and nobody changed it since.
    Faces that a person marked as missed stay marked, so that the next run does not miss them again.

    Raises:
        HostError: the dataset was never anonymized, or another run is on it.
    """
    samples = require_images(samples)
    dataset, ids = root_dataset(samples), sample_ids(samples)
    if not fields.is_ours(dataset, fields.STATUS):
        raise HostError(f"the dataset '{dataset.name}' was not anonymized yet: there is nothing to undo")
    report = UndoReport(samples=len(ids))
    names = ["filepath", fields.MEDIA, f"{fields.STATUS}.status", f"{fields.STATUS}.output_sha256", fields.FACES]
    with database_errors(), DatasetLock(dataset) as lock:
        for start in range(0, len(ids), CHUNK):
            rows = list(stream_values(dataset, ids[start : start + CHUNK], names))
            _undo_chunk(dataset, [row for row in rows if any(value is not None for value in row[2:])], report)
            lock.refresh()
    report.untouched = report.samples - report.undone
    return report


def _undo_chunk(dataset: fo.Dataset, rows: list[tuple], report: UndoReport) -> None:
    """Files first: a crash in between leaves fields without a file, which no export accepts and the next run redoes."""
    marked: dict[str, fo.Detections | None] = {}
    for sample_id, source, output, _, sha256, faces in rows:
        if output:
            removed = _remove_ours(Path(output), sha256, source)
            report.files_removed += removed
            report.files_left += not removed and Path(output).exists()
        kept = [_pending(label) for label in (faces.detections if faces is not None else []) if is_marked(label)]
        marked[sample_id] = fo.Detections(detections=kept) if kept else None
        report.marked_faces_kept += len(kept)
    if not rows:
        return
    report.undone += len(rows)
    for name in (fields.MEDIA, fields.STATUS, fields.LANDMARKS):
        dataset.set_values(name, dict.fromkeys(marked), key_field="id")
    dataset.set_values(fields.FACES, marked, key_field="id")


def _remove_ours(path: Path, sha256: str | None, source: str | None) -> bool:
    """Deletes a file that a run wrote; false where it is not there, or not what was written."""
    with suppress(InputError, OSError):
        if sha256 and file_sha256(path) == sha256 and not (source and Path(source).exists() and path.samefile(source)):
            path.unlink()
            return True
    return False


def _pending(label: fo.Detection) -> fo.Detection:
    return _missed_face(label.bounding_box, label.id)


def _missed_face(box: Box, label_id: str | None = None) -> fo.Detection:
    label = fo.Detection(label="face", bounding_box=list(box), action=fields.PENDING, missed=True, detector="user")
    if label_id is not None:
        label.id = label_id
    return label


def _checked(boxes: dict[str, Sequence[Box]], ids: Sequence[str]) -> dict[str, list[Box]]:
    foreign = sorted(set(boxes) - set(ids))
    if foreign:
        raise HostError(f"{len(foreign)} of {len(boxes)} samples with boxes are not among the given ones, for example {foreign[0]}")
    return {sample_id: [_checked_box(box) for box in rows] for sample_id, rows in boxes.items()}


def _checked_box(box: Any) -> Box:
    try:
        x, y, width, height = (float(value) for value in box)
    except (TypeError, ValueError):
        raise InputError(f"a box must be four numbers x, y, width, height relative to the picture, but got {box!r}") from None
    if not (0 < width <= 1 and 0 < height <= 1 and -width < x < 1 and -height < y < 1):
        raise InputError(f"a box must lie in the picture, its x, y, width and height being parts of the picture's, but got {list(box)}")
    return [x, y, width, height]


def _boxes_of_field(dataset: fo.Dataset, ids: list[str], field: str, labels: Sequence[str] | None) -> dict[str, list[Box]]:
    schema = dataset.get_field_schema(embedded_doc_type=fo.Detections)
    if field not in schema or field == fields.FACES:
        known = ", ".join(name for name in schema if name != fields.FACES) or "none"
        raise HostError(f"missed faces come from a Detections field other than '{fields.FACES}', but got '{field}'; there is: {known}")
    wanted = None if labels is None else set(labels)
    rows = stream_values(dataset, ids, [field])
    chosen = {
        sample_id: [_checked_box(label.bounding_box) for label in found.detections if wanted is None or label.id in wanted]
        for sample_id, found in rows
        if found is not None
    }
    return {sample_id: boxes for sample_id, boxes in chosen.items() if boxes}


def _add(dataset: fo.Dataset, wanted: dict[str, list[Box]]) -> int:
    """The labels first: a crash in between leaves a face without an action, which no export accepts."""
    ids = [sample_id for sample_id, boxes in wanted.items() if boxes]
    values: dict[str, fo.Detections] = {}
    count = 0
    for sample_id, faces in stream_values(dataset, ids, [fields.FACES]):
        there = list(faces.detections) if faces is not None else []
        for box in wanted[sample_id]:
            if not any(is_marked(label) and same_face(corners(label.bounding_box), corners(box)) for label in there):
                there.append(_missed_face(box))
                count += 1
                values[sample_id] = fo.Detections(detections=there)
    if values:
        dataset.set_values(fields.FACES, values, key_field="id")
        _set_pending(dataset, list(values))
    return count


def _set_pending(dataset: fo.Dataset, ids: list[str]) -> None:
    blank = dataset.select(ids).exists(fields.STATUS, False).values("id")  # no value can be set inside of nothing
    if blank:
        dataset.set_values(fields.STATUS, {sample_id: fo.DynamicEmbeddedDocument() for sample_id in blank}, key_field="id")
    values = {"status": fields.PENDING, "reason": "a person marked a face that was missed: anonymize again", "reviewed": False}
    for name, value in values.items():
        dataset.set_values(f"{fields.STATUS}.{name}", dict.fromkeys(ids, value), key_field="id")
