"""dlib68: the landmarks depend on the face, not on who drew the box or on the image's size and framing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fo_faceanon.errors import InputError, WeightsError
from fo_faceanon.faces import Face
from fo_faceanon.landmarks.dlib68 import Dlib68, detector_square, plausible, shape_square

MTCNN_BOX = (179.5, 63.8, 265.4, 172.7)  # of the astronaut, by MTCNN
HOG_BOX = (168.0, 77.0, 276.0, 185.0)  # by dlib


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    from skimage.data import astronaut

    return astronaut()


@pytest.fixture(scope="module")
def landmarker() -> Dlib68:
    return Dlib68()


def mark(landmarker: Dlib68, image: np.ndarray, box: tuple[float, ...], detector: str = "mtcnn") -> np.ndarray:
    found = landmarker(image, [Face(box, detector=detector)])[0]  # type: ignore[arg-type]
    assert found is not None and found.shape == (68, 2) and found.dtype == np.float32
    return found


def error(a: np.ndarray, b: np.ndarray) -> float:
    """Mean distance in distances between the eyes."""
    return float(np.linalg.norm(a - b, axis=1).mean() / np.linalg.norm(b[36:42].mean(0) - b[42:48].mean(0)))


def test_any_detectors_box_gives_dlibs_own_landmarks(landmarker: Dlib68, astronaut: np.ndarray) -> None:
    import dlib

    from fo_faceanon.weights import require_weight

    predictor = dlib.shape_predictor(str(require_weight("dlib-landmarks", "shape_predictor_68_face_landmarks.dat")))
    box = dlib.get_frontal_face_detector()(astronaut)[0]
    reference = np.array([(point.x, point.y) for point in predictor(astronaut, box).parts()], np.float32)
    assert error(mark(landmarker, astronaut, MTCNN_BOX), reference) < 0.05
    assert error(mark(landmarker, astronaut, HOG_BOX, "dlib"), reference) < 0.05
    assert error(mark(landmarker, astronaut, (160, 55, 280, 180), "user"), reference) < 0.06


@pytest.mark.parametrize("scale", [0.4, 3.0, 8.0])
def test_scale(landmarker: Dlib68, astronaut: np.ndarray, scale: float) -> None:
    size = (round(512 * scale), round(512 * scale))
    image = np.array(Image.fromarray(astronaut).resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC))
    found = mark(landmarker, image, tuple(value * scale for value in MTCNN_BOX))
    assert error((found + 0.5) / scale - 0.5, mark(landmarker, astronaut, MTCNN_BOX)) < 0.06


def test_the_image_may_end_at_the_face(landmarker: Dlib68, astronaut: np.ndarray) -> None:
    x, y = 172, 66
    box = (MTCNN_BOX[0] - x, MTCNN_BOX[1] - y, MTCNN_BOX[2] - x, MTCNN_BOX[3] - y)
    found = mark(landmarker, astronaut[y:180, x:275], box)
    assert error(found + np.float32([x, y]), mark(landmarker, astronaut, MTCNN_BOX)) < 0.08


def test_squares() -> None:
    assert detector_square(Face((10, 20, 30, 40), detector="dlib")).tolist() == [10, 20, 20]
    x, y, side = detector_square(Face((0, 0, 100, 100), detector="mtcnn+dlib"))
    assert (x + side / 2, y + side / 2, side) == pytest.approx((50, 60, 95.5))
    shape = np.random.default_rng(0).uniform(0, 100, (68, 2))
    moved = shape_square(shape * 3 + 7)
    assert moved == pytest.approx([*(shape_square(shape)[:2] * 3 + 7), shape_square(shape)[2] * 3])


@pytest.mark.parametrize(
    "box", [(600, 600, 700, 700), (-90, -90, -10, -10), (5, 5, 5, 5), (9, 9, 3, 3), (10, 10, 12, 12), (-1e6, -1e6, 1e6, 1e6)]
)
def test_a_box_that_shows_nothing(landmarker: Dlib68, astronaut: np.ndarray, box: tuple[float, ...]) -> None:
    assert landmarker(astronaut, [Face(box)]) == [None]  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1)])
def test_tiny_images_do_not_fail(landmarker: Dlib68, shape: tuple[int, int]) -> None:
    assert len(landmarker(np.zeros((*shape, 3), np.uint8), [Face((0, 0, 30, 30)), Face((-5, -5, 8, 8))])) == 2


def test_landmarks_that_follow_their_square_are_no_face(landmarker: Dlib68, astronaut: np.ndarray) -> None:
    good = mark(landmarker, astronaut, MTCNN_BOX)
    assert plausible(good, good)
    assert not plausible(good + 0.15 * shape_square(good)[2], good)
    assert not plausible(np.zeros_like(good), np.zeros_like(good))
    assert not plausible(good, np.full_like(good, np.nan))
    closed = good.copy()
    closed[42:48] = closed[36:42]
    assert not plausible(closed, closed)


def test_order_and_faults(landmarker: Dlib68, astronaut: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert landmarker(astronaut, []) == []
    first, second = landmarker(astronaut, [Face((600, 600, 700, 700)), Face(MTCNN_BOX, detector="mtcnn")])
    assert first is None and second is not None
    with pytest.raises(InputError, match="uint8 RGB"):
        landmarker(astronaut[..., 0], [])
    (tmp_path / "bad.dat").write_bytes(b"no landmarks")
    monkeypatch.setattr("fo_faceanon.landmarks.dlib68.require_weight", lambda *args: tmp_path / "bad.dat")
    with pytest.raises(WeightsError, match=r"bad\.dat"):
        Dlib68()
