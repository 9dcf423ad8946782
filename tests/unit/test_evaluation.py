"""Grain, contact sheets, and the measures of what was kept, on a real photograph."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut

from fo_faceanon.errors import InputError, OutputError
from fo_faceanon.evaluation.pair import Evaluator, landmark_error
from fo_faceanon.faces import Face
from fo_faceanon.landmarks.dlib68 import Dlib68
from fo_faceanon.photometry.grain import LIMIT, match_grain
from fo_faceanon.records import FaceRecord
from fo_faceanon.sheets import contact_sheet

BOX = (180.0, 68.0, 266.0, 175.0)


@pytest.fixture(scope="module")
def record() -> FaceRecord:
    landmarks = Dlib68()(astronaut(), [Face(BOX)])[0]
    assert landmarks is not None
    return FaceRecord(BOX, 1.0, "user", "generated", "donor", 0, landmarks=landmarks.tolist())


@pytest.fixture(scope="module")
def evaluator() -> Evaluator:
    return Evaluator("cpu")


def test_an_unchanged_picture_has_no_error(evaluator: Evaluator, record: FaceRecord) -> None:
    metrics = evaluator(astronaut(), astronaut(), [record])[0]
    assert metrics.detected and metrics.delta_e == pytest.approx(0, abs=1e-4) and metrics.si_mse == pytest.approx(0, abs=1e-6)
    assert metrics.landmark_error < 0.03 and metrics.expression_error < 0.03


def test_more_change_is_more_error(evaluator: Evaluator, record: FaceRecord) -> None:
    darker = [evaluator(astronaut(), (astronaut() * k).astype(np.uint8), [record])[0].delta_e for k in (0.9, 0.7, 0.4)]
    assert darker == sorted(darker) and darker[0] > 1


def test_a_painted_over_face_counts_as_undetected_with_its_light_still_measured(evaluator: Evaluator, record: FaceRecord) -> None:
    painted = astronaut().copy()
    painted[40:220, 150:300] = 120
    metrics = evaluator(astronaut(), painted, [record])[0]
    assert not metrics.detected and np.isnan(metrics.landmark_error) and metrics.delta_e > 3
    assert metrics.to_dict()["landmark_error"] is None


def test_a_face_without_landmarks_is_counted(evaluator: Evaluator) -> None:
    assert not evaluator(astronaut(), astronaut(), [FaceRecord(BOX, 1.0, "user", "filled", "mask", 0)])[0].detected


def test_pictures_of_two_sizes_are_refused(evaluator: Evaluator) -> None:
    with pytest.raises(InputError, match="one size"):
        evaluator(astronaut(), astronaut()[:100], [])


def test_landmark_error_is_in_interocular_distances() -> None:
    points = np.random.default_rng(0).random((68, 2)) * 100
    unit = np.linalg.norm(points[45] - points[36])
    assert landmark_error(points + 3, points) == pytest.approx(3 / unit)


@pytest.mark.parametrize("level", [0.0, 0.01])
def test_grain_follows_the_original_and_never_exceeds_its_limit(level: float) -> None:
    generator = torch.Generator().manual_seed(0)
    original = (0.5 + level * torch.randn(1, 1, 128, 128, generator=generator)).expand(1, 3, -1, -1)
    smooth, skin = torch.full((1, 3, 128, 128), 0.5), torch.ones(1, 1, 128, 128)
    made = match_grain(smooth, original, skin, [4])
    assert float(made.std()) == pytest.approx(level, rel=0.35, abs=1e-5)
    assert torch.equal(made, match_grain(smooth, original, skin, [4]))
    loud = match_grain(smooth, torch.rand(1, 3, 128, 128, generator=generator), skin, [4])
    assert float(loud.std()) < 2 * LIMIT


def test_grain_is_not_read_from_edges() -> None:
    stripes = torch.zeros(1, 3, 128, 128)
    stripes[..., 60:68] = 1.0
    smooth, skin = torch.full((1, 3, 128, 128), 0.5), torch.ones(1, 1, 128, 128)
    assert (match_grain(smooth, stripes, skin, [4]) - smooth).abs().max() < 1e-3


def test_a_sheet_holds_every_pair(tmp_path: Path) -> None:
    pairs = [(np.full((40 + 10 * i, 60, 3), 10 * i, np.uint8),) * 2 for i in range(5)]
    sheet = np.asarray(Image.open(contact_sheet(pairs, tmp_path / "sheet.png", columns=2, height=50)))
    assert sheet.shape[0] % 56 == 0 and sheet.shape[1] <= 2 * 2 * 56
    assert {0, 10, 20, 30, 40} <= set(np.unique(sheet).tolist())
    with pytest.raises(OutputError, match="at least one"):
        contact_sheet([], tmp_path / "none.png")
