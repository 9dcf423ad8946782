"""A second look at the originals: by a detector that the run did not use, and by its own at lower thresholds and for smaller faces."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import fiftyone as fo
import numpy as np
from fiftyone.core.collections import SampleCollection

from fo_faceanon.detection import Detector, create_detector, list_detectors, merge_faces, same_face
from fo_faceanon.devices import resolve_device
from fo_faceanon.errors import HostError, InputError
from fo_faceanon.faces import Face
from fo_faceanon.host import fields, views
from fo_faceanon.host.candidates import CANDIDATES, HELD, corners, declare_candidates, is_dismissed, uncovered
from fo_faceanon.host.lock import DatasetLock
from fo_faceanon.host.session import database_errors, require_images, root_dataset, sample_ids, stream_values
from fo_faceanon.images import decode_image
from fo_faceanon.steps import drain

#: Scores from which the second look believes a detector: lower finds more, and each costs a look. On 160 training photographs (US
#: officials, SD3 portraits, All-Age-Faces), 2, 7 and 1 have a candidate of dlib, MTCNN and YuNet beside the faces found; nearly all are
#: none.
THRESHOLDS = {"dlib": 0.4, "mtcnn": 0.6, "yunet": 0.25}
#: The smallest face of the second look, as a part of the run's.
_SMALLER = 0.75
#: Pictures that are looked at together.
_BATCH = 8
_NAMES = [f"{fields.STATUS}.status", f"{fields.STATUS}.reviewed", f"{fields.STATUS}.run_key", fields.FACES]


@dataclass(slots=True)
class SecondLook:
    """Counts of :func:`find_missed_faces`: ``samples = looked + not_looked``."""

    samples: int = 0
    looked: int = 0
    not_looked: int = 0
    with_candidates: int = 0
    candidates: dict[str, int] = field(default_factory=dict)
    held: int = 0

    def to_dict(self) -> dict[str, Any]:
        """A JSON-serializable dictionary."""
        return asdict(self)


def find_missed_faces(
    samples: SampleCollection | str, *, device: str = "auto", progress: bool | Callable[[Any], Any] | None = None
) -> SecondLook:
    """Looks at the originals again, and notes places that may be faces and were left as they are.

    They become labels of ``missed_face_candidates``, each with its detector and a ``reason`` (``another detector``, ``low score``,
    ``small``), and the view ``faceanon: missed face`` shows their samples. A sample with one waits for a person: it was ``ok``, and is
    ``needs_review`` now. Finding nothing proves nothing: it changes no status for the better.

    Args:
        samples: a dataset, a view, or a dataset's name; samples without faces or anonymized faces are looked at, others are not.
        device: where networks run.
        progress: as for :func:`fo_faceanon.anonymize`.

    Raises:
        HostError: the dataset was never anonymized, a field of that name is not ours, or a run is on it.
        WeightsError: no detector's weights are here.
    """
    samples = require_images(samples)
    steps = find_missed_steps(samples, device=device)
    with fo.ProgressBar(total=len(samples), progress=progress) as bar:
        return drain(steps, lambda step: bar.set_iteration(step[0]))


def find_missed_steps(samples: SampleCollection | str, *, device: str = "auto") -> Generator[tuple[int, int], None, SecondLook]:
    """:func:`find_missed_faces` as a generator of ``done, total``, with the counts as its return value."""
    samples = require_images(samples)
    dataset, ids = root_dataset(samples), sample_ids(samples)
    if not fields.is_ours(dataset, fields.STATUS):
        raise HostError(f"the dataset '{dataset.name}' was not anonymized yet: run fo_faceanon.anonymize(dataset) first")
    device = resolve_device(device)
    with database_errors(), DatasetLock(dataset) as lock:
        fields.declare_fields(dataset)
        declare_candidates(dataset)
        views.save_views(dataset)
        report = SecondLook(samples=len(ids))
        for run_key, members in _by_run(dataset, ids).items():
            looks = _looks(dataset, run_key, device)
            for start in range(0, len(members), _BATCH):
                _look_at(dataset, members[start : start + _BATCH], looks, report)
                lock.refresh()
                yield report.looked + report.not_looked, len(ids)
    return report


@dataclass(frozen=True, slots=True)
class _Looks:
    """Detectors of the second look; ``used`` names those that the run had, ``min_face`` its smallest face in pixels."""

    detectors: list[Detector]
    used: frozenset[str]
    min_face: int

    def __call__(self, images: Sequence[np.ndarray]) -> list[list[Face]]:
        opinions = [detector(images) for detector in self.detectors]
        return [merge_faces(groups) for groups in zip(*opinions, strict=True)]

    def reason(self, face: Face) -> str:
        if face.size < self.min_face:
            return "small"
        return "another detector" if set(face.detector.split("+")) - self.used else "low score"


def _by_run(dataset: fo.Dataset, ids: list[str]) -> dict[str | None, list[str]]:
    groups: dict[str | None, list[str]] = {}
    for sample_id, run_key in stream_values(dataset, ids, [f"{fields.STATUS}.run_key"]):
        groups.setdefault(run_key, []).append(sample_id)
    return groups


def _looks(dataset: fo.Dataset, run_key: str | None, device: str) -> _Looks:
    available = [info.name for info in list_detectors() if info.available and info.name in THRESHOLDS]
    known = run_key is not None and dataset.has_run(run_key)
    config = dataset.get_run_info(run_key).config if known else None
    name, min_face = (config.detector, config.min_face) if config is not None else ("union", 16)
    used = frozenset({"mtcnn", "yunet" if "yunet" in available else "dlib"} if name == "union" else {name})
    smallest = max(8, round(min_face * _SMALLER))
    return _Looks([create_detector(each, device, smallest, THRESHOLDS[each]) for each in available], used, min_face)


def _look_at(dataset: fo.Dataset, ids: list[str], looks: _Looks, report: SecondLook) -> None:
    """One batch: what is found beside its faces becomes candidates, and holds their samples."""
    rows, images = [], []
    for row in stream_values(dataset, ids, ["filepath", CANDIDATES, *_NAMES]):
        image = _original(row[1], row[3])
        if image is None:
            report.not_looked += 1
            continue
        rows.append(row)
        images.append(image)
    report.looked += len(rows)
    if not rows:
        return
    found: dict[str, fo.Detections] = {}
    held: list[str] = []
    for (sample_id, _, earlier, status, reviewed, _, faces), image, seen in zip(rows, images, looks(images), strict=True):
        known = earlier.detections if earlier is not None else []
        labels = _candidates(image, seen, looks, faces.detections if faces is not None else [], known)
        found[sample_id] = fo.Detections(detections=labels)
        open_ones = [label for label in labels if not is_dismissed(label)]
        report.with_candidates += bool(open_ones)
        for label in open_ones:
            report.candidates[label["reason"]] = report.candidates.get(label["reason"], 0) + 1
        if open_ones and (status == "ok" or (status in views.REVIEWABLE and reviewed)):
            held.append(sample_id)
    dataset.set_values(CANDIDATES, found, key_field="id")
    report.held += len(held)
    hold(dataset, held)


def hold(dataset: fo.Dataset, ids: list[str]) -> None:
    """Makes samples wait for a person; the release that they had is over."""
    for name, value in {"status": "needs_review", "reason": HELD, "reviewed": False}.items():
        if ids:
            dataset.set_values(f"{fields.STATUS}.{name}", dict.fromkeys(ids, value), key_field="id")


def _original(path: str | None, status: str | None) -> np.ndarray | None:
    """Only what an export could take is worth a look: failed and pending samples are withheld in any case."""
    if status not in ("ok", *views.REVIEWABLE):
        return None
    try:
        return decode_image(path or "").pixels
    except InputError:
        return None


def _candidates(
    image: np.ndarray, seen: list[Face], looks: _Looks, faces: list[fo.Detection], earlier: Sequence[fo.Detection]
) -> list[fo.Detection]:
    """What was seen and is no face of the sample; a place that a person dismissed before stays dismissed."""
    dismissed = [corners(label.bounding_box) for label in earlier if is_dismissed(label)]
    places = [_label(image, face, looks.reason(face)) for face in seen]
    labels = uncovered([label for label in places if label is not None], [corners(face.bounding_box) for face in faces])
    for label in labels:
        label["dismissed"] = any(same_face(corners(label.bounding_box), box) for box in dismissed)
    return labels


def _label(image: np.ndarray, face: Face, reason: str) -> fo.Detection | None:
    """The part of the box that lies in the picture; None where that is nothing."""
    height, width = image.shape[:2]
    x0, y0, x1, y1 = face.box
    x0, y0, x1, y1 = max(x0, 0) / width, max(y0, 0) / height, min(x1, width) / width, min(y1, height) / height
    if x1 <= x0 or y1 <= y0:
        return None
    box = [x0, y0, x1 - x0, y1 - y0]
    return fo.Detection(label="maybe a face", bounding_box=box, confidence=face.score, detector=face.detector, reason=reason)
