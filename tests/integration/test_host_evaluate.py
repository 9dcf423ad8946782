"""Figures in the dataset: every face its own, every sample its worst, and views of what changed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fiftyone as fo
import pytest
from evaluation_fakes import FakeMeasure
from host_tools import FAST, make_dataset

import fo_faceanon as fa
from fo_faceanon.errors import HostError, OutputError
from fo_faceanon.evaluation.figures import FIGURES
from fo_faceanon.evaluation.report import statements
from fo_faceanon.host import evaluate as host
from fo_faceanon.host.evaluate import comparable, evaluate, evaluate_steps
from fo_faceanon.host.lock import DatasetLock
from fo_faceanon.host.runner import anonymize
from fo_faceanon.host.views import EXPRESSION_LIMIT, LIGHT_LIMIT, TONE_LIMIT

BAD = {"expression_error": 2 * EXPRESSION_LIMIT, "si_mse": 2 * LIGHT_LIMIT, "tone_delta_e": 2 * TONE_LIMIT}


@pytest.fixture
def measure(monkeypatch: pytest.MonkeyPatch) -> FakeMeasure:
    fake = FakeMeasure()
    monkeypatch.setattr(host, "measure_steps", fake)
    return fake


def anonymized(folder: Path, kinds: Sequence[str], **settings: Any) -> fo.Dataset:
    dataset = make_dataset(folder / "in", kinds)
    anonymize(dataset, **FAST, **settings)
    return dataset


def with_people(folder: Path) -> fo.Dataset:
    """One picture with two faces, one of which is kept by consent; and one with a face."""
    dataset = make_dataset(folder / "in", ["face", "face"])
    boxes = ([0.1, 0.1, 0.3, 0.3], [0.6, 0.5, 0.3, 0.4], [0.2, 0.5, 0.3, 0.4])
    labels = [
        fo.Detections(detections=[fo.Detection(label="a", bounding_box=box, consent=k == 1) for k, box in enumerate(boxes[:count])])
        for count in (3, 1)
    ]
    dataset.set_values("people", labels, dynamic=True)
    anonymize(dataset, **FAST, faces_field="people", keep_field="consent")
    return dataset


def test_every_figure_of_a_face_is_written_and_typed(tmp_path: Path, measure: FakeMeasure) -> None:
    dataset = anonymized(tmp_path, ["face", "empty"])
    evaluate(dataset)
    schema = dataset.get_field_schema(flat=True)
    for spec in FIGURES:
        kind = fo.BooleanField if spec.unit == "%" else fo.FloatField
        found = schema.get(f"faces.detections.{spec.name}")
        assert isinstance(found, kind) if spec.per_face else found is None, spec.name
        if spec.per_face:
            assert isinstance(schema[f"faceanon.{spec.name}"], kind)
    face, sample = dataset.first().faces.detections[0], dataset.first()
    assert face["landmark_error"] == sample.faceanon["landmark_error"] == 0.01 and face["identity_similarity"] == 0.1
    assert face["detected"] is True and face["rank1_dlib"] is False and face["cosine_dlib"] == 0.01
    assert (face["emotion"], face["emotion_anonymized"]) == ("happiness", "neutral")
    assert dataset.last().faceanon["landmark_error"] is None


def test_rows_go_to_their_own_faces_and_the_worst_to_the_sample(tmp_path: Path, measure: FakeMeasure) -> None:
    dataset = with_people(tmp_path)
    values = evaluate(dataset)
    first, second = dataset.values("faces.detections.landmark_error")
    assert first == [0.01, None, 0.02] and second == [0.01]
    assert dataset.values("faceanon.landmark_error") == [0.02, 0.01]
    assert dataset.values("faceanon.detected") == [False, True]  # the worst: the second measured face was not found
    boxes = measure.faces[dataset.first().id]
    assert boxes[0].box == pytest.approx((6.4, 5.6, 25.6, 22.4)) and len(boxes[0].landmarks or ()) == 68
    assert values["counts"]["kept"] == 1 and values["counts"]["faces"] == 3
    assert "1 face kept by consent took no part" in " ".join(s.words for s in statements(values))


def test_what_is_not_measured_is_counted_and_cleared(tmp_path: Path, measure: FakeMeasure) -> None:
    dataset = anonymized(tmp_path, ["face", "face", "empty", "bad"])
    assert comparable(dataset) == 3
    ids = dataset.values("id")
    assert evaluate(dataset)["counts"]["not_evaluated"] == 2
    Path(dataset.first().filepath).unlink()
    measure.broken = {ids[1]}
    values = evaluate(dataset)
    assert values["counts"]["pictures"] == 4 and values["counts"]["not_evaluated"] == 4
    listed = {reason: entry["names"] for reason, entry in values["problems"].items()}
    assert listed == {
        "cannot be read": [ids[0]],
        "no anonymized picture": [ids[3]],
        "no face that could be measured": [ids[2]],
        "different sizes": [ids[1]],
    }
    assert dataset.values("faceanon.landmark_error") == [None] * 4
    assert dataset.values("faces.detections.landmark_error")[:2] == [[None], [None]]
    assert json.loads(json.dumps(values, allow_nan=False)) == values


def test_the_report_is_written_without_pictures(tmp_path: Path, measure: FakeMeasure) -> None:
    dataset = anonymized(tmp_path, ["face", "face"])
    evaluate(dataset, report=tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text("utf-8")
    assert dataset.name in page and "base64" not in page and "person-0000" not in page


def test_views_of_what_changed(tmp_path: Path, measure: FakeMeasure) -> None:
    dataset = anonymized(tmp_path, ["face"] * 5)
    ids = dataset.values("id")
    measure.more = {ids[1]: {"expression_error": BAD["expression_error"]}, ids[2]: {"si_mse": BAD["si_mse"]}}
    measure.more |= {ids[3]: {"tone_delta_e": BAD["tone_delta_e"]}, ids[4]: {"detected": False, "expression_error": None}}
    evaluate(dataset.limit(5))
    found = {name: dataset.load_saved_view(f"faceanon: {name} changed").values("id") for name in ("expression", "light", "skin tone")}
    assert found == {"expression": [ids[1], ids[4]], "light": [ids[2]], "skin tone": [ids[3]]}


def test_only_the_samples_given_are_measured(tmp_path: Path, measure: FakeMeasure) -> None:
    dataset = anonymized(tmp_path, ["face"] * 3)
    seen: list[tuple[int, int]] = []
    assert evaluate(dataset.limit(2), progress=lambda *step: seen.append(step))["counts"]["measured"] == 2
    assert seen == [(1, 2), (2, 2)] and dataset.values("faceanon.landmark_error") == [0.01, 0.01, None]


def test_a_stopped_run_keeps_what_it_measured(tmp_path: Path, measure: FakeMeasure) -> None:
    dataset = anonymized(tmp_path, ["face"] * 3)
    steps = evaluate_steps(dataset)
    assert [next(steps).done for _ in range(2)] == [1, 2]
    steps.close()
    assert measure.closed and dataset.values("faceanon.landmark_error") == [0.01, 0.01, None]


def test_it_waits_for_no_other_run(tmp_path: Path, measure: FakeMeasure) -> None:
    dataset = anonymized(tmp_path, ["face"])
    with DatasetLock(dataset), pytest.raises(HostError, match="another run"):
        evaluate(dataset)
    assert evaluate(dataset)["counts"]["measured"] == 1


def test_it_refuses_before_it_measures(tmp_path: Path, measure: FakeMeasure) -> None:
    dataset = make_dataset(tmp_path / "in", ["face"])
    with pytest.raises(HostError, match="not anonymized yet"):
        fa.evaluate(dataset)
    assert not dataset.has_field("faces")
    anonymize(dataset, **FAST)
    with pytest.raises(OutputError, match="no such folder"):
        evaluate(dataset, report=tmp_path / "missing" / "report.html")
    assert measure.faces == {} and not dataset.has_field("faces.detections.landmark_error")
