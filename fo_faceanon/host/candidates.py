"""The field of places that may be faces and were left original: what a second look found, and what a person dismissed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import fiftyone as fo
from fiftyone import ViewField as F
from fiftyone.core.expressions import ViewExpression

from fo_faceanon.host import fields
from fo_faceanon.host.session import stream_values
from fo_faceanon.records import ImageRecord

CANDIDATES = "missed_face_candidates"
#: What the sample's reason says while a candidate is open.
HELD = "a second look found places that may be faces"

_ATTRIBUTES = {"detector": fo.StringField, "reason": fo.StringField, "dismissed": fo.BooleanField}


def declare_candidates(dataset: fo.Dataset) -> None:
    """Adds the field.

    Raises:
        HostError: a field of that name is not ours.
    """
    fields.declare_label_field(dataset, CANDIDATES, fo.Detections)
    for name, kind in _ATTRIBUTES.items():
        dataset.add_sample_field(f"{CANDIDATES}.detections.{name}", kind)


def has_open_candidates() -> ViewExpression:
    """Matches samples with a candidate that no person dismissed; also where the field does not exist (none then)."""
    return F(f"{CANDIDATES}.detections").filter(~(F("dismissed") == True)).length() > 0  # noqa: E712


def open_candidates(dataset: fo.Dataset) -> dict[str, list[fo.Detection]]:
    """By sample id, the candidates that no person dismissed."""
    if not fields.is_ours(dataset, CANDIDATES):
        return {}
    ids, labels = dataset.match(has_open_candidates()).values(["id", CANDIDATES])
    return {key: [label for label in found.detections if not is_dismissed(label)] for key, found in zip(ids, labels, strict=True)}


def uncovered(candidates: Sequence[fo.Detection], boxes: Sequence[tuple[float, float, float, float]]) -> list[fo.Detection]:
    """The candidates that are none of the faces, whose boxes are ``(x0, y0, x1, y1)`` relative to the picture."""
    from fo_faceanon.detection import same_face  # needs torch, which a form of the App can do without

    return [label for label in candidates if not any(same_face(corners(label.bounding_box), box) for box in boxes)]


def held_back(record: ImageRecord, candidates: Sequence[fo.Detection]) -> ImageRecord:
    """The record of a new picture, which waits for a person where a candidate is none of its faces."""
    if record.status != "ok" or not candidates:
        return record
    width, height = record.width or 1, record.height or 1
    faces = [(x0 / width, y0 / height, x1 / width, y1 / height) for x0, y0, x1, y1 in (face.box for face in record.faces)]
    return replace(record, status="needs_review", reason=HELD) if uncovered(candidates, faces) else record


def is_dismissed(label: fo.Detection) -> bool:
    """Whether a person looked at the candidate and released the sample with it."""
    return label.has_field("dismissed") and label["dismissed"] is True


def dismiss_candidates(dataset: fo.Dataset, ids: Sequence[str], dismissed: bool = True) -> None:
    """Notes that a person looked at the candidates of these samples (or takes that back)."""
    if not fields.is_ours(dataset, CANDIDATES) or not ids:
        return
    path = f"{CANDIDATES}.detections.dismissed"
    rows = stream_values(dataset, ids, [f"{CANDIDATES}.detections.id"])
    values = {sample_id: [dismissed] * len(labels) for sample_id, labels in rows if labels}
    if values:
        dataset.set_values(path, values, key_field="id")


def corners(box: Sequence[float]) -> tuple[float, float, float, float]:
    """``(x0, y0, x1, y1)`` of ``[x, y, width, height]``."""
    x, y, width, height = box
    return x, y, x + width, y + height
