"""A second look holds what may hide a face; a refresh finds what changed since."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import fiftyone as fo
import numpy as np
import pytest
from host_tools import BOX, FAST, make_dataset, picture

from fo_faceanon.detection import DetectorInfo
from fo_faceanon.errors import HostError
from fo_faceanon.faces import Face
from fo_faceanon.host import missed, stale
from fo_faceanon.host.export import export_safe_split
from fo_faceanon.host.lock import DatasetLock
from fo_faceanon.host.missed import find_missed_faces
from fo_faceanon.host.review import mark_missed
from fo_faceanon.host.runner import anonymize
from fo_faceanon.host.stale import refresh
from fo_faceanon.host.views import mark_reviewed, ready

#: What the fake detectors see in every picture of 64 x 56 pixels whose name ends in 0 or 2.
SEEN = {"dlib": [(44.0, 4.0, 62.0, 24.0)], "mtcnn": [BOX, (2.0, 46.0, 11.0, 55.0)]}
asked: dict[str, tuple[int, float]] = {}


class FakeDetector:
    def __init__(self, name: str, _: str, min_face: int, threshold: float) -> None:
        self.name = name
        asked[name] = (min_face, threshold)

    def __call__(self, images: Sequence[np.ndarray]) -> list[list[Face]]:
        return [[Face(box, 0.45, detector=self.name) for box in SEEN[self.name]] if image[4, 4, 0] % 2 else [] for image in images]


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> fo.Dataset:
    monkeypatch.setattr(missed, "create_detector", FakeDetector)
    monkeypatch.setattr(missed, "list_detectors", lambda: [DetectorInfo(name, "", True) for name in ("union", *SEEN)])
    dataset = make_dataset(tmp_path / "in", ["face", "face", "bad"])
    for number, path in enumerate(dataset.values("filepath")[:2]):
        image = picture(number)
        image.putpixel((4, 4), (101 - number, 0, 0))  # odd: the fakes see something in the first picture only
        image.save(path)
    anonymize(dataset, **FAST, detector="mtcnn")
    return dataset


def test_candidates_are_what_is_no_face_of_the_sample(dataset: fo.Dataset) -> None:
    report = find_missed_faces(dataset, device="cpu", progress=False)
    assert report.to_dict() == {
        "samples": 3, "looked": 2, "not_looked": 1, "with_candidates": 1, "candidates": {"another detector": 1, "small": 1}, "held": 1
    }  # fmt: skip
    assert asked == {name: (12, missed.THRESHOLDS[name]) for name in SEEN}
    found = {label["detector"]: label for label in dataset.first().missed_face_candidates.detections}
    assert np.allclose(found["dlib"].bounding_box, [44 / 64, 4 / 56, 18 / 64, 20 / 56]) and found["mtcnn"]["reason"] == "small"
    assert len(dataset.load_saved_view("faceanon: missed face")) == 1
    assert dataset.values("faceanon.status") == ["needs_review", "ok", "failed"] and len(ready(dataset)) == 1


def test_a_hold_outlives_other_runs_and_ends_with_a_look(dataset: fo.Dataset, tmp_path: Path) -> None:
    find_missed_faces(dataset, device="cpu", progress=False)
    report = anonymize(dataset, **FAST, overwrite=True)
    assert report.images == {"needs_review": 1, "ok": 1, "failed": 1} and len(ready(dataset)) == 1
    assert export_safe_split(dataset, tmp_path / "x", dry_run=True).withheld["waits for review"] == 1
    assert mark_reviewed(dataset) == 1 and len(ready(dataset)) == 2
    assert len(dataset.load_saved_view("faceanon: missed face")) == 0
    again = find_missed_faces(dataset, device="cpu", progress=False)
    assert (again.with_candidates, again.held) == (0, 0) and len(ready(dataset)) == 2  # looked at before
    SEEN["dlib"].append((20.0, 46.0, 30.0, 56.0))
    try:
        assert find_missed_faces(dataset, device="cpu", progress=False).held == 1 and len(ready(dataset)) == 1  # a new one
    finally:
        SEEN["dlib"].pop()


def test_a_candidate_that_a_person_marks_is_anonymized(dataset: fo.Dataset) -> None:
    find_missed_faces(dataset, device="cpu", progress=False)
    candidates = dataset.first().missed_face_candidates.detections
    assert mark_missed(dataset, "missed_face_candidates", labels=[candidates[0].id]) == 1
    assert dataset.first().faceanon.status == "pending"
    anonymize(dataset, **FAST, detector="mtcnn")
    assert dataset.first().faceanon.num_faces == 2 and dataset.first().faceanon.status == "needs_review"  # the other one is open
    assert mark_missed(dataset, "missed_face_candidates") == 1
    anonymize(dataset, **FAST, detector="mtcnn")
    assert dataset.first().faceanon.num_faces == 3 and dataset.first().faceanon.status == "ok"


def test_second_look_refusals(dataset: fo.Dataset, tmp_path: Path) -> None:
    with DatasetLock(dataset), pytest.raises(HostError, match="another run"):
        find_missed_faces(dataset)
    other = make_dataset(tmp_path / "other", ["face"])
    for function in (find_missed_faces, refresh):
        with pytest.raises(HostError, match="not anonymized yet"):
            function(other)
    taken = make_dataset(tmp_path / "taken", ["face"])
    taken.add_sample_field("missed_face_candidates", fo.StringField)
    anonymize(taken, **FAST)
    with pytest.raises(HostError, match="rename_sample_field"):
        find_missed_faces(taken)


def test_untouched_files_are_not_read(dataset: fo.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stale, "file_sha256", lambda path: pytest.fail("a file was read"))
    assert refresh(dataset).to_dict() == {"samples": 3, "current": 2, "stale": 0, "not_checked": 1, "hashed": 0, "reasons": {}}
    monkeypatch.undo()
    for path in dataset.values("filepath"):
        os.utime(path, (1, 1))  # touched, and the same
    assert refresh(dataset).hashed == 2
    monkeypatch.setattr(stale, "file_sha256", lambda path: pytest.fail("a file was read"))
    assert refresh(dataset).stale == 0


def test_what_changed_is_stale_and_stays_until_it_is_done_again(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "in", ["face"] * 6 + ["empty"])
    labels = [fo.Detections(detections=[fo.Detection(label="x", bounding_box=[0.1, 0.1, 0.4, 0.4], consent=False)]) for _ in range(7)]
    dataset.set_values("people", labels, dynamic=True)
    anonymize(dataset, **FAST, faces_field="people", keep_field="consent")
    mark_reviewed(dataset)
    ids, originals, outputs = dataset.values(["id", "filepath", "anonymized_filepath"])
    picture(50).save(originals[0])
    Path(originals[1]).unlink()
    Path(outputs[2]).write_bytes(b"other")
    dataset.set_values("people.detections.consent", {ids[3]: [True]}, key_field="id")
    dataset.set_values("faces.detections.bounding_box", {ids[4]: [[0.3, 0.3, 0.2, 0.2]]}, key_field="id")
    report = refresh(dataset)
    assert (report.stale, report.current, report.not_checked) == (5, 2, 0)
    assert report.reasons == {
        "the original changed since: anonymize again": 1,
        "the original is missing or cannot be read: anonymize again": 1,
        "the anonymized picture changed since: anonymize again": 1,
        "face labels or consent changed: anonymize again": 1,
        "faces were moved, added or deleted: anonymize again": 1,
    }
    assert dataset.values("faceanon.status") == ["stale"] * 5 + ["ok"] * 2
    assert len(ready(dataset)) == 2 and mark_reviewed(dataset) == 0 and len(dataset.load_saved_view("faceanon: stale")) == 5
    assert export_safe_split(dataset, tmp_path / "x", dry_run=True).withheld == {"status is 'stale'": 5}
    assert refresh(dataset).not_checked == 5
    report = anonymize(dataset, **FAST, faces_field="people", keep_field="consent")
    assert report.images == {"ok": 6, "failed": 1} and refresh(dataset).stale == 0
