"""The whole evaluation on pictures of nobody: what a copy, a painted-over face and a stranger come out as, and bad input."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from judging_pictures import portrait, save
from PIL import Image
from typer.testing import CliRunner

from fo_faceanon.cli import app
from fo_faceanon.emotion import EMOTIONS
from fo_faceanon.errors import InputError
from fo_faceanon.evaluation import meters
from fo_faceanon.evaluation.figures import FIGURES
from fo_faceanon.evaluation.measure import FaceMeasurer, re_encoded
from fo_faceanon.evaluation.run import Evaluation, evaluate_pairs
from fo_faceanon.evaluation.statistics import MIN_FACES
from fo_faceanon.judging.faces import Judge
from fo_faceanon.judging.judged import NO_FACE, OTHER_SIZE, UNREADABLE
from fo_faceanon.judging.pairs import NO_ORIGINAL, NO_PARTNER, pair_folders
from fo_faceanon.records import FaceRecord

SIDE, COUNT = 144, MIN_FACES


@pytest.fixture(autouse=True)
def bundled_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As if no optional weights had been fetched."""
    monkeypatch.setenv("FACEANON_WEIGHTS", str(tmp_path / "no weights"))


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("originals")
    for i in range(COUNT):
        save(root / f"person{i:02}" / "one.png", portrait(i, SIDE))
    return root


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def anonymized(originals: Path, root: Path, change: Any) -> Path:
    paths = sorted(originals.rglob("*.png"))
    for i, path in enumerate(paths):
        save(root / path.relative_to(originals), change(i, np.asarray(Image.open(path))))
    return root


def evaluated(originals: Path, other: Path, cache: Path, **options: Any) -> Evaluation:
    return evaluate_pairs(pair_folders(originals, other), device="cpu", workers=1, recognisers=["dlib"], cache=cache, **options)


def test_a_copy_has_no_error_and_is_recognised(originals: Path, cache: Path) -> None:
    result = evaluated(originals, originals, cache)
    found = result.figures
    assert found["cosine_dlib"].value == pytest.approx(1, abs=1e-5) and found["reidentified_dlib"].value == found["rank1_dlib"].value == 100
    for name in ("landmark_error", "expression_error", "delta_e", "tone_delta_e", "albedo_delta_e", "shading_sine", "si_mse"):
        assert found[name].value == pytest.approx(0, abs=1e-4), name
    assert found["detected"].value == 100 and found["detected"].n == COUNT
    assert 0 < found["landmark_error"].floor < 0.03 and 0 < found["delta_e"].floor < 2 and found["delta_e"].floor_n == COUNT
    assert "face-landmarker" in found["head_pose_error"].withheld and "weights get" in found["fid"].withheld
    check_schema(result)


def check_schema(result: Evaluation) -> None:
    values = json.loads(json.dumps(result.to_dict(rows=True), allow_nan=False))
    keys = ("format", "version", "created", "original", "anonymized", "counts", "problems", "judges", "figures", "groups")
    assert {*keys, "distributions", "radar", "worst", "emotion", "seconds", "rows"} <= values.keys()
    assert list(values["figures"]) == [spec.name for spec in FIGURES] and "rows" not in result.to_dict()
    assert all({"name", "licence", "role"} == judge.keys() for judge in values["judges"])
    assert sum(group["n"] for group in values["groups"]["sex"].values()) == COUNT
    assert values["counts"]["faces"] == len(values["rows"]) == COUNT and values["radar"]["colour"]["score"] > 0.99


def painted(i: int, image: np.ndarray) -> np.ndarray:
    result = image.copy()
    result[15:135, 15:130] = image[15:135, 15:130].mean((0, 1))
    return result


def test_painted_over_faces_are_safe_and_useless(originals: Path, cache: Path, tmp_path: Path) -> None:
    found = evaluated(originals, anonymized(originals, tmp_path / "painted", painted), cache, floor=False)
    assert found.counts["undetected"] == COUNT and found.figures["detected"].value == 0
    assert found.figures["reidentified_dlib"].value == 0 and found.figures["cosine_dlib"].n == COUNT
    assert found.figures["landmark_error"].value is None and found.figures["landmark_error"].missing == COUNT
    assert found.figures["delta_e"].value > 3 and found.figures["delta_e"].floor is None


def test_pictures_of_strangers_are_at_their_level(originals: Path, cache: Path, tmp_path: Path) -> None:
    other = anonymized(originals, tmp_path / "other", lambda i, image: portrait(COUNT + i, SIDE))
    found = evaluated(originals, other, cache, floor=False).figures
    assert found["cosine_dlib"].low < found["impostor_dlib"].value < found["cosine_dlib"].high
    assert found["reidentified_dlib"].value < 10 and found["landmark_error"].value > 0.01


def test_what_cannot_be_measured_is_named(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    for name, first, second in (("good", portrait(0, SIDE), portrait(0, SIDE)), ("size", portrait(1, SIDE), portrait(1, SIDE - 8))):
        save(a / f"{name}.png", first), save(b / f"{name}.png", second)
    save(a / "wall.png", np.full((90, 90, 3), 90, np.uint8)), save(b / "wall.png", np.zeros((90, 90, 3), np.uint8))
    save(a / "lonely.png", portrait(2, SIDE)), save(b / "extra.png", portrait(2, SIDE))
    save(a / "cut.png", portrait(3, SIDE)), save(b / "cut.jpg", portrait(3, SIDE))
    (b / "cut.jpg").write_bytes((b / "cut.jpg").read_bytes()[:3000])
    save(a / "text.png", portrait(3, SIDE)), (b / "text.jpg").write_text("not a picture")
    grey = save(a / "grey.png", portrait(4, SIDE)[..., 1])
    deep = np.dstack([portrait(4, SIDE)[..., 1].astype(np.uint16) * 257])
    Image.fromarray(deep[..., 0]).save(b / "grey.png")
    result = evaluate_pairs(pair_folders(a, b), device="cpu", workers=1, recognisers=["dlib"])
    assert {reason: len(names) for reason, names in result.problems.items()} == {
        **{NO_PARTNER: 1, NO_ORIGINAL: 1, UNREADABLE: 2},
        **{OTHER_SIZE: 1, NO_FACE: 1},
    }
    assert [row["key"] for row in result.rows] == ["good.png", grey.name]
    assert all(row["cosine_dlib"] == pytest.approx(1, abs=1e-3) for row in result.rows)
    assert all(figure.value is None and figure.withheld for figure in result.figures.values())  # two faces make no mean
    json.dumps(result.to_dict(rows=True), allow_nan=False)


def test_known_faces_take_the_place_of_the_judges(originals: Path) -> None:
    pairs = pair_folders(originals, originals).pairs[:2]
    (face,) = Judge("cpu").faces([portrait(0, SIDE)])[0]
    record = FaceRecord(face.box, 1.0, "union", "generated", "donor", 0, landmarks=face.landmarks.tolist())
    result = evaluate_pairs(pairs, device="cpu", workers=1, recognisers=["dlib"], floor=False, faces={pairs[0].key: [record]})
    assert len(result.rows) == 1 and result.rows[0]["box"] == pytest.approx(list(face.box)) and result.rows[0]["detected"]
    assert list(result.problems) == [NO_FACE]


def test_a_pair_in_memory_gives_a_row_for_every_face_given() -> None:
    image = portrait(0, SIDE)
    (face,) = Judge("cpu").faces([image])[0]
    known = FaceRecord(face.box, 1.0, "user", "generated", "donor", 0, landmarks=face.landmarks.tolist())
    unknown = FaceRecord((0, 0, 20, 20), 1.0, "user", "filled", "mask", 0)
    measure = FaceMeasurer("cpu", ["dlib"])
    rows = measure(image, re_encoded(image), [unknown, known])
    assert rows[0] == {} and rows[1]["detected"] and 0 < rows[1]["landmark_error"] < 0.03 and rows[1]["cosine_dlib"] > 0.98
    assert "landmark_error_mesh" not in rows[1]
    darker = measure(image, (image * 0.6).astype(np.uint8), [known])[0]
    assert darker["delta_l"] > 5 > rows[1]["delta_l"] and darker["shading_sine"] < 0.2  # the light kept its shape
    assert measure(image, image, []) == []
    with pytest.raises(InputError, match="different sizes"):
        measure(image, image[:100], [known])


def test_the_command_prints_writes_and_says_by_its_code_what_became_of_it(originals: Path, cache: Path, tmp_path: Path) -> None:
    other = anonymized(originals, tmp_path / "other", lambda i, image: np.rot90(image, 2) if i == 0 else image)
    arguments = ["evaluate", str(originals), str(other), "--workers", "1", "--cache", str(cache), "--no-floor", "--people"]
    arguments += ["--out", str(tmp_path / "report.html"), "--rows", str(tmp_path / "rows.csv")]
    result = CliRunner().invoke(app, [*arguments, "--limit", "3", "--json"])
    assert result.exit_code == 0, result.output
    values = json.loads(result.stdout)
    assert values["counts"]["tried"] == 3 and values["counts"]["paired"] == COUNT and values["exit_code"] == 0
    rows = list(csv.DictReader((tmp_path / "rows.csv").open()))
    assert len(rows) == 3 and rows[1]["person"] == "person01" and float(rows[1]["cosine_dlib"]) > 0.999
    assert "<html" in (tmp_path / "report.html").read_text()
    save(originals / "zz_alone.png", portrait(0, SIDE))
    try:
        plain = CliRunner().invoke(app, [*arguments[:7], "--limit", "1"])
    finally:
        (originals / "zz_alone.png").unlink()
    assert (
        plain.exit_code == 4 and "1 of 1 pairs measured" in plain.stdout and "zz_alone.png" in plain.stdout and "Withheld" in plain.stdout
    )
    assert CliRunner().invoke(app, ["evaluate", str(originals), str(other), "--show-originals", "2"]).exit_code == 2


def test_emotions_are_named_and_lost_with_the_face(monkeypatch: pytest.MonkeyPatch) -> None:
    def always(crops: torch.Tensor, landmarks: torch.Tensor) -> torch.Tensor:
        return torch.softmax(4 * torch.eye(7)[[3]], 1)

    monkeypatch.setattr(meters, "missing_weights", lambda: dict.fromkeys(("mesh", "face_api", "inception"), "not here"))
    monkeypatch.setattr(meters.Meters, "_load_emotions", lambda self: always)
    image = portrait(0, SIDE)
    (face,) = Judge("cpu").faces([image])[0]
    known = FaceRecord(face.box, 1.0, "user", "generated", "donor", 0, landmarks=face.landmarks.tolist())
    measure = FaceMeasurer("cpu", [])
    kept, lost = (measure(image, other, [known])[0] for other in (image, painted(0, image)))
    assert kept["emotion"] == kept["emotion_anonymized"] == lost["emotion"] in EMOTIONS
    assert kept["emotion_kept"] is True and kept["emotion_distance"] == pytest.approx(0, abs=1e-4)
    assert lost["emotion_kept"] is False and lost["emotion_anonymized"] is None and lost["emotion_distance"] is None
    assert kept["emotion_kept_second"] is None
