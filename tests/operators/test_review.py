"""Reviewing in the App: forms that say what they would do, and do no more."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import fiftyone as fo
import fiftyone.operators as foo
import numpy as np
import pytest
from fiftyone.operators.delegated import DelegatedOperationService
from host_tools import FAST, make_dataset
from PIL import Image
from plugin_tools import errors, form, run, shown, uri, words

import fo_faceanon
from fo_faceanon import engine
from fo_faceanon.host import missed, plugin
from fo_faceanon.host.lock import DatasetLock
from fo_faceanon.host.runner import anonymize
from fo_faceanon.host.views import ready

#: Those that work on what was anonymized before; the first three need a selection.
AFTERWARDS = ("review_faces", "reanonymize", "undo", "find_missed_faces", "check_stale", "export_safe_split")


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every run uses the fill of the tests, in this process."""
    real = engine.run_items
    changes = {"factory": "host_tools:FillAnonymizer", "workers": 1, "device": "cpu"}
    monkeypatch.setattr(engine, "run_items", lambda items, options: real(items, dataclasses.replace(options, **changes)))


@pytest.fixture
def dataset(tmp_path: Path) -> fo.Dataset:
    dataset = make_dataset(tmp_path / "in", ["face", "face", "empty", "bad"])
    anonymize(dataset, **FAST)
    return dataset


def select(dataset: fo.Dataset, *positions: int) -> dict[str, list[str]]:
    ids = dataset.values("id")
    return {"selected": [ids[i] for i in positions]}


def grey(dataset: fo.Dataset, position: int) -> int:
    return int(np.asarray(Image.open(dataset.values("anonymized_filepath")[position]))[20, 20, 0])


def test_accept_and_withdraw(dataset: fo.Dataset) -> None:
    chosen = select(dataset, 2, 3)
    assert "Of 2 selected samples, 1 can be accepted" in words(form(dataset, "review_faces", **chosen))
    messages = run(dataset, "review_faces", {"action": "accept"}, **chosen)
    assert [m.body.operator_uri.rsplit("/", 1)[-1] for m in messages] == ["set_progress", "set_progress", "reload_dataset", "show_output"]
    assert shown(messages)["done"] == "1 sample accepted" and len(ready(dataset)) == 3
    run(dataset, "review_faces", {"action": "withdraw"}, current_sample=chosen["selected"][0])  # the one that is open
    assert len(ready(dataset)) == 2
    foo.get_operator(uri("review_faces"))(dataset)
    assert len(ready(dataset)) == 3


def test_redo_and_fill_of_the_selection_only(dataset: fo.Dataset) -> None:
    chosen = select(dataset, 0)
    assert "Makes 1 face in 1 sample again" in words(form(dataset, "review_faces", {"action": "redo"}, **chosen))
    run(dataset, "review_faces", {"action": "redo"}, **chosen)
    assert (grey(dataset, 0), grey(dataset, 1)) == (11, 10)
    foo.get_operator(uri("review_faces"))(dataset.limit(1), action="fill")
    assert dataset.first().faces.detections[0].method == "mask" and dataset.first().faces.detections[0]["asked_method"] == "mask"
    label = {"field": "faces", "sample_id": dataset.values("id")[1], "label_id": dataset.values("faces.detections.id")[1][0]}
    assert "1 face in 1 sample" in words(form(dataset, "review_faces", {"action": "redo"}, **chosen, selected_labels=[label]))
    run(dataset, "review_faces", {"action": "redo"}, **chosen, selected_labels=[label])
    assert grey(dataset, 1) == 11


def test_reanonymize_in_every_way(dataset: fo.Dataset) -> None:
    chosen = select(dataset, 0)
    assert "Makes all faces of 1 sample again" in words(form(dataset, "reanonymize", **chosen))
    assert "seed" in form(dataset, "reanonymize", {"way": "seed"}, **chosen)
    assert "blur" in form(dataset, "reanonymize", {"way": "method"}, **chosen)["method"].type.values
    for params, expected in (({"way": "next"}, 11), ({"way": "seed", "seed": 60}, 70), ({"way": "method", "method": "blur"}, 70)):
        run(dataset, "reanonymize", {**params, "device": "cpu"}, **chosen)
        assert grey(dataset, 0) == expected
    assert dataset.first().faces.detections[0].method == "blur"
    again = foo.get_operator(uri("reanonymize"))
    again(dataset.limit(2), faces=dataset.values("faces.detections.id")[1], seed=30)
    assert (grey(dataset, 0), grey(dataset, 1)) == (70, 40)
    with pytest.raises(Exception, match="no faces of these samples"):
        again(dataset.limit(1), faces=dataset.values("faces.detections.id")[1])


def test_missed_faces_from_the_app(dataset: fo.Dataset) -> None:
    chosen = select(dataset, 0, 1)
    assert "Draw a box" in errors(form(dataset, "review_faces", {"action": "missed"}, **chosen))[0]
    boxes = [fo.Detections(detections=[fo.Detection(label="x", bounding_box=[0.75, 0.1, 0.2, 0.3])]) for _ in range(4)]
    dataset.set_values("drawn", boxes)
    params = {"action": "missed", "field": "drawn"}
    assert "Marks 2 faces" in words(form(dataset, "review_faces", params, **chosen))
    label = {"field": "drawn", "sample_id": dataset.first().id, "label_id": boxes[0].detections[0].id}
    assert "Marks 1 face " in words(form(dataset, "review_faces", params, **chosen, selected_labels=[label]))
    run(dataset, "review_faces", params, **chosen, selected_labels=[label])
    assert dataset.values("faceanon.status") == ["pending", "ok", "no_faces", "failed"]
    foo.get_operator(uri("review_faces"))(dataset[1:2], action="missed", field="drawn")
    assert dataset.values("faceanon.status")[1] == "pending"
    foo.get_operator(uri("anonymize_faces"))(dataset, method="mask")
    assert dataset.values("faceanon.num_faces") == [2, 2, 0, 1]


def test_undo_asks_first(dataset: fo.Dataset) -> None:
    chosen = select(dataset, 0, 3)
    files = dataset.values("anonymized_filepath")
    opened = form(dataset, "undo", **chosen)
    assert "Deletes 1 anonymized picture of 2 samples" in words(opened) and errors(opened) == ["Tick this to go on"]
    with pytest.raises(Exception, match=r"Tick this|nothing was undone"):
        foo.get_operator(uri("undo"))(dataset)
    assert all(Path(path).exists() for path in files[:3])
    messages = run(dataset, "undo", {"confirm": True}, **chosen)
    assert "2 of 2 samples as before" in shown(messages)["done"] and not Path(files[0]).exists()
    assert dataset.values("faceanon.status") == [None, "ok", "no_faces", None]
    foo.get_operator(uri("undo"))(dataset, confirm=True)
    assert dataset.values("anonymized_filepath") == [None] * 4


def test_second_look_and_what_changed(dataset: fo.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(missed, "create_detector", lambda *_: lambda images: [[] for _ in images])
    assert "Finding nothing proves nothing" in words(form(dataset, "find_missed_faces"))
    values = shown(run(dataset, "find_missed_faces", {"device": "cpu"}))
    assert "| looked | 3 |" in values["counts"]
    Path(dataset.first().filepath).unlink()
    values = shown(run(dataset, "check_stale", {}))
    assert values["done"] == "1 of 4 samples stale now, 2 as they were" and "Anonymize faces" in values["next"]
    foo.get_operator(uri("check_stale"))(dataset)
    assert dataset.values("faceanon.status") == ["stale", "ok", "no_faces", "failed"]


def test_nothing_selected_or_nothing_there_is_said_in_the_form(dataset: fo.Dataset, tmp_path: Path) -> None:
    for name in AFTERWARDS[:3]:
        assert "elect" in errors(form(dataset, name))[0]
    fresh = make_dataset(tmp_path / "fresh", ["face"])
    for name in AFTERWARDS:
        assert "not anonymized yet" in errors(form(fresh, name, **select(fresh, 0)))[0]
    empty = fo.Dataset()
    for name in ("anonymize_faces", "detect_faces", "import_consent", *AFTERWARDS[3:]):
        assert "dataset is empty" in errors(form(empty, name))[0]
        gone = [{"_cls": "fiftyone.core.stages.Limit", "kwargs": [["limit", 0]]}]
        assert "no sample to work on" in errors(form(dataset, name, view=gone))[0]


def test_another_run_holds_the_dataset(dataset: fo.Dataset) -> None:
    with DatasetLock(dataset):
        for name in ("anonymize_faces", "import_consent", *AFTERWARDS[:5]):
            assert "Another run is working on this dataset (process" in errors(form(dataset, name, **select(dataset, 0)))[0]
        with pytest.raises(Exception, match="nother run"):
            foo.get_operator(uri("check_stale"))(dataset)
    assert errors(form(dataset, "check_stale")) == []


def test_pictures_that_are_not_here(tmp_path: Path) -> None:
    for path, said in (("s3://bucket/a.jpg", "in the cloud"), (str(tmp_path / "gone.jpg"), "is on this machine")):
        dataset = fo.Dataset()
        dataset.add_sample(fo.Sample(filepath=path, media_type="image"))
        assert said in errors(form(dataset, "anonymize_faces"))[0]


def test_videos_are_refused_in_words(tmp_path: Path) -> None:
    dataset = fo.Dataset()
    dataset.add_sample(fo.Sample(filepath=str(tmp_path / "a.mp4")))
    assert "only image datasets" in errors(form(dataset, "anonymize_faces"))[0]


def test_a_deleted_field_is_said_in_the_form(dataset: fo.Dataset) -> None:
    dataset.delete_sample_field("faceanon")
    for name in AFTERWARDS:
        assert "not anonymized yet" in errors(form(dataset, name, **select(dataset, 0)))[0]
    dataset.delete_sample_field("faces")
    assert (
        "Run Detect faces" in errors(form(dataset, "predict_emotions"))[0]
        or "run Detect faces" in errors(form(dataset, "predict_emotions"))[0]
    )


def test_another_version_of_the_package_is_said_in_the_form(dataset: fo.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fo_faceanon, "__version__", "9.9.9")
    assert "fo-faceanon plugin install" in errors(form(dataset, "review_faces", **select(dataset, 0)))[0]
    with pytest.raises(Exception, match=r"9\.9\.9"):
        foo.get_operator(uri("anonymize_faces"))(dataset)


def test_plugin_and_package_say_the_same_version() -> None:
    manifest = (plugin.plugin_source()[0] / "fiftyone.yml").read_text()
    forms = (plugin.plugin_source()[0] / "_forms.py").read_text()
    assert f"version: {fo_faceanon.__version__}\n" in manifest and f'VERSION = "{fo_faceanon.__version__}"\n' in forms


def test_made_again_by_a_delegated_run(dataset: fo.Dataset) -> None:
    queued = foo.get_operator(uri("reanonymize"))(dataset.limit(1), seed=50, delegate=True)
    assert queued.delegated
    service = DelegatedOperationService()
    service.execute_queued_operations(log=True, monitor=False)
    done = service.list_operations(dataset_name=dataset.name)[0]
    assert str(done.run_state) == "completed" and done.status.progress == 1.0
    dataset.reload()
    assert (grey(dataset, 0), grey(dataset, 1)) == (60, 10)
