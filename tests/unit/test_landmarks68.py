"""Landmarks68: dlib's points where the network bears them out, the network's where not, nothing where there is no face."""

from __future__ import annotations

import numpy as np
import pytest

from fo_faceanon.faces import Face
from fo_faceanon.landmarks.landmarks68 import BELIEVED, DOUBTFUL, Landmarks68, choose_landmarks, disagreement
from fo_faceanon.landmarks.net68 import PRESENCE, WORST, MarkedFace, face_size

MTCNN_BOX = (179.5, 63.8, 265.4, 172.7)  # of the astronaut, by MTCNN
SHIFT = np.array([3.0, 4.0])


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    from skimage.data import astronaut

    return astronaut()


@pytest.fixture(scope="module")
def landmarker() -> Landmarks68:
    return Landmarks68()


def points() -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 100, (68, 2)).astype(np.float32)


def sure(marks: np.ndarray, error: float = 0.05, presence: float = 0.99) -> MarkedFace:
    return MarkedFace(marks, error, presence)


def test_dlib_is_kept_where_the_network_agrees() -> None:
    marks = points()
    near = marks + 0.9 * BELIEVED * face_size(marks) * np.array([1, 0], np.float32)
    assert choose_landmarks(near, sure(marks)) is near


def test_the_network_takes_over_where_dlib_is_wrong_or_silent() -> None:
    marks = points()
    far = marks + 1.1 * BELIEVED * face_size(marks) * np.array([0, 1], np.float32)
    assert choose_landmarks(far, sure(marks)) is marks
    assert choose_landmarks(None, sure(marks)) is marks


def test_nothing_where_the_network_sees_no_face() -> None:
    marks = points()
    assert choose_landmarks(marks, sure(marks, presence=PRESENCE - 0.01)) is None
    assert choose_landmarks(None, sure(marks, error=WORST + 0.01)) is None
    assert choose_landmarks(marks, sure(marks, error=DOUBTFUL + 0.01)) is None
    assert choose_landmarks(marks, sure(np.full((68, 2), np.nan, np.float32))) is None
    assert choose_landmarks(None, None) is None


def test_a_network_in_doubt_is_borne_out_by_dlib() -> None:
    marks = points()
    assert choose_landmarks(marks, sure(marks, error=WORST + 0.01)) is marks
    assert choose_landmarks(marks + 1000, sure(marks, error=WORST + 0.01)) is None


def test_disagreement_is_in_face_sizes() -> None:
    marks = points()
    assert disagreement(marks + SHIFT, marks) == pytest.approx(5.0 / face_size(marks), rel=1e-5)
    assert disagreement(7 * (marks + SHIFT), 7 * marks) == pytest.approx(5.0 / face_size(marks), rel=1e-5)


def test_a_frontal_face_keeps_dlibs_points(landmarker: Landmarks68, astronaut: np.ndarray) -> None:
    faces = [Face(MTCNN_BOX, detector="mtcnn"), Face((350, 20, 450, 140))]
    found, none = landmarker(astronaut, faces)
    expected = landmarker.dlib(astronaut, faces[:1])[0]
    assert found is not None and expected is not None and np.array_equal(found, expected)
    assert none is None


def test_a_covered_face_is_marked(landmarker: Landmarks68, astronaut: np.ndarray) -> None:
    clear = landmarker(astronaut, [Face(MTCNN_BOX, detector="mtcnn")])[0]
    covered = astronaut.copy()
    covered[95:128, 170:280] = 20  # the eyes
    found = landmarker(covered, [Face(MTCNN_BOX, detector="mtcnn")])[0]
    assert clear is not None and found is not None and disagreement(found, clear) < 0.2
