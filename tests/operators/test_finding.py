"""Detection, emotions and consent lists in the App."""

from __future__ import annotations

from pathlib import Path

import fiftyone as fo
import fiftyone.operators as foo
import pytest
from fiftyone.operators.delegated import DelegatedOperationService
from host_tools import BOX, FAST, make_dataset
from plugin_tools import errors, form, run, shown, uri, words

from fo_faceanon.errors import WeightsError
from fo_faceanon.faces import Face
from fo_faceanon.host import detect, face_models
from fo_faceanon.host.runner import anonymize


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> fo.Dataset:
    found = [Face(BOX, 0.9, detector="fake")]
    monkeypatch.setattr(detect, "create_detector", lambda *_: lambda images: [found if i[0, 0, 0] > i[0, 0, 2] else [] for i in images])
    return make_dataset(tmp_path / "in", ["face", "empty", "broken"])


class FakeEmotion:
    def __init__(self, parameters: face_models.Parameters) -> None: ...

    def emotions(self, image, faces):
        return ["sad" if image[20, 20, 0] == 10 else "happy"] * len(faces)


def test_detect_faces(dataset: fo.Dataset) -> None:
    assert "Looks at 3 samples; no picture is changed" in words(form(dataset, "detect_faces"))
    params = {"field": "found", "detector": "union", "min_face": 16, "device": "cpu", "overwrite": False}
    values = shown(run(dataset, "detect_faces", params))
    assert "| unreadable | 1 |" in values["counts"] and "| faces | 1 |" in values["counts"]
    one, none, broken = dataset.values("found")
    assert one.detections[0]["detector"] == "fake" and one.detections[0].confidence == 0.9 and none.detections == [] and broken is None
    values = shown(run(dataset, "detect_faces", params))
    assert "| skipped | 2 |" in values["counts"]
    queued = foo.get_operator(uri("detect_faces"))(dataset, field="later", delegate=True)
    assert queued.delegated
    DelegatedOperationService().execute_queued_operations(log=True, monitor=False)
    dataset.reload()
    assert len(dataset.values("later")[0].detections) == 1


@pytest.mark.parametrize(("field", "said"), [("faces", "field of their own"), ("my faces", "field of their own"), ("mine", "not ours")])
def test_detections_overwrite_nothing(dataset: fo.Dataset, field: str, said: str) -> None:
    dataset.add_sample_field("mine", fo.StringField)
    assert said in errors(form(dataset, "detect_faces", {"field": field}))[0]
    with pytest.raises(Exception, match=said):
        foo.get_operator(uri("detect_faces"))(dataset, field=field)


def test_predict_emotions_before_and_after(dataset: fo.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "run Detect faces" in errors(form(dataset, "predict_emotions"))[0]
    anonymize(dataset, **FAST)
    monkeypatch.setattr(detect, "FaceEmotion", FakeEmotion)
    monkeypatch.setattr(face_models, "emotion_classifier", lambda device: (None, ()))
    assert form(dataset, "predict_emotions")["faces_field"].default == "faces"
    values = shown(run(dataset, "predict_emotions", {"faces_field": "faces", "device": "cpu"}))
    assert "| done | 1 |" in values["counts"] and "| skipped | 2 |" in values["counts"]
    face = dataset.first().faces.detections[0]
    assert (face["emotion"], face["emotion_anonymized"]) == ("happy", "sad")

    def none(device: str) -> None:
        raise WeightsError("no classifier of emotions")

    monkeypatch.setattr(face_models, "emotion_classifier", none)
    assert "no classifier" in errors(form(dataset, "predict_emotions"))[0]


def test_import_consent_counts_first(dataset: fo.Dataset, tmp_path: Path) -> None:
    assert "no face labels" in errors(form(dataset, "import_consent"))[0]
    labels = [fo.Detections(detections=[fo.Detection(label="x", bounding_box=[0.1, 0.1, 0.5, 0.5], person=who)]) for who in "abc"]
    dataset.set_values("people", labels, dynamic=True)
    opened = form(dataset, "import_consent")
    assert "recognisable" in opened["warning"].view.label and opened["person_field"].type.values == ["label", "person"]
    params = {"faces_field": "people", "list": "people", "people": "a; z;", "person_field": "person", "consent_field": "consent"}
    values = shown(run(dataset, "import_consent", {**params, "dry_run": True}))
    assert values["done"] == "1 of 3 faces would stay recognisable" and "Not found: z" in values["next"]
    assert not dataset.has_field("people.detections.consent")
    values = shown(run(dataset, "import_consent", {**params, "dry_run": False}))
    assert "may stay" in values["done"] and dataset.values("people.detections.consent") == [[True], [False], [False]]
    (tmp_path / "list.json").write_text('["b"]')
    foo.get_operator(uri("import_consent"))(dataset, source=tmp_path / "list.json", faces_field="people", person_field="person")
    assert dataset.values("people.detections.consent") == [[False], [True], [False]]
    with pytest.raises(Exception, match="cannot be read"):
        foo.get_operator(uri("import_consent"))(dataset, source=tmp_path / "none.json", faces_field="people")
