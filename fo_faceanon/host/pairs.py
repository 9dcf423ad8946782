"""What of a dataset can be compared: originals, their anonymized pictures, and the faces that a run wrote down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fiftyone as fo
import numpy as np
from fiftyone import ViewField as F
from fiftyone.core.collections import SampleCollection

from fo_faceanon.errors import InputError
from fo_faceanon.host.fields import FACES, LANDMARKS, MEDIA
from fo_faceanon.host.inputs import oriented_size
from fo_faceanon.host.session import require_images, stream_values
from fo_faceanon.judging.pairs import Pair
from fo_faceanon.records import FaceRecord

#: Why a sample is not compared.
NO_MEDIA, NO_FACES, UNREADABLE = "no anonymized picture", "no face that could be measured", "cannot be read"


@dataclass(slots=True)
class Compared:
    """The pairs of a dataset; keys are sample ids, which name nobody.

    Args:
        pairs: in the order of the samples.
        faces: by sample id the faces to measure: those with landmarks that a run did not keep on purpose.
        places: by sample id, which of its labels these are.
        labels: by sample id, how many labels it has; also of samples that are not compared.
        problems: why samples are not compared: reason to ids.
        kept: faces that a run kept by consent.
        unplaced: faces without landmarks, which nothing can be measured by.
    """

    pairs: list[Pair] = field(default_factory=list)
    faces: dict[str, list[FaceRecord]] = field(default_factory=dict)
    places: dict[str, list[int]] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)
    problems: dict[str, list[str]] = field(default_factory=dict)
    kept: int = 0
    unplaced: int = 0


def comparable(samples: SampleCollection | str) -> int:
    """How many samples have an anonymized picture."""
    return len(require_images(samples).match(F(MEDIA) > ""))


def read_pairs(dataset: fo.Dataset, ids: Sequence[str]) -> Compared:
    """Reads what there is to compare; no picture is decoded, only headers are read."""
    found = Compared()
    fields = ("filepath", MEDIA, f"{FACES}.detections", f"{LANDMARKS}.keypoints")
    for sample, path, output, labels, marks in stream_values(dataset, ids, fields):
        labels = labels or []
        found.labels[sample] = len(labels)
        problem = _add(found, sample, path, output, labels, marks or [])
        if problem is not None:
            found.problems.setdefault(problem, []).append(sample)
    return found


def _add(
    found: Compared, sample: str, path: str | None, output: str | None, labels: list[fo.Detection], marks: list[fo.Keypoint]
) -> str | None:
    """Takes one sample in; the reason where it is left out."""
    if not output:
        return NO_MEDIA
    try:
        scale = np.array(oriented_size(Path(path or "")), float)
    except InputError:  # moved or damaged since; the export notices it by itself
        return UNREADABLE
    points = {mark.instance.id: np.asarray(mark.points, float) * scale for mark in marks if mark.instance is not None}
    open_labels = [i for i, label in enumerate(labels) if _action(label) != "kept"]
    found.kept += len(labels) - len(open_labels)
    records = {i: record for i in open_labels if (record := _record(labels[i], scale, points)) is not None}
    found.unplaced += len(open_labels) - len(records)
    if not records:
        return NO_FACES
    found.pairs.append(Pair(sample, Path(path or ""), Path(output)))
    found.faces[sample], found.places[sample] = list(records.values()), list(records)
    return None


def _record(label: fo.Detection, scale: np.ndarray, points: dict[str, np.ndarray]) -> FaceRecord | None:
    """A label as a face with landmarks; None where it has none, or not all."""
    known = points.get(label.instance.id) if label.instance is not None else None
    if known is None or known.shape != (68, 2) or not np.isfinite(known).all():
        return None
    x, y, w, h = (np.asarray(label.bounding_box, float) * [*scale, *scale]).tolist()
    return FaceRecord((x, y, x + w, y + h), float(label.confidence or 1.0), "", _action(label) or "", "", 0, landmarks=known.tolist())


def _action(label: fo.Detection) -> Any:
    return label.get_field("action") if label.has_field("action") else None
