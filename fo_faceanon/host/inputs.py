"""What a run reads from a dataset: image paths, the user's own faces and consent, and what an earlier run left."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import fiftyone as fo
from fiftyone import ViewField as F
from PIL import Image

from fo_faceanon.errors import FaceAnonError, HostError, InputError
from fo_faceanon.faces import AddedFaces, Face
from fo_faceanon.host import fields
from fo_faceanon.host.candidates import open_candidates
from fo_faceanon.host.session import stream_values
from fo_faceanon.images import decode_image
from fo_faceanon.records import ACTIONS

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

    def to_dict(self) -> dict[str, Any]:
        """JSON values, for the run's configuration."""
        return {**asdict(self), "keep_ids": sorted(self.keep_ids)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> FaceSource:
        """What :meth:`to_dict` gave."""
        return cls(**{**values, "keep_ids": frozenset(values["keep_ids"])})

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
    """One sample as a run sees it.

    ``previous`` holds what an earlier run wrote down, ``stamp`` the source's size and time before it was read, ``carried`` by label
    id what a rewrite of our own labels must not lose, ``marked`` the labels that a person drew, ``candidates`` open places that may be
    faces.
    """

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
    stamp: str | None = None
    marked: list[fo.Detection] = field(default_factory=list)
    candidates: list[fo.Detection] = field(default_factory=list)

    @property
    def unhandled(self) -> bool:
        """Whether a person drew a face that no run has seen."""
        return any(is_unhandled(label) for label in self.marked)

    def without_paths(self, reason: str | None) -> str | None:
        """Reasons are counted, shown and stored with the run: they must not name a file."""
        if reason is None:
            return None
        for text in (str(self.source.absolute()), str(self.source)):
            reason = reason.replace(text, "the image")
        return reason.replace(self.source.name, "the image") if self.source.name else reason


def read_rows(dataset: fo.Dataset, ids: Sequence[str], source: FaceSource, run_key: str) -> Iterator[Row]:
    """Yields the samples as rows, a few hundred read at once."""
    names = ["filepath", fields.MEDIA, f"{fields.FACES}.detections.action", *(f"{fields.STATUS}.{name}" for name in _PREVIOUS)]
    wanted = names if source.field is None else [*names, source.field]
    marked, candidates = marked_faces(dataset), open_candidates(dataset)
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
            stamp=file_stamp(filepath),
            candidates=candidates.get(sample_id, []),
        )
        if source.field is not None:
            _add_faces(row, rest[len(_PREVIOUS)], source)
        row.fingerprint = _fingerprint(run_key, row.faces)
        if sample_id in marked:
            _add_marked(row, marked[sample_id], source)
        yield row


def marked_faces(dataset: fo.Dataset) -> dict[str, list[fo.Detection]]:
    """By sample id, the labels of our own field that a person drew: no detector vouches for them, and no run may forget them."""
    drawn = F(f"{fields.FACES}.detections").filter((F("missed") == True) | ~F("action").is_in(list(ACTIONS)))  # noqa: E712
    ids, labels = dataset.match(drawn.length() > 0).values(["id", fields.FACES])
    return {key: [label for label in found.detections if is_marked(label)] for key, found in zip(ids, labels, strict=True)}


def is_marked(label: fo.Detection) -> bool:
    """True for a label of our own field that a person drew, whether or not a run has seen it."""
    return _attribute(label, "missed") is True or is_unhandled(label)


def is_unhandled(label: fo.Detection) -> bool:
    """True for a label of our own field that no run has seen."""
    return _attribute(label, "action") not in ACTIONS


def file_stamp(path: str | Path | None) -> str | None:
    """Size and time of a file, which tell cheaply that it was not touched; None where it cannot be seen."""
    try:
        status = os.stat(path or "")
    except OSError:
        return None
    return f"{status.st_size}:{status.st_mtime_ns}"


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


def current_fingerprint(run_key: str, source: FaceSource, path: Path, labels: fo.Detections | None) -> str:
    """The fingerprint that a sample would get now; another than it has, where labels or consent changed since.

    Raises:
        InputError: the image or a label cannot be used.
    """
    if source.field is None or labels is None:
        return _fingerprint(run_key, None)
    return _fingerprint(run_key, _faces(labels.detections, oriented_size(path), source))


def _add_faces(row: Row, labels: fo.Detections | None, source: FaceSource) -> None:
    if labels is None:
        return
    try:
        row.size = oriented_size(row.source)
        row.faces = _faces(labels.detections, row.size, source)
    except FaceAnonError as error:
        row.error = str(error)
        return
    if source.field == fields.FACES:  # our own field is rewritten: what a person added to it must survive
        names = [name for name in (source.keep_field, source.person_field) if name]
        row.carried = {label.id: {name: _attribute(label, name) for name in names} for label in labels.detections}


def _add_marked(row: Row, labels: Sequence[fo.Detection], source: FaceSource) -> None:
    """The faces that a person marked, beside the user's own or those that will be found."""
    row.marked = list(labels)
    for label in labels:
        row.carried.setdefault(label.id, {})["missed"] = True
    if row.error or source.field == fields.FACES:  # those labels are among the faces already
        return
    try:
        added = _faces(labels, row.size or oriented_size(row.source), FaceSource())
    except FaceAnonError as error:
        row.error = str(error)
        return
    row.faces = AddedFaces(added) if row.faces is None else (*row.faces, *added)


def _faces(labels: Sequence[fo.Detection], size: tuple[int, int], source: FaceSource) -> tuple[Face, ...]:
    return tuple(_face(label, size, source) for label in labels)


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


def _fingerprint(run_key: str, faces: tuple[Face, ...] | None) -> str:
    """Changes with the run's configuration and with the faces asked for: a withdrawn consent must not be skipped.

    Boxes count in tenths of a pixel: stored relative to the image, they come back with rounding errors.
    """
    known = None if faces is None else [(f.key, [round(v, 1) for v in f.box], f.keep, f.person) for f in faces]
    return hashlib.sha256(json.dumps([run_key, known]).encode()).hexdigest()
