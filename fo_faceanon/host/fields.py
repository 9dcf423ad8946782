"""The fields that a run writes: their schema, their App settings, and the labels made from a record."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import fiftyone as fo
from bson import ObjectId

from fo_faceanon.errors import HostError
from fo_faceanon.records import FaceRecord, ImageRecord

STATUS = "faceanon"
MEDIA = "anonymized_filepath"
FACES = "faces"
LANDMARKS = "face_landmarks"

#: Status of a sample, and action of a face, that the next run has to do.
PENDING = "pending"
#: Status of a sample whose picture, faces or consent changed since it was anonymized.
STALE = "stale"

_OWNER = {"owner": "fo-faceanon"}

_STATUS_FIELDS = {
    "status": fo.StringField,
    "reason": fo.StringField,
    "method": fo.StringField,
    "run_key": fo.StringField,
    "fingerprint": fo.StringField,
    "source_sha256": fo.StringField,
    "output_sha256": fo.StringField,
    "num_faces": fo.IntField,
    "identity_similarity": fo.FloatField,
    "reidentified": fo.BooleanField,
    "reviewed": fo.BooleanField,
    "source_stamp": fo.StringField,
    "output_stamp": fo.StringField,
    "faces_digest": fo.StringField,
}

_FACE_ATTRIBUTES = {
    "action": fo.StringField,
    "method": fo.StringField,
    "seed": fo.IntField,
    "reason": fo.StringField,
    "detector": fo.StringField,
    "model_sha256": fo.StringField,
    "identity_similarity": fo.FloatField,
    "reidentified": fo.BooleanField,
}
#: What a person's review leaves on a face: drawn by hand, and what it was asked to become in place of what its run makes of faces.
_REVIEW_ATTRIBUTES = {"missed": fo.BooleanField, "asked_method": fo.StringField, "asked_seed": fo.IntField}
#: The 68 points of iBUG 300-W by part; the App fails to draw a skeleton whose points have no names.
_PARTS = {"jaw": 17, "right brow": 5, "left brow": 5, "nose": 9, "right eye": 6, "left eye": 6, "outer lips": 12, "inner lips": 8}
_POINT_NAMES = [f"{part} {number}" for part, count in _PARTS.items() for number in range(1, count + 1)]


def declare_fields(dataset: fo.Dataset) -> None:
    """Adds the fields of a run to the dataset, and lets the App toggle between original and anonymized pictures.

    A sample without anonymized media shows nothing in that mode: the App must never fall back to the original.

    Raises:
        HostError: a field of that name exists and is not ours; nothing is changed then.
    """
    names = (STATUS, MEDIA, FACES, LANDMARKS)
    for name in names:
        _refuse_foreign(dataset, name)
    if not dataset.has_field(STATUS):
        dataset.add_sample_field(STATUS, fo.EmbeddedDocumentField, embedded_doc_type=fo.DynamicEmbeddedDocument)
        dataset.add_sample_field(MEDIA, fo.StringField)
        dataset.add_sample_field(FACES, fo.EmbeddedDocumentField, embedded_doc_type=fo.Detections)
        dataset.add_sample_field(LANDMARKS, fo.EmbeddedDocumentField, embedded_doc_type=fo.Keypoints)
        for name in names:
            field = dataset.get_field(name)
            field.info = dict(_OWNER)
            field.save()
    for name, kind in _STATUS_FIELDS.items():
        dataset.add_sample_field(f"{STATUS}.{name}", kind)
    for name, kind in {**_FACE_ATTRIBUTES, **_REVIEW_ATTRIBUTES}.items():
        dataset.add_sample_field(f"{FACES}.detections.{name}", kind)
    dataset.create_index(f"{STATUS}.status")
    _configure_app(dataset)


def declare_label_field(dataset: fo.Dataset, name: str, kind: type) -> None:
    """Adds a label field of ours.

    Raises:
        HostError: a field of that name exists and is not ours.
    """
    _refuse_foreign(dataset, name)
    if not dataset.has_field(name):
        dataset.add_sample_field(name, fo.EmbeddedDocumentField, embedded_doc_type=kind)
        field = dataset.get_field(name)
        field.info = dict(_OWNER)
        field.save()


def check_label_field(dataset: fo.Dataset, name: str) -> None:
    """Raises HostError where labels that are no run's may not go into a field of that name."""
    if name in (STATUS, MEDIA, FACES, LANDMARKS) or not name.isidentifier():
        raise HostError(f"detections need a field of their own, whose name is a word, but got '{name}'; for example 'detected_faces'")
    if dataset.has_field(name) and not is_ours(dataset, name):
        raise HostError(f"the dataset '{dataset.name}' already has a field '{name}' that is not ours: choose another name")


def is_ours(dataset: fo.Dataset, name: str) -> bool:
    """True where the field exists and was made by :func:`declare_fields`."""
    field = dataset.get_field(name)
    return field is not None and (field.info or {}).get("owner") == _OWNER["owner"]


def faces_digest(faces: Iterable[tuple[str, Sequence[float]]]) -> str:
    """A digest of the labels (id, box) that a sample was anonymized by: another one where a label was moved, added or deleted since."""
    known = sorted((key, [round(float(value), 6) for value in box or ()]) for key, box in faces)
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()[:32]


def status_document(record: ImageRecord, run_key: str, fingerprint: str, **traces: str | None) -> fo.DynamicEmbeddedDocument:
    """The ``faceanon`` document of one sample; per-sample figures are those of its worst face.

    Args:
        record: what was done.
        run_key: of the run.
        fingerprint: of the configuration and the faces asked for.
        **traces: ``source_stamp``, ``output_stamp``, ``faces_digest``: what tells later that something changed.
    """
    similarities = [f.identity_similarity for f in record.faces if f.identity_similarity is not None]
    verdicts = [f.reidentified for f in record.faces if f.reidentified is not None]
    return fo.DynamicEmbeddedDocument(
        status=record.status,
        reason=record.reason,
        method=record.method,
        run_key=run_key,
        fingerprint=fingerprint,
        source_sha256=record.source_sha256,
        output_sha256=record.output_sha256 if record.status != "failed" else None,
        num_faces=len(record.faces),
        identity_similarity=max(similarities, default=None),
        reidentified=any(verdicts) if verdicts else None,
        reviewed=False,
        **traces,
    )


def face_labels(record: ImageRecord, carried: Mapping[str, Mapping[str, Any]]) -> tuple[fo.Detections | None, fo.Keypoints | None]:
    """One Detection and one Keypoint per face, linked by an instance; None where the picture could not be read.

    Args:
        record: the record of an image; boxes and landmarks in pixels of the oriented image.
        carried: by label id, attributes of the user's own labels that a rewrite of the same field must not lose.
    """
    if not record.width or not record.height:
        return None, None
    pairs = [_face_label(face, record.width, record.height, carried.get(face.key or "", {})) for face in record.faces]
    return fo.Detections(detections=[d for d, _ in pairs]), fo.Keypoints(keypoints=[k for _, k in pairs if k is not None])


def _face_label(face: FaceRecord, width: int, height: int, carried: Mapping[str, Any]) -> tuple[fo.Detection, fo.Keypoint | None]:
    x0, y0, x1, y1 = face.box
    instance = fo.Instance()
    detection = fo.Detection(
        label="face",
        bounding_box=[x0 / width, y0 / height, (x1 - x0) / width, (y1 - y0) / height],
        confidence=face.score,
        instance=instance,
        **{**carried, **{name: getattr(face, name) for name in _FACE_ATTRIBUTES}},
    )
    if face.key and ObjectId.is_valid(face.key):
        detection._id = ObjectId(face.key)
    if face.landmarks is None:
        return detection, None
    points = [(float(x) / width, float(y) / height) for x, y in face.landmarks]
    return detection, fo.Keypoint(label="face", points=points, instance=instance)


def face_skeleton() -> fo.KeypointSkeleton:
    """The 68 points of iBUG 300-W by name, and the lines between them."""
    return fo.KeypointSkeleton(labels=_POINT_NAMES, edges=list(_skeleton_edges()))


def _refuse_foreign(dataset: fo.Dataset, name: str) -> None:
    if dataset.has_field(name) and not is_ours(dataset, name):
        raise HostError(
            f"the dataset '{dataset.name}' already has a field '{name}' that fo-faceanon did not make, and would be overwritten. "
            f"Rename it first: dataset.rename_sample_field('{name}', 'my_{name}')"
        )


def _configure_app(dataset: fo.Dataset) -> None:
    config = dataset.app_config
    if MEDIA not in config.media_fields:
        config.media_fields = [*config.media_fields, MEDIA]
    config.media_fallback = False
    if config.active_fields is None:  # 68 points drawn over a face hide it
        shown = fo.DatasetAppConfig.default_active_fields(dataset)
        shown.paths = [path for path in shown.paths if path != LANDMARKS] + [f"{STATUS}.status"]
        config.active_fields = shown
    dataset.skeletons = {**dataset.skeletons, LANDMARKS: face_skeleton()}
    dataset.save()


def _skeleton_edges() -> Iterable[list[int]]:
    """The same points as polylines: jaw, brows, bridge and base of the nose, eyes, lips."""
    open_lines = ((0, 17), (17, 22), (22, 27), (27, 31), (31, 36))
    closed_lines = ((36, 42), (42, 48), (48, 60), (60, 68))
    for start, stop in open_lines:
        yield list(range(start, stop))
    for start, stop in closed_lines:
        yield [*range(start, stop), start]
