"""From faces to figures: what is counted, what is withheld and why, groups, distributions, radar."""

from __future__ import annotations

import json

import numpy as np
import pytest
from evaluation_rows import made_up

from fo_faceanon.evaluation.collect import Collected
from fo_faceanon.evaluation.distributions import distributions, worst_faces
from fo_faceanon.evaluation.feature_sets import MIN_PICTURES, PairedFeatures, distance_figure, distance_figures
from fo_faceanon.evaluation.figures import DIMENSIONS, FIGURES, Figure
from fo_faceanon.evaluation.groups import GROUPS, group_figures, group_labels, worst_ratios
from fo_faceanon.evaluation.measure import Measured
from fo_faceanon.evaluation.radar import WORST, radar_scores
from fo_faceanon.evaluation.statistics import MIN_FACES
from fo_faceanon.evaluation.summary import figures_of, impostors_of, mark_nearest, withheld_reasons
from fo_faceanon.metrics.realism import Moments, fid

NOTHING_MISSING = withheld_reasons({}, ("edgeface-s",))


def collect(measured: list[Measured]) -> Collected:
    collected = Collected()
    for one in measured:
        collected.add(one)
    mark_nearest(collected)
    return collected


def figures(measured: list[Measured]) -> dict[str, Figure]:
    collected = collect(measured)
    return figures_of(collected, impostors_of(collected.anonymized), NOTHING_MISSING)


def test_an_undetected_face_is_counted_and_never_dropped() -> None:
    found = figures(made_up(24, missing=(1, 2, 4)))
    assert list(found) == [spec.name for spec in FIGURES]
    assert found["detected"].value == pytest.approx(100 * 21 / 24) and found["detected"].n == 24 and found["detected"].missing == 0
    assert found["landmark_error"].n == 21 and found["landmark_error"].missing == 3
    assert found["emotion_kept"].value == pytest.approx(100 * 13 / 24)  # the undetected ones did not keep it
    assert found["landmark_error_steady"].n + found["landmark_error_steady"].missing == 18  # the others never counted
    assert found["landmark_error_steady"].missing == 2
    assert found["cosine_edgeface_s"].n == 24
    assert found["landmark_error"].floor == pytest.approx(0.002) and found["landmark_error"].floor_n == 8


def test_strangers_and_copies_are_told_apart() -> None:
    strangers, copies = figures(made_up(30)), figures(made_up(30, keep=1.0))
    assert copies["cosine_edgeface_s"].value == pytest.approx(1, abs=1e-5)
    assert copies["reidentified_edgeface_s"].value == copies["rank1_edgeface_s"].value == 100
    assert strangers["reidentified_edgeface_s"].value < 20 and strangers["rank1_edgeface_s"].value < 20
    low, value, high = (getattr(strangers["cosine_edgeface_s"], name) for name in ("low", "value", "high"))
    assert low < value < high and low < strangers["impostor_edgeface_s"].value < high
    assert strangers["rank1_edgeface_s"].floor == 100


def test_too_few_faces_and_absent_meters_are_withheld_with_the_reason() -> None:
    few = figures(made_up(MIN_FACES - 1))
    assert all(figure.value is None and figure.withheld for figure in few.values())
    assert str(MIN_FACES) in few["delta_e"].withheld and str(MIN_PICTURES) in few["fid"].withheld
    assert "weights get facenet-casia" in few["cosine_facenet_casia"].withheld
    reasons = withheld_reasons({"mesh": "get the mesh"}, ("facenet-vggface2",))
    assert reasons["head_pose_error"] == "get the mesh" and "frechet_facenet" not in reasons and "dlib-recognition" in reasons["rank1_dlib"]
    assert all(figure.value is None for figure in figures_of(Collected(), {}, {}).values())


def test_intervals_are_over_people_where_all_are_known() -> None:
    measured = made_up(24)
    for i, one in enumerate(measured):
        one.anonymized.rows[0]["person"] = f"p{i // 6}"
    collected = collect(measured)
    assert len(set(collected.clusters.tolist())) == 4
    measured[0].anonymized.rows[0]["person"] = None
    assert len(set(collected.clusters.tolist())) == 24
    people = [row["person"] for row in collected.anonymized.rows]
    assert len(impostors_of(collected.anonymized)["edgeface-s"]) < 24 * 23 - 4 * 5 * 4 and people[0] is None


def test_histograms_hold_everyone_and_the_worst_are_listed_first() -> None:
    collected = collect(made_up(30, missing=(3,)))
    found = distributions(collected, impostors_of(collected.anonymized))
    cosine = found["cosine_edgeface_s"]
    assert sum(cosine["counts"]["anonymized"]) == 30 and sum(cosine["counts"]["impostors"]) == 30 * 29
    assert len(cosine["edges"]) == len(cosine["counts"]["floor"]) + 1 and 0.2 < cosine["threshold"] < 0.5
    assert sum(found["landmark_error"]["counts"]["anonymized"]) == 29
    worst = worst_faces(collected)
    assert worst["delta_e"][0]["key"] == "029.png" and len(worst["delta_e"]) == 20
    assert worst["detected"] == [{"value": 0.0, "key": "003.png", "number": 0, "box": [0.0, 0.0, 50.0, 50.0]}]
    json.dumps([found, worst], allow_nan=False)


def test_groups_have_figures_of_their_own_and_small_ones_are_withheld() -> None:
    collected = collect(made_up(40))
    columns = {name: collected.anonymized.column(name) for name in ("delta_e", "emotion_kept")}
    labels = [row["groups"] for row in collected.anonymized.rows]
    groups = group_figures(labels, columns, collected.clusters)
    men = [row for row in collected.anonymized.rows if row["groups"]["sex"] == "male"]
    figure = groups["sex"]["male"]["figures"]["delta_e"]
    assert groups["sex"]["male"]["n"] == 20 and figure["value"] == pytest.approx(np.mean([row["delta_e"] for row in men]))
    assert figure["low"] < figure["value"] < figure["high"]
    assert groups["age"]["60+"]["n"] == 3 and groups["age"]["60+"]["figures"]["delta_e"]["value"] is None
    overall = {"delta_e": Figure(6.0, 40), "emotion_kept": Figure(60.0, 40)}
    ratios = worst_ratios(groups, overall)
    assert ratios["sex"]["delta_e"]["group"] == "male" and ratios["sex"]["delta_e"]["ratio"] == pytest.approx(figure["value"] / 6)
    worse = min(groups["sex"].values(), key=lambda entry: entry["figures"]["emotion_kept"]["value"])["figures"]["emotion_kept"]["value"]
    assert ratios["sex"]["emotion_kept"]["ratio"] == pytest.approx((100 - worse) / 40)
    assert ratios["sex"]["delta_e"]["apart"] is (not figure["low"] <= 6 <= figure["high"])
    assert "delta_e" not in ratios.get("age", {})  # one group with a value has nothing to be worse than


@pytest.mark.parametrize(
    ("measures", "expected"),
    [
        ((60, 12.9, 0.9, 19.9, -14.9), ("very light", "child < 13", "male", "< 20 px", "frontal < 15°")),
        ((-40, 13, 0.1, 20, -15), ("dark", "teen 13-19", "female", "20-39 px", "turned 15-34°")),
        ((28.1, 60, 0.5, 500, 80), ("intermediate", "60+", "female", "80+ px", "profile 35°+")),
    ],
)
def test_a_face_has_one_group_of_each_kind(measures: tuple[float, ...], expected: tuple[str, ...]) -> None:
    labels = group_labels(*measures)
    assert tuple(labels.values()) == expected
    assert all(label in GROUPS[grouping] for grouping, label in labels.items())


def test_a_measure_that_is_not_there_gives_no_group() -> None:
    assert group_labels(float("nan"), float("nan"), float("nan"), 30, float("nan")) == {"face_size": "20-39 px"}


def test_the_radar_is_one_at_the_floor_and_nothing_at_the_worst() -> None:
    ideal = {name: 100.0 if name in ("detected", "emotion_kept") else 0.01 for name in WORST}
    best = {name: Figure(value, 99, floor=value) for name, value in ideal.items()}
    assert all(entry["score"] == 1 for name, entry in radar_scores(best).items() if name != "privacy")
    bad = {name: Figure(worst, 99, floor=ideal[name]) for name, worst in WORST.items()}
    assert all(entry["score"] == 0 for name, entry in radar_scores(bad).items() if name != "privacy")
    private = {"cosine_edgeface_s": Figure(0.1, 9), "impostor_edgeface_s": Figure(0.1, 9)}
    assert radar_scores(private)["privacy"] == {"score": 1.0, "from": ["cosine_edgeface_s"]}
    guide = {"cosine_dlib": Figure(0.1, 9), "impostor_dlib": Figure(0.1, 9)}  # a guide is no judge
    assert radar_scores(guide)["privacy"]["score"] is None and list(radar_scores({})) == list(DIMENSIONS)


def features(n: int, shift: float = 0.0) -> PairedFeatures:
    random = np.random.default_rng(5)
    pairs = PairedFeatures()
    for _ in range(n):
        before = random.normal(size=(1, 24)).astype(np.float32)
        pairs.add(before, before + np.float32(shift) + 0.01 * random.normal(size=(1, 24)).astype(np.float32))
    pairs.add(np.full((1, 24), np.nan, np.float32), np.zeros((1, 24), np.float32))
    return pairs


def test_distances_between_sets_stand_beside_their_floor() -> None:
    found = distance_figures("_face", features(80, 0.5), features(60))
    assert found["fid_face"].value == pytest.approx(24 * 0.25, rel=0.1) and found["fid_face"].n == 80
    assert 0 <= found["fid_face"].floor < 0.05 and found["fid_face"].floor_n == 60
    kid = found["kid_face"]
    assert kid.low < kid.value < kid.high
    assert distance_figure(features(80), features(3)).floor is None


def test_large_sets_need_no_more_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = features(80, 0.5).fid().value
    monkeypatch.setattr("fo_faceanon.evaluation.feature_sets._KEPT", 20)
    monkeypatch.setattr("fo_faceanon.evaluation.feature_sets._BLOCK", 16)
    many = features(80, 0.5)
    assert many.count == 80 and many.fid().value == pytest.approx(exact, rel=1e-6) and many.kid().preds == 20
    torch = pytest.importorskip("torch")
    rows = torch.randn(70, 8, generator=torch.Generator().manual_seed(0)).double() + 100
    halves, whole = Moments(8), Moments(8)
    for part in rows.split(13):
        halves.add(part)
    whole.add(rows[:35])
    assert halves.fid(whole).value == pytest.approx(fid(rows, rows[:35]).value, rel=1e-6)
