import numpy as np
import pytest
from skimage import data

from fo_faceanon.donors.dark_glasses import behind_dark_glasses, lid_brightness
from fo_faceanon.faces import Face
from fo_faceanon.landmarks.landmarks68 import Landmarks68


@pytest.fixture(scope="module")
def bare() -> tuple[np.ndarray, np.ndarray]:
    picture = np.ascontiguousarray(data.astronaut()[:300, 100:400])
    landmarks = Landmarks68()(picture, [Face((70.0, 60.0, 180.0, 200.0))])[0]
    assert landmarks is not None
    return picture, landmarks


def with_glasses(picture: np.ndarray, landmarks: np.ndarray, grey: int) -> np.ndarray:
    covered = picture.copy()
    for eye in (landmarks[36:42], landmarks[42:48]):
        (x0, y0), (x1, y1) = np.rint(eye.min(0) - 6).astype(int), np.rint(eye.max(0) + 9).astype(int)
        covered[y0:y1, x0:x1] = grey
    return covered


def test_bare_eyes_are_nearly_as_bright_as_the_cheeks_and_exposure_does_not_matter(bare: tuple[np.ndarray, np.ndarray]) -> None:
    picture, landmarks = bare
    assert lid_brightness(picture, landmarks) > 0.7
    assert lid_brightness(picture // 2, landmarks) == pytest.approx(lid_brightness(picture, landmarks), abs=0.05)
    assert not behind_dark_glasses(picture, landmarks, 0.3)


def test_dark_glasses_are_seen_even_where_the_network_sees_none(bare: tuple[np.ndarray, np.ndarray]) -> None:
    picture, landmarks = bare
    assert behind_dark_glasses(with_glasses(picture, landmarks, 25), landmarks, 0.0)
    tinted = with_glasses(picture, landmarks, 115)
    assert behind_dark_glasses(tinted, landmarks, 0.3) and not behind_dark_glasses(tinted, landmarks, 0.0)
