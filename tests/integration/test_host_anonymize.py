"""A dataset goes in, fields come out; whatever goes wrong, nothing is lost and nothing original passes as anonymized."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fiftyone as fo
import numpy as np
import pytest
from fiftyone import ViewField as F
from host_tools import BOX, FAST, make_dataset, picture
from PIL import Image
from pymongo.errors import AutoReconnect

from fo_faceanon.errors import FaceAnonError, HostError, InputError, OutputError
from fo_faceanon.host import runner
from fo_faceanon.host.lock import DatasetLock
from fo_faceanon.host.runner import anonymize, anonymize_steps
from fo_faceanon.host.views import failures, mark_reviewed, ready
from fo_faceanon.images import file_sha256
from fo_faceanon.records import ImageRecord, RunReport


@pytest.fixture
def processed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keys that the engine was asked to do."""
    keys: list[str] = []
    real = runner.engine.run_items

    def spy(items, options):
        def watched():
            for item in items:
                keys.append(item.key)
                yield item

        return real(watched(), options)

    monkeypatch.setattr(runner.engine, "run_items", spy)
    return keys


def statuses(dataset: fo.Dataset) -> list[str | None]:
    return dataset.values("faceanon.status")


def test_fields_and_counts(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "in", ["face", "empty", "bad", "broken"])
    report = anonymize(dataset, **FAST, output_dir=tmp_path / "out")
    assert statuses(dataset) == ["ok", "no_faces", "failed", "failed"]
    assert report.images == {"ok": 1, "no_faces": 1, "failed": 2} and report.adds_up
    assert report.faces == {"generated": 1, "failed": 1} and report.faces_found == 2
    outputs = dataset.values("anonymized_filepath")
    assert outputs[2:] == [None, None]
    assert [file_sha256(p) for p in outputs[:2]] == dataset.values("faceanon.output_sha256")[:2]
    assert [file_sha256(p) for p in dataset.values("filepath")[:2]] == dataset.values("faceanon.source_sha256")[:2]
    assert all("person" not in p for p in outputs[:2]) and not any(Path(p).is_relative_to(tmp_path / "in") for p in outputs[:2])
    anonymized, original = (np.array(Image.open(p)) for p in (outputs[0], dataset.first().filepath))
    x0, y0, x1, y1 = map(int, BOX)
    assert (anonymized[y0:y1, x0:x1] == 10).all()
    anonymized[y0:y1, x0:x1] = original[y0:y1, x0:x1]
    assert np.array_equal(anonymized, original)


def test_labels_are_relative_and_linked(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "in", ["face"])
    anonymize(dataset, **FAST)
    sample = dataset.first()
    face, points = sample.faces.detections[0], sample.face_landmarks.keypoints[0]
    assert np.allclose(face.bounding_box, [10 / 64, 8 / 56, 30 / 64, 36 / 56])
    assert len(points.points) == 68 and np.allclose(points.points[0], [10 / 64, 8 / 56])
    assert face.instance.id == points.instance.id and face.action == "generated" and face.reidentified is False
    assert sample.faceanon.num_faces == 1 and sample.faceanon.identity_similarity == pytest.approx(0.1)


def test_the_app_never_falls_back_to_the_original(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "in")
    dataset.app_config.media_fallback = True
    dataset.save()
    anonymize(dataset, **FAST)
    assert dataset.app_config.media_fallback is False
    assert dataset.app_config.media_fields == ["filepath", "anonymized_filepath"]
    shown = dataset.app_config.active_fields
    assert shown.paths == ["faces", "faceanon.status"] and not shown.exclude  # landmarks would hide the faces
    edges = np.concatenate([np.asarray(e) for e in dataset.skeletons["face_landmarks"].edges])
    assert set(edges) == set(range(68))
    assert "faceanon.status" in dataset.list_indexes()
    assert {f"faces.detections.{name}" for name in ("action", "identity_similarity", "seed")} <= set(dataset.get_field_schema(flat=True))


def test_resume_redoes_only_what_is_not_vouched_for(tmp_path: Path, processed: list[str]) -> None:
    dataset = make_dataset(tmp_path / "in", ["face", "face", "face", "empty", "bad"])
    ids = dataset.values("id")
    first = anonymize(dataset, **FAST)
    processed.clear()
    second = anonymize(dataset, **FAST)
    assert processed == [ids[4]]  # the failed one is tried again
    assert (second.images, second.faces, second.faces_found) == (first.images, first.faces, first.faces_found)
    Path(dataset[ids[0]].anonymized_filepath).unlink()
    Path(dataset[ids[1]].anonymized_filepath).write_bytes(b"altered")
    picture(9).save(dataset[ids[2]].filepath)
    processed.clear()
    anonymize(dataset, **FAST)
    assert processed == [ids[0], ids[1], ids[2], ids[4]]
    processed.clear()
    anonymize(dataset, **FAST, overwrite=True)
    assert processed == ids


def test_another_configuration_is_another_run(tmp_path: Path, processed: list[str]) -> None:
    dataset = make_dataset(tmp_path / "in", ["face"])
    one = anonymize(dataset, **FAST)
    old = Path(dataset.first().anonymized_filepath)
    processed.clear()
    two = anonymize(dataset, **FAST, seed=1)
    assert processed and one.run_key != two.run_key
    assert not old.exists() and Path(dataset.values("anonymized_filepath")[0]).exists()
    assert set(dataset.list_runs()) == {one.run_key, two.run_key}


def test_a_sample_that_fails_later_loses_its_old_picture(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "in", ["face"])
    anonymize(dataset, **FAST)
    old = Path(dataset.first().anonymized_filepath)
    picture(0, "bad").save(dataset.first().filepath)
    anonymize(dataset, **FAST)
    dataset.reload()
    assert statuses(dataset) == ["failed"] and dataset.values("anonymized_filepath") == [None] and not old.exists()
    assert dataset.values("faceanon.output_sha256") == [None] and len(failures(dataset)) == 1


def test_runs_and_reasons_hold_no_path_and_no_salt(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "in", ["face", "broken"])
    report = anonymize(dataset, **FAST, salt="pepper-and-salt")
    info = dataset.get_run_info(report.run_key).serialize()
    stored = dataset.load_run_results(report.run_key).report
    assert stored["images"] == {"ok": 1, "failed": 1} and stored["adds_up"]
    text = f"{info}{stored}{dataset.values('faceanon.reason')}"
    assert str(tmp_path) not in text and "person-" not in text and "pepper" not in text


def test_own_faces_in_the_oriented_frame_and_consent(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "in", ["face"], suffix=".jpg")
    sample = dataset.first()
    exif = Image.Exif()
    exif[0x0112] = 6  # turned: 64 x 56 is shown as 56 x 64
    picture(0).save(sample.filepath, exif=exif, quality=95)
    kept = fo.Detection(label="x", bounding_box=[0.5, 0.5, 0.25, 0.25], consent=True)
    doubtful = fo.Detection(label="x", bounding_box=[0.0, 0.5, 0.25, 0.25], consent="no")
    sample["people"] = fo.Detections(detections=[kept, doubtful])
    sample.save()
    del sample
    report = anonymize(dataset, **FAST, faces_field="people", keep_field="consent")
    assert report.faces == {"kept": 1, "generated": 1}
    by_id = {d.id: d for d in dataset.first().faces.detections}
    assert by_id[kept.id].action == "kept" and by_id[doubtful.id].action == "generated"
    assert np.allclose(by_id[doubtful.id].bounding_box, doubtful.bounding_box)
    anonymized = np.asarray(Image.open(dataset.first().anonymized_filepath))
    assert anonymized.shape == (64, 56, 3)
    assert np.abs(anonymized[34:46, 2:12].astype(int) - 10).max() < 12


def test_withdrawn_consent_and_moved_boxes_are_done_again(tmp_path: Path, processed: list[str]) -> None:
    dataset = make_dataset(tmp_path / "in", ["face"])
    label = fo.Detection(label="x", bounding_box=[0.2, 0.2, 0.5, 0.5])
    dataset.set_values("people", [fo.Detections(detections=[label])])
    settings = {**FAST, "faces_field": "people"}
    assert anonymize(dataset, **settings, keep_field=[label.id]).faces == {"kept": 1}
    assert anonymize(dataset, **settings, keep_field=[]).faces == {"generated": 1}
    dataset.set_values("people.detections.bounding_box", [[[0.1, 0.1, 0.5, 0.5]]])
    processed.clear()
    anonymize(dataset, **settings)
    assert len(processed) == 1


def test_a_view_cannot_hide_a_face(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "in", ["face", "face"])
    pair = [fo.Detection(label=name, bounding_box=[x, 0.2, 0.2, 0.5]) for name, x in (("a", 0.1), ("b", 0.6))]
    dataset.set_values("people", [fo.Detections(detections=pair)] * 2)
    view = dataset.limit(1).filter_labels("people", F("label") == "a").select_fields("people")
    assert anonymize(view, **FAST, faces_field="people").faces == {"generated": 2}
    assert statuses(dataset) == ["ok", None]


def test_corrected_faces_of_an_earlier_run(tmp_path: Path, processed: list[str]) -> None:
    """The review: a person adds a missed face to our own field, marks another as consenting, and runs again."""
    dataset = make_dataset(tmp_path / "in", ["face"])
    anonymize(dataset, **FAST)
    sample = dataset.first()
    sample.faces.detections[0]["consent"] = True
    sample.faces.detections.append(fo.Detection(label="face", bounding_box=[0.7, 0.2, 0.2, 0.5]))
    ids = [d.id for d in sample.faces.detections]
    sample.save()
    del sample
    for _ in range(2):
        assert anonymize(dataset, **FAST, faces_field="faces", keep_field="consent").faces == {"kept": 1, "generated": 1}
        assert [d.id for d in dataset.first().faces.detections] == ids
    assert len(processed) == 2  # the first run and the corrected one; the last found nothing to do


@pytest.mark.parametrize("box", [[0.1, 0.1, 0.0, 0.2], [0.1, float("nan"), 0.2, 0.2]])
def test_an_unusable_label_fails_its_sample(tmp_path: Path, box: list[float]) -> None:
    dataset = make_dataset(tmp_path / "in", ["face", "face"])
    good = [0.1, 0.1, 0.4, 0.4]
    dataset.set_values("people", [fo.Detections(detections=[fo.Detection(label="x", bounding_box=b)]) for b in (box, good)])
    anonymize(dataset, **FAST, faces_field="people")
    assert statuses(dataset) == ["failed", "ok"]


def test_boxes_in_the_wrong_frame_are_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = make_dataset(tmp_path / "in", ["face"])
    dataset.set_values("people", [fo.Detections(detections=[fo.Detection(label="x", bounding_box=[0.1, 0.1, 0.4, 0.4])])])
    monkeypatch.setattr("fo_faceanon.host.inputs.oriented_size", lambda path: (56, 64))
    report = anonymize(dataset, **FAST, faces_field="people", output_dir=tmp_path / "out")
    assert statuses(dataset) == ["failed"] and dataset.values("anonymized_filepath") == [None] and report.adds_up
    assert not [p for p in (tmp_path / "out").rglob("*") if p.is_file()]


def test_engine_that_forgets_or_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = make_dataset(tmp_path / "in", ["face", "face"])
    ids = dataset.values("id")

    def liar(items, options):
        list(items)
        yield ImageRecord(ids[0], "ok", "mask", output=str(tmp_path / "nowhere.png"), output_sha256="0", source_sha256="0")

    monkeypatch.setattr(runner.engine, "run_items", liar)
    report = anonymize(dataset, **FAST)
    assert report.images == {"failed": 2} and dataset.values("anonymized_filepath") == [None, None]


def test_stopping_half_way_keeps_what_is_finished(tmp_path: Path, processed: list[str]) -> None:
    dataset = make_dataset(tmp_path / "in", ["face"] * 6)
    settings = {name: value for name, value in FAST.items() if name != "progress"}
    steps = anonymize_steps(dataset, **settings)
    assert [next(steps).done for _ in range(3)] == [1, 2, 3]
    steps.close()
    assert statuses(dataset).count("ok") == 3
    processed.clear()
    report = anonymize(dataset, **FAST)
    assert report.images == {"ok": 6} and len(processed) == 3


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (OutputError("the disk is full"), OutputError, "disk is full"),
        (AutoReconnect("gone"), HostError, "database cannot be reached: gone"),
    ],
)
def test_a_run_that_breaks_off_keeps_what_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception, kind: type[Exception], words: str
) -> None:
    dataset = make_dataset(tmp_path / "in", ["face"] * 6)
    real = runner.engine.run_items

    def breaking(items, options):
        for number, record in enumerate(real(items, options)):
            if number == 2:
                raise fault
            yield record

    with monkeypatch.context() as patch:
        patch.setattr(runner.engine, "run_items", breaking)
        with pytest.raises(kind, match=words):
            anonymize(dataset, **FAST)
    assert statuses(dataset).count("ok") == 2 and len(ready(dataset)) == 2
    assert anonymize(dataset, **FAST).images == {"ok": 6}


def test_worker_processes(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "in", ["face", "broken", "face", "empty"])
    report = anonymize(dataset, **{**FAST, "workers": 2})
    assert report.images == {"ok": 2, "failed": 1, "no_faces": 1} and report.adds_up


def test_two_runs_at_once(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "in", ["face"])
    with DatasetLock(dataset), pytest.raises(HostError, match="another run is anonymizing"):
        anonymize(dataset, **FAST)
    assert statuses(dataset) == [None] if dataset.has_field("faceanon") else True
    assert anonymize(dataset, **FAST).images == {"ok": 1}


@pytest.mark.parametrize("change", [{"pid": 2**22 + 1}, {"started": 1.0, "pid": 1}, {"host": "elsewhere", "alive": 1.0}])
def test_a_dead_owner_loses_the_lock(tmp_path: Path, change: dict[str, Any]) -> None:
    dataset = make_dataset(tmp_path / "in", ["face"])
    dead = DatasetLock(dataset)
    dead._owner.update(change)
    dead._stamp = lambda: {**dead._owner, "alive": change.get("alive", 2e9)}  # type: ignore[method-assign]
    dead.__enter__()
    assert anonymize(dataset, **FAST).images == {"ok": 1}
    with pytest.raises(HostError, match="took over"):
        dead.refresh()


def test_a_live_owner_elsewhere_keeps_the_lock(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "in", ["face"])
    other = DatasetLock(dataset)
    other._owner["host"] = "elsewhere"
    with other, pytest.raises(HostError, match="elsewhere"):
        anonymize(dataset, **FAST)


def test_refusals(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "in", ["face"])
    before = dataset.get_field_schema()
    cases: list[tuple[type[FaceAnonError], str, dict[str, Any]]] = [
        (HostError, "inside the other", {"output_dir": tmp_path}),
        (HostError, "inside the other", {"output_dir": tmp_path / "in"}),
        (HostError, "inside the other", {"output_dir": tmp_path / "in" / "anonymized"}),
        (HostError, "Detections field", {"faces_field": "nothing"}),
        (HostError, "faces_field", {"keep_field": "consent"}),
        (InputError, "no method", {"method": "magic"}),
    ]
    for kind, words, change in cases:
        with pytest.raises(kind, match=words):
            anonymize(dataset, **{**FAST, **change})
    assert dataset.get_field_schema() == before
    with pytest.raises(HostError, match="no dataset 'missing'"):
        anonymize("missing", **FAST)
    with pytest.raises(HostError, match="expected a FiftyOne dataset"):
        anonymize(42, **FAST)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["faceanon", "anonymized_filepath", "faces", "face_landmarks"])
def test_a_field_of_the_user_is_not_overwritten(tmp_path: Path, name: str) -> None:
    dataset = make_dataset(tmp_path / "in", ["face"])
    dataset.add_sample_field(name, fo.StringField)
    with pytest.raises(HostError, match="rename_sample_field"):
        anonymize(dataset, **FAST)
    assert sum(dataset.has_field(n) for n in ("faceanon", "anonymized_filepath", "faces", "face_landmarks")) == 1


def test_patches_and_videos_are_refused(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "in", ["face"])
    dataset.set_values("people", [fo.Detections(detections=[fo.Detection(label="x", bounding_box=[0.1, 0.1, 0.4, 0.4])])])
    with pytest.raises(HostError, match="patches"):
        anonymize(dataset.to_patches("people"), **FAST)
    video = fo.Dataset()
    video.add_sample(fo.Sample(filepath=str(tmp_path / "a.mp4")))
    with pytest.raises(HostError, match="video"):
        anonymize(video, **FAST)


def test_failures_are_the_complement_of_ready(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "in", ["face", "empty", "bad", "broken", "face"])
    assert len(failures(dataset)) == 5  # never processed: nothing is ready
    anonymize(dataset.limit(4), **FAST)
    ids = dataset.values("id")
    assert ready(dataset).values("id") == ids[:1] and failures(dataset).values("id") == ids[1:]
    assert mark_reviewed(dataset) == 1  # only the one without faces waits for a look
    assert ready(dataset).values("id") == ids[:2]
    anonymize(dataset.limit(4), **FAST)
    assert ready(dataset).values("id") == ids[:2]  # what was not done again stays reviewed
    anonymize(dataset.limit(4), **FAST, overwrite=True)
    assert ready(dataset).values("id") == ids[:1]  # a new picture needs a new look
    dataset.set_values("anonymized_filepath", {ids[0]: None}, key_field="id")
    assert len(ready(dataset)) == 0


def test_saved_views(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "in", ["face", "empty", "bad"])
    anonymize(dataset, **FAST)
    counts = {name: len(dataset.load_saved_view(name)) for name in dataset.list_saved_views()}
    assert counts == {
        "faceanon: re-identifiable": 0,
        "faceanon: fallback used": 1,
        "faceanon: no face found": 1,
        "faceanon: failed": 1,
        "faceanon: missed face": 0,
        "faceanon: stale": 0,
        "faceanon: pending": 0,
        "faceanon: needs review": 0,
        "faceanon: ready to export": 1,
    }


def test_progress_and_report_of_an_empty_dataset(tmp_path: Path) -> None:
    seen: list[float] = []
    dataset = make_dataset(tmp_path / "in", ["face"] * 3)
    anonymize(dataset, **{**FAST, "progress": lambda bar: seen.append(bar.progress)})
    assert seen and seen[-1] == 1.0
    assert anonymize(fo.Dataset(), **FAST).images == {}
    assert isinstance(anonymize(dataset.limit(0), **FAST), RunReport)
