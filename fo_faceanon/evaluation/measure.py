"""Every figure that a single face has: original against anonymized."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fo_faceanon.devices import one_thread, resolve_device
from fo_faceanon.evaluation.groups import group_labels
from fo_faceanon.evaluation.light_colour import light_and_colour
from fo_faceanon.evaluation.meters import Meters, Side
from fo_faceanon.faces import box_iou
from fo_faceanon.judging.faces import SAME_FACE, JudgedFace, unsteadiness
from fo_faceanon.judging.judged import NO_FACE, PairFault, read_partner, read_picture
from fo_faceanon.judging.look import check_sizes
from fo_faceanon.judging.pairs import Pair
from fo_faceanon.metrics.expression import blendshape_error, emotion_distance, emotion_kept
from fo_faceanon.metrics.geometry import INNER, eye_distance, landmark_error, rotation_angle
from fo_faceanon.metrics.privacy import own_cosines
from fo_faceanon.recognition import THRESHOLDS, available_recognisers, crops_of
from fo_faceanon.records import FaceRecord

#: dlib's landmarks hold on to a face if another box moves them by less than this, in inter-ocular distances.
STEADY = 0.03
#: JPEG quality of the noise floor.
FLOOR_QUALITY = 95
#: One face's figures, labels and what identifies it; None where something could not be measured.
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class MeasureSetup:
    """How every process measures; see `evaluation.run.evaluate_pairs`."""

    recognisers: tuple[str, ...]
    device: str = "cpu"
    main_face_only: bool = False
    cache: Path | None = None
    realism: bool = True


@dataclass(frozen=True, slots=True)
class PairTask:
    """One pair to measure, whether its noise floor as well, and its original's faces where they are known."""

    pair: Pair
    floor: bool = False
    faces: tuple[FaceRecord, ...] | None = None


@dataclass(frozen=True, slots=True)
class Compared:
    """A picture of a pair against its original, face by face, with the features that sets are compared by.

    Args:
        rows: one per face.
        vectors: per recogniser ``F x D`` of original and picture.
        emotions: ``F x 7`` probabilities of original and picture.
        whole: ``1 x 2048`` Inception features of both, or None.
        windows: ``F x 2048`` of the windows around the faces, or None.
    """

    rows: list[Row]
    vectors: dict[str, tuple[np.ndarray, np.ndarray]]
    emotions: tuple[np.ndarray, np.ndarray]
    whole: tuple[np.ndarray, np.ndarray] | None
    windows: tuple[np.ndarray, np.ndarray] | None


@dataclass(frozen=True, slots=True)
class Measured:
    """What became of a pair: the anonymized picture, and the original re-encoded where the floor was wanted."""

    anonymized: Compared
    floor: Compared | None = None


def make_measure(setup: MeasureSetup) -> Callable[[PairTask], Measured]:
    """What every process runs."""
    meters = Meters(setup.recognisers, setup.device, setup.main_face_only, setup.cache, setup.realism)
    return lambda task: measure_pair(meters, task)


def measure_pair(meters: Meters, task: PairTask) -> Measured:
    """Measures one pair of files.

    Raises:
        PairFault: a file cannot be read, the sizes differ, or the original shows no face.
    """
    pair = task.pair
    original = read_picture(pair.original)
    anonymized = original if pair.anonymized is None else read_partner(pair.anonymized, original)
    before = meters.original(original, None if task.faces is None else known_faces(task.faces))
    if not before.faces:
        raise PairFault(NO_FACE)
    after = meters.anonymized(anonymized, before)
    floor = None
    if task.floor:
        one = before.first()
        floor = compare(meters, one, meters.anonymized(re_encoded(original), one))
    compared = compare(meters, before, after)
    for number, row in enumerate(compared.rows):
        row |= {"key": pair.key, "number": number, "person": pair.person}
    return Measured(compared, floor)


def known_faces(records: Sequence[FaceRecord]) -> list[JudgedFace]:
    """Faces that somebody else found, as the judge's; those without landmarks are left out."""
    return [JudgedFace(record.box, record.score, np.asarray(record.landmarks, np.float32)) for record in records if record.landmarks]


def re_encoded(image: np.ndarray) -> np.ndarray:
    """The picture as JPEG of quality 95: what every meter's noise is measured by."""
    data = io.BytesIO()
    Image.fromarray(image).save(data, "JPEG", quality=FLOOR_QUALITY)
    return np.array(Image.open(data).convert("RGB"))


def compare(meters: Meters, before: Side, after: Side) -> Compared:
    """All figures of the faces of one picture."""
    olds = [face for face in before.faces if face is not None]
    light = light_and_colour(before.image, after.image, [face.landmarks for face in olds], meters.device)
    labels = _labels(meters, before, [row["ita"] for row in light])
    parts = (_found(before, after), _identity(before, after), _geometry(before, after), _expression(before, after), light, labels)
    rows = [_clean({"box": list(face.box), **{k: v for part in parts for k, v in part[i].items()}}) for i, face in enumerate(olds)]
    return Compared(
        rows=rows,
        vectors={name: (before.vectors[name], after.vectors[name]) for name in before.vectors},
        emotions=(before.emotions.numpy(), after.emotions.numpy()),
        whole=_both(before.whole, after.whole),
        windows=_both(before.windows, after.windows),
    )


def _both(before: Tensor | None, after: Tensor | None) -> tuple[np.ndarray, np.ndarray] | None:
    return None if before is None or after is None else (before.numpy(), after.numpy())


def _found(before: Side, after: Side) -> list[Row]:
    rows = []
    for old, new in zip(before.faces, after.faces, strict=True):
        overlap = max((box_iou(face.box, old.box) for face in after.second), default=0.0) if old else 0.0
        rows.append({"detected": new is not None, "detected_second": overlap > SAME_FACE})
    return rows


def _identity(before: Side, after: Side) -> list[Row]:
    rows: list[Row] = [{} for _ in before.faces]
    for name, vectors in after.vectors.items():
        key = name.replace("-", "_")
        for row, cosine in zip(rows, own_cosines(vectors, before.vectors[name]).tolist(), strict=True):
            row[f"cosine_{key}"] = cosine
            row[f"reidentified_{key}"] = cosine > THRESHOLDS[name][0]  # false without a vector: not recognised
    return rows


def _geometry(before: Side, after: Side) -> list[Row]:
    return [{**_by_dlib(before.seven[i], after.seven[i]), **_by_mediapipe(before, after, i)} for i in range(len(before.faces))]


def _by_dlib(before: np.ndarray | None, after: np.ndarray | None) -> Row:
    """The mean of seven boxes on either side. ``steady``: whether the original's hold on to the face, whatever the result."""
    row: Row = {"steady": before is not None and unsteadiness(before) < STEADY}
    if before is None or after is None:
        return row
    known, kept = (torch.from_numpy(seven.mean(0))[None] for seven in (before, after))
    unit = eye_distance(known)
    row["interocular"] = float(unit)
    for name, first in (("landmark_error", 0), ("expression_error", INNER)):
        row[name] = float(landmark_error(kept[:, first:], known[:, first:], unit))
        row[f"{name}_steady"] = row[name] if row["steady"] else None
    return row


def _by_mediapipe(before: Side, after: Side, i: int) -> Row:
    old, new = before.mesh[i], after.mesh[i]
    if old is None or new is None:
        return {}
    known, kept = (torch.from_numpy(np.array(mesh.points[:, :2]))[None] for mesh in (old, new))
    poses = [torch.from_numpy(np.array(mesh.pose))[None] for mesh in (new, old)]
    shapes = [torch.from_numpy(np.array(mesh.blendshapes))[None] for mesh in (new, old)]
    return {
        "landmark_error_mesh": float(landmark_error(kept, known, eye_distance(known))),
        "head_pose_error": float(rotation_angle(*poses)),
        "blendshape_error": float(blendshape_error(*shapes)),
    }


def _expression(before: Side, after: Side) -> list[Row]:
    kept, second = emotion_kept(after.emotions, before.emotions), emotion_kept(after.face_api, before.face_api)
    distance = emotion_distance(after.emotions, before.emotions)
    rows = []
    for i in range(len(before.faces)):
        row: Row = {"emotion_distance": float(distance[i])}
        row["emotion_kept"] = _share(float(kept[i]))
        row["emotion_kept_second"] = _share(float(second[i]))
        row |= {"emotion": _emotion(before.emotions[i]), "emotion_anonymized": _emotion(after.emotions[i])}
        rows.append(row)
    return rows


def _share(value: float) -> bool | None:
    return bool(value) if np.isfinite(value) else None


def _emotion(probabilities: Tensor) -> str | None:
    if not probabilities.isfinite().all():
        return None
    from fo_faceanon.emotion import EMOTIONS

    return EMOTIONS[int(probabilities.argmax())]


def _labels(meters: Meters, before: Side, ita: Sequence[float]) -> list[Row]:
    """Which groups the original's faces are in."""
    landmarks = [face.landmarks if face else None for face in before.faces]
    rows: list[Row] = [{} for _ in landmarks]
    for (i,), crops, points in crops_of([before.image] * len(landmarks), landmarks, batch=1):
        found = meters.attributes(crops, points)
        yaw, age, male = float(found.pose[0, 0]), float(found.age[0]), float(found.male[0])
        distance = float(eye_distance(torch.from_numpy(np.asarray(landmarks[i]))[None]))
        rows[i] = {"age": age, "male": male, "yaw": yaw, "groups": group_labels(ita[i], age, male, distance, yaw)}
    return rows


def _clean(row: Row) -> Row:
    return {key: None if isinstance(value, float) and not np.isfinite(value) else value for key, value in row.items()}


class FaceMeasurer:
    """Every figure of the faces of a pair of pictures that are in memory.

    Args:
        device: ``auto``, ``cpu``, ``cuda``, ...
        recognisers: names; by default all whose weights are here.
    """

    def __init__(self, device: str = "auto", recognisers: Sequence[str] | None = None) -> None:
        names = tuple(available_recognisers() if recognisers is None else recognisers)
        self._meters = Meters(names, resolve_device(device), realism=False)

    def __call__(self, original: np.ndarray, anonymized: np.ndarray, faces: Sequence[FaceRecord]) -> list[dict[str, Any]]:
        """One row per face, in order.

        Args:
            original: ``H x W x 3`` uint8.
            anonymized: the same size.
            faces: of the original; one without landmarks cannot be measured and gets an empty row.

        Returns:
            Per face every figure of `figures.FIGURES` that it has by itself (so no ``rank1``), ``emotion`` and
            ``emotion_anonymized``, and its ``groups``; None where something could not be measured.

        Raises:
            InputError: the pictures differ in size.
        """
        check_sizes(original, anonymized)
        known = known_faces(faces)
        if not known:
            return [{} for _ in faces]
        with one_thread():
            before = self._meters.original(original, known)
            rows = iter(compare(self._meters, before, self._meters.anonymized(anonymized, before)).rows)
        return [next(rows) if record.landmarks else {} for record in faces]
