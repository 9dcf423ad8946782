"""Redo, missed faces and undo: only what was asked for changes, and nothing is ever half done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fiftyone as fo
import numpy as np
import pytest
from host_tools import BOX, FAST, make_dataset, picture
from PIL import Image
from pymongo.errors import AutoReconnect

from fo_faceanon.errors import ExportError, HostError, InputError
from fo_faceanon.host.export import export_safe_split
from fo_faceanon.host.lock import DatasetLock
from fo_faceanon.host.redo import reanonymize
from fo_faceanon.host.review import mark_missed, undo
from fo_faceanon.host.runner import anonymize
from fo_faceanon.host.views import mark_reviewed, ready
from fo_faceanon.host.writer import FieldWriter
from fo_faceanon.images import file_sha256

HOW: dict[str, Any] = {"factory": "host_tools:FillAnonymizer", "workers": 1, "progress": False}
LEFT, RIGHT = [0.05, 0.2, 0.1, 0.4], [0.8, 0.2, 0.1, 0.4]


def outputs(dataset: fo.Dataset) -> list[np.ndarray]:
    return [np.asarray(Image.open(path)) for path in dataset.values("anonymized_filepath")]


@pytest.fixture
def pair(tmp_path: Path) -> fo.Dataset:
    """One wide picture with two faces of the user's, far from each other."""
    dataset = make_dataset(tmp_path / "in", ["face"])
    picture(3, size=(640, 100)).save(dataset.first().filepath)
    people = [fo.Detection(label="x", bounding_box=box, person=name) for box, name in ((LEFT, "a"), (RIGHT, "b"))]
    dataset.set_values("people", [fo.Detections(detections=people)], dynamic=True)
    anonymize(dataset, **FAST, faces_field="people")
    return dataset


def test_another_seed_for_the_chosen_samples_only(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "in", ["face", "face"])
    key = anonymize(dataset, **FAST).run_key
    old, kept = dataset.values("anonymized_filepath")
    before = outputs(dataset)
    report = reanonymize(dataset.limit(1), **HOW)
    assert report.images == {"ok": 1} and report.faces == {"generated": 1} and report.adds_up
    after = outputs(dataset)
    x0, y0 = map(int, BOX[:2])
    assert after[0][y0, x0, 0] == 11 and (before[1] == after[1]).all() and dataset.values("anonymized_filepath")[1] == kept
    assert not Path(old).exists() and dataset.values("faceanon.run_key") == [key, key] and len(ready(dataset)) == 2
    assert reanonymize(dataset.limit(1), seed=40, **HOW).images == {"ok": 1}
    assert outputs(dataset)[0][y0, x0, 0] == 50
    again = anonymize(dataset, **FAST)  # the run vouches for what was redone, and does not undo it
    assert again.images == {"ok": 2} and outputs(dataset)[0][y0, x0, 0] == 50
    assert dataset.get_run_info(report.run_key).config.seed is None and "faceanon_redo_" in report.run_key
    assert [file_sha256(p) for p in dataset.values("anonymized_filepath")] == dataset.values("faceanon.output_sha256")


def test_one_face_of_two(pair: fo.Dataset) -> None:
    ids = [face.id for face in pair.first().faces.detections]
    before = outputs(pair)[0]
    report = reanonymize(pair, faces=[ids[1]], seed=90, **HOW)
    assert report.images == {"ok": 1} and report.faces == {"generated": 2}
    after = outputs(pair)[0]
    assert (after[:, :400] == before[:, :400]).all() and after[40, 540, 0] == 100
    assert [face.id for face in pair.first().faces.detections] == ids
    report = reanonymize(pair, faces=[ids[0]], fill=True, **HOW)  # the other one keeps the recipe that it got last
    last = outputs(pair)[0]
    assert (last[:, 200:] == after[:, 200:]).all()
    recipes = [(f["asked_method"], f["asked_seed"], f["method"]) for f in pair.first().faces.detections]
    assert recipes == [("mask", None, "mask"), (None, 90, "mask")]
    assert len(ready(pair)) == 1
    reanonymize(pair, faces=[ids[0]], **HOW)  # and a filled one can get a face again
    assert outputs(pair)[0][40, 60, 0] == 11 and pair.first().faces.detections[0]["asked_method"] is None


def test_a_sample_stays_as_it_was_where_the_others_would_change(pair: fo.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [face.id for face in pair.first().faces.detections]
    before, path = outputs(pair)[0], pair.first().anonymized_filepath
    status = pair.first().faceanon.to_dict()
    monkeypatch.setattr("host_tools.FillAnonymizer.__init__", lambda self, *_, **__: setattr(self, "_grey", 77))  # another version
    report = reanonymize(pair, faces=[ids[1]], **HOW)
    assert report.images == {"unchanged": 1} and "redo the whole sample" in next(iter(report.reasons)) and report.adds_up
    assert (outputs(pair)[0] == before).all() and pair.first().anonymized_filepath == path and pair.first().faceanon.to_dict() == status
    assert len([p for p in Path(path).parent.parent.rglob("*") if p.is_file()]) == 1
    assert reanonymize(pair, **HOW).images == {"ok": 1}


def test_a_failing_redo_leaves_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = make_dataset(tmp_path / "in", ["face", "face", "face"])
    anonymize(dataset, **FAST)
    paths, documents = dataset.values("anonymized_filepath"), [d.to_dict() for d in dataset.values("faceanon")]

    class Broken:
        def __init__(self, *_: Any, **__: Any) -> None: ...

        def __call__(self, *_: Any) -> list[Any]:
            raise ValueError("no good")

    monkeypatch.setattr("host_tools.FillAnonymizer", Broken)
    report = reanonymize(dataset, **HOW)
    assert report.images == {"unchanged": 3} and report.reasons == {"cannot be anonymized: ValueError: no good": 3}
    assert dataset.values("anonymized_filepath") == paths and [d.to_dict() for d in dataset.values("faceanon")] == documents
    monkeypatch.undo()
    picture(9).save(dataset.first().filepath)
    Path(dataset.skip(1).first().filepath).unlink()
    report = reanonymize(dataset, **HOW)
    assert report.images == {"unchanged": 2, "ok": 1} and {reason.split(":")[0] for reason in report.reasons} >= {"stale"}


def test_a_redo_needs_a_new_look_and_refuses_nonsense(tmp_path: Path, pair: fo.Dataset) -> None:
    ids = [face.id for face in pair.first().faces.detections]
    cases: list[tuple[str, dict[str, Any]]] = [
        ("no faces of these samples", {"faces": [ids[0], "0" * 24]}),
        ("overwrite=True, shape=", {"shape": 0.3}),
    ]
    for words, change in cases:
        with pytest.raises(HostError, match=words):
            reanonymize(pair, **HOW, **change)
    with pytest.raises(InputError, match="no method"):
        reanonymize(pair, method="magic", **HOW)
    with DatasetLock(pair), pytest.raises(HostError, match="another run"):
        reanonymize(pair, **HOW)
    with pytest.raises(HostError, match="not anonymized yet"):
        reanonymize(make_dataset(tmp_path / "other", ["face"]), **HOW)
    anonymize(pair, **FAST, faces_field="people", salt="pepper")
    for salt in (None, "wrong"):
        with pytest.raises(HostError, match="secret salt"):
            reanonymize(pair, salt=salt, **HOW)
    assert reanonymize(pair, salt="pepper", **HOW).images == {"ok": 1}


def test_consent_stays_and_withdrawn_consent_asks_for_a_run(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "in", ["face"])
    labels = [fo.Detection(label="x", bounding_box=box, consent=box == LEFT) for box in (LEFT, RIGHT)]
    dataset.set_values("people", [fo.Detections(detections=labels)], dynamic=True)
    anonymize(dataset, **FAST, faces_field="people", keep_field="consent")
    assert reanonymize(dataset, **HOW).faces == {"kept": 1, "generated": 1}
    with pytest.raises(HostError, match="consent"):
        reanonymize(dataset, faces=[labels[0].id], **HOW)
    dataset.set_values("people.detections.consent", [[False, False]])
    report = reanonymize(dataset, **HOW)
    assert report.images == {"unchanged": 1} and "anonymize again" in next(iter(report.reasons))


def test_a_marked_face_is_anonymized_by_the_next_run_and_every_later_one(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "in", ["face", "face", "empty"])
    anonymize(dataset, **FAST)
    first, _, empty = dataset.values("id")
    missed = [0.75, 0.1, 0.2, 0.3]
    assert mark_missed(dataset, {first: [missed], empty: [missed]}) == 2
    assert mark_missed(dataset, {first: [missed]}) == 0
    assert dataset.values("faceanon.status") == ["pending", "ok", "pending"]
    assert mark_reviewed(dataset) == 0 and len(ready(dataset)) == 1
    dry = export_safe_split(dataset, tmp_path / "x", dry_run=True)
    assert dry.exported == 1 and dry.withheld == {"status is 'pending'": 2}
    for settings in (FAST, FAST, {**FAST, "seed": 5}):
        report = anonymize(dataset, **settings)
        assert report.images == {"ok": 3} and report.faces == {"generated": 4}
        shown = outputs(dataset)[2]
        assert (
            shown[10, 52, 0] == 10 + settings.get("seed", 0) and (shown[40:] == np.asarray(Image.open(dataset.last().filepath))[40:]).all()
        )
        marked = [face for face in dataset.first().faces.detections if face.has_field("missed")]
        assert len(marked) == 1 and np.allclose(marked[0].bounding_box, missed)
    assert reanonymize(dataset, faces=[dataset.last().faces.detections[0].id], fill=True, **HOW).images == {"ok": 1}


def test_a_box_drawn_in_the_app_counts_as_missed(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "in", ["face"])
    anonymize(dataset, **FAST)
    sample = dataset.first()
    sample.faces.detections.append(fo.Detection(label="face", bounding_box=[0.75, 0.1, 0.2, 0.3]))
    sample.save()
    del sample
    with pytest.raises(ExportError, match="label was added"):
        export_safe_split(dataset, tmp_path / "x")
    assert anonymize(dataset, **FAST).faces == {"generated": 2}
    assert anonymize(dataset, **FAST, faces_field="faces").faces == {"generated": 2}


def test_a_marked_face_survives_a_picture_that_cannot_be_done(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "in", ["face"])
    anonymize(dataset, **FAST)
    sample_id, path = dataset.first().id, Path(dataset.first().filepath)
    mark_missed(dataset, {sample_id: [[0.75, 0.1, 0.2, 0.3]]})
    good = path.read_bytes()
    path.write_bytes(b"broken")
    assert anonymize(dataset, **FAST).images == {"failed": 1}
    path.write_bytes(good)
    assert anonymize(dataset, **FAST).faces == {"generated": 2}


def test_moved_boxes_of_our_own_field_are_noticed_by_the_export(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "in", ["face", "face"])
    anonymize(dataset, **FAST)
    boxes = dataset.values("faces.detections.bounding_box")
    boxes[0][0][0] += 0.01
    dataset.set_values("faces.detections.bounding_box", boxes)
    assert export_safe_split(dataset, tmp_path / "x", dry_run=True).withheld == {"faces were moved, added or deleted: anonymize again": 1}


def test_missed_faces_from_a_field_and_bad_boxes(pair: fo.Dataset) -> None:
    extra = [fo.Detection(label="x", bounding_box=[x, 0.2, 0.1, 0.3]) for x in (0.4, 0.6)]
    pair.set_values("found_later", [fo.Detections(detections=extra)])
    assert mark_missed(pair, "found_later", labels=[extra[1].id]) == 1
    assert mark_missed(pair, "found_later") == 1
    with pytest.raises(HostError, match="Detections field other than"):
        mark_missed(pair, "faces")
    for bad in ([0.1, 0.1, 0.0, 0.2], [0.1, float("nan"), 0.2, 0.2], [1.2, 0, 0.1, 0.1], [10, 10, 40, 40], [0.1]):
        with pytest.raises(InputError, match="a box must"):
            mark_missed(pair, {pair.first().id: [bad]})
    with pytest.raises(HostError, match="not among"):
        mark_missed(pair.limit(0), {pair.first().id: [LEFT]})
    assert anonymize(pair, **FAST, faces_field="people").faces == {"generated": 4}


def test_undo_removes_our_files_and_values_and_nothing_else(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "in", ["face", "face", "face", "bad", "face"])
    originals = {p: p.read_bytes() for p in (tmp_path / "in").iterdir()}
    anonymize(dataset.limit(4), **FAST, output_dir=tmp_path / "out")
    first, altered, third = map(Path, dataset.values("anonymized_filepath")[:3])
    altered.write_bytes(b"somebody worked on this one")
    dataset.set_values("anonymized_filepath", {dataset.values("id")[2]: dataset.values("filepath")[2]}, key_field="id")  # a wrong path
    mark_missed(dataset, {dataset.first().id: [[0.75, 0.1, 0.2, 0.3]]})
    report = undo(dataset)
    assert report.to_dict() == {
        "samples": 5, "undone": 4, "untouched": 1, "files_removed": 1, "files_left": 2, "marked_faces_kept": 1
    }  # fmt: skip
    assert not first.exists() and altered.exists() and third.exists()
    assert {p: p.read_bytes() for p in (tmp_path / "in").iterdir()} == originals
    assert dataset.values("faceanon.status") == [None] * 5 and dataset.values("anonymized_filepath") == [None] * 5
    assert dataset.values("face_landmarks") == [None] * 5 and len(ready(dataset)) == 0
    assert anonymize(dataset, **FAST, output_dir=tmp_path / "out").faces == {"generated": 5, "failed": 1}  # the marked one is not forgotten
    with pytest.raises(HostError, match="nothing to undo"):
        undo(make_dataset(tmp_path / "other", ["face"]))
    with DatasetLock(dataset), pytest.raises(HostError, match="another run"):
        undo(dataset)


@pytest.mark.parametrize(("suffix", "workers", "rounding"), [(".jpg", 2, 0.0), (".webp", 1, 1.0)])
def test_redo_in_lossy_formats_and_in_worker_processes(tmp_path: Path, suffix: str, workers: int, rounding: float) -> None:
    dataset = make_dataset(tmp_path / "in", ["face"], suffix=suffix)
    picture(3, size=(640, 100)).save(dataset.first().filepath, quality=80)
    boxes = [fo.Detection(label="x", bounding_box=box) for box in (LEFT, RIGHT)]
    dataset.set_values("people", [fo.Detections(detections=boxes)])
    anonymize(dataset, **FAST, faces_field="people")
    before = outputs(dataset)[0].astype(int)
    report = reanonymize(dataset, faces=[boxes[1].id], seed=120, **{**HOW, "workers": workers})
    after = outputs(dataset)[0].astype(int)
    assert report.images == {"ok": 1} and np.abs(after[:, :400] - before[:, :400]).mean() <= rounding
    assert abs(after[40, 540, 0] - 130) < 8


def test_a_database_that_goes_away_leaves_the_old_picture_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = make_dataset(tmp_path / "in", ["face"])
    anonymize(dataset, **FAST)
    before, document = dataset.first().anonymized_filepath, dataset.first().faceanon.to_dict()

    def gone(self: FieldWriter, name: str, values: Any) -> None:
        raise AutoReconnect("gone")

    with monkeypatch.context() as patch:
        patch.setattr(FieldWriter, "_set", gone)
        with pytest.raises(HostError, match="database cannot be reached"):
            reanonymize(dataset, **HOW)
    assert dataset.first().anonymized_filepath == before and dataset.first().faceanon.to_dict() == document
    assert export_safe_split(dataset, tmp_path / "x", dry_run=True).exported == 1
    assert reanonymize(dataset, **HOW).images == {"ok": 1} and not Path(before).exists()


def test_faces_may_be_marked_before_the_first_run_and_after_an_undo(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "in", ["empty", "face"])
    first, second = dataset.values("id")
    assert mark_missed(dataset, {first: [LEFT]}) == 1
    assert anonymize(dataset, **FAST).faces == {"generated": 2}
    undo(dataset)
    assert mark_missed(dataset, {second: [RIGHT]}) == 1 and dataset.values("faceanon.status")[1] == "pending"
    assert anonymize(dataset, **FAST).faces == {"generated": 3}
    assert undo(dataset).marked_faces_kept == 2 and reanonymize(dataset, **HOW).images == {"unchanged": 2}
