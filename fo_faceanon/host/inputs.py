"""What a run reads from a dataset: image paths, the user's own faces and consent, and what an earlier run left."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fiftyone as fo
from PIL import Image

from fo_faceanon.errors import FaceAnonError, HostError, InputError
from fo_faceanon.faces import Face
from fo_faceanon.host import fields
from fo_faceanon.host.session import stream_values
from fo_faceanon.images import decode_image

_PREVIOUS = ("status", "run_key", "fingerprint", "source_sha256", "output_sha256")
_SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that swap width and height


@dataclass(frozen=True, slots=True)
class FaceSource:
    """Where faces come from: a Detections field of the user's, or (``field`` None) the detectors.

    Args:
        field: every Detection in it is taken for a face.
        keep_field: a Boolean attribute of the Detections; only the value True is consent.
        keep_ids: ids of labels that stay as they are.
        person_field: an attribute that names the person, for the ``consistent`` identity mode.
    """

    field: str | None = None
    keep_field: str | None = None
    keep_ids: frozenset[str] = frozenset()
    person_field: str | None = None

    def check(self, dataset: fo.Dataset) -> None:
        """Raises HostError where the dataset has no such Detections field, or consent is given for no field."""
        if self.field is None:
            if self.keep_field or self.keep_ids or self.person_field:
                raise HostError("consent and persons belong to your own labels: name their Detections field with faces_field")
            return
        schema = dataset.get_field_schema(embedded_doc_type=fo.Detections)
        if self.field not in schema:
            raise HostError(
                f"faces_field must be a Detections field of '{dataset.name}', but got '{self.field}'; it has: {', '.join(schema) or 'none'}"
            )


@dataclass(slots=True)
class Row:
    """One sample as a run sees it. ``previous`` holds what an earlier run wrote down."""

    id: str
    source: Path
    faces: tuple[Face, ...] | None
    size: tuple[int, int] | None
    fingerprint: str
    previous: dict[str, Any]
    previous_output: Path | None
    previous_actions: list[str]
    carried: dict[str, dict[str, Any]] = field(default_factory=dict)
    error: str | None = None


def read_rows(dataset: fo.Dataset, ids: Sequence[str], source: FaceSource, run_key: str) -> Iterator[Row]:
    """Yields the samples as rows, a few hundred read at once."""
    names = ["filepath", fields.MEDIA, f"{fields.FACES}.detections.action", *(f"{fields.STATUS}.{name}" for name in _PREVIOUS)]
    wanted = names if source.field is None else [*names, source.field]
    for sample_id, filepath, output, actions, *rest in stream_values(dataset, ids, wanted):
        row = Row(
            id=sample_id,
            source=Path(filepath or ""),
            faces=None,
            size=None,
            fingerprint="",
            previous=dict(zip(_PREVIOUS, rest, strict=False)),
            previous_output=Path(output) if output else None,
            previous_actions=[action for action in actions or [] if action],
            error=None if filepath else "the sample has no file path",
        )
        labels = rest[len(_PREVIOUS)] if source.field is not None else None
        if labels is not None:
            _add_faces(row, labels, source)
        row.fingerprint = _fingerprint(run_key, row)
        yield row


def source_folders(dataset: fo.Dataset, ids: Sequence[str]) -> set[Path]:
    """The folders that hold the original images."""
    parents = {Path(path).parent for _, path in stream_values(dataset, ids, ["filepath"]) if path}
    return {parent.resolve() for parent in parents}


def oriented_size(path: Path) -> tuple[int, int]:
    """Width and height of an image as viewers show it: EXIF orientation applied.

    Raises:
        InputError: the file cannot be read as an image.
    """
    try:
        with Image.open(path) as image:
            if image.format in ("JPEG", "MPO", "WEBP"):  # their header holds the orientation; others may have it at the end
                width, height = image.size
                sideways = image.getexif().get(0x0112) in _SIDEWAYS
                return (height, width) if sideways else (width, height)
    except Exception:  # the full decode below knows the right words for every kind of damage
        pass
    height, width = decode_image(path).pixels.shape[:2]
    return width, height


def _add_faces(row: Row, labels: fo.Detections, source: FaceSource) -> None:
    try:
        row.size = oriented_size(row.source)
        row.faces = tuple(_face(label, row.size, source) for label in labels.detections)
    except FaceAnonError as error:
        row.error = str(error)
        return
    if source.field == fields.FACES and source.keep_field:  # our own field is rewritten: consent given there must survive
        row.carried = {label.id: {source.keep_field: True} for label in labels.detections if _attribute(label, source.keep_field) is True}


def _face(label: fo.Detection, size: tuple[int, int], source: FaceSource) -> Face:
    x, y, width, height = (float(value) for value in label.bounding_box or (0, 0, 0, 0))
    if not (width > 0 and height > 0):
        raise InputError(f"the face label {label.id} has an empty box; correct or delete it")
    person = _attribute(label, source.person_field)
    confidence = label.confidence if label.confidence is not None else 1.0
    return Face(
        box=(x * size[0], y * size[1], (x + width) * size[0], (y + height) * size[1]),
        score=float(confidence),
        key=label.id,
        person=None if person is None else str(person),
        keep=label.id in source.keep_ids or _attribute(label, source.keep_field) is True,
    )


def _attribute(label: fo.Detection, name: str | None) -> Any:
    return label[name] if name and label.has_field(name) else None


def _fingerprint(run_key: str, row: Row) -> str:
    """Changes with the run's configuration and with the faces asked for: a withdrawn consent must not be skipped."""
    faces = None if row.faces is None else [(face.key, face.box, face.keep, face.person) for face in row.faces]
    return hashlib.sha256(json.dumps([run_key, faces]).encode()).hexdigest()
