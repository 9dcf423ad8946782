"""What the landmark network is trained on: labels that follow the head and the picture."""

from __future__ import annotations

import numpy as np
import pytest

from fo_faceanon.networks.landmark_net import CROP_SIDE, FACE_SIDE
from fo_faceanon.training.landmarks_augment import augment, crop_frame, no_face, roll_of
from fo_faceanon.training.landmarks_data import combine
from fo_faceanon.training.landmarks_mapping import NEAREST, fit_mapping, map_mesh, upright
from fo_faceanon.training.landmarks_profiles import turn_face


def head(seed: int = 0) -> np.ndarray:
    """478 points on half an ellipsoid, those that are read by name where they belong."""
    random = np.random.default_rng(seed)
    x, y = random.uniform(-1, 1, 478), random.uniform(-1, 1, 478)
    x[[10, 152]], y[[10, 152]] = 0, (-1, 1)
    mesh = np.stack([x * 40, y * 55, -30 * np.sqrt(np.clip(2 - x**2 - y**2, 0, None))], 1)
    return mesh + np.array([96, 96, 0])


def spin(mesh: np.ndarray, yaw: float) -> np.ndarray:
    angle = np.radians(yaw)
    turn = np.array([[np.cos(angle), 0, -np.sin(angle)], [0, 1, 0], [np.sin(angle), 0, np.cos(angle)]])
    return (mesh - [96, 96, 0]) @ turn.T + [96, 96, 0]


def test_mapping_fitted_on_frontal_faces_holds_for_turned_ones() -> None:
    random = np.random.default_rng(1)
    mesh = head()
    hidden = np.stack([mesh[k] + 0.3 * (mesh[int(random.integers(478))] - mesh[k]) * 0.1 for k in NEAREST])
    yaws = random.uniform(-10, 10, 60)
    meshes, points = np.stack([spin(mesh, yaw) for yaw in yaws]), np.stack([spin(hidden, yaw)[:, :2] for yaw in yaws])
    weights = fit_mapping(meshes, points)
    assert weights.sum(1) == pytest.approx(np.ones(68))
    inner = slice(17, 68)  # the jaw follows what can be seen
    found = map_mesh(spin(mesh, 40.0)[None], np.array([40.0]), weights)[0, inner]
    assert np.abs(found - spin(hidden, 40.0)[inner, :2]).mean() < 3.0
    assert np.abs(map_mesh(mesh[None], np.zeros(1), weights)[0] - hidden[:, :2]).mean() < 1.0


def test_the_far_jaw_never_lies_inside_the_outline() -> None:
    mesh = spin(head(), 50.0)
    weights = np.zeros((68, 478))
    weights[range(68), NEAREST] = 1
    plain, moved = (map_mesh(mesh[None], np.array([yaw]), weights)[0] for yaw in (0.0, 50.0))
    assert (moved[9:17, 0] >= plain[9:17, 0] - 1e-3).all() and (moved[12:17, 0] > plain[12:17, 0] + 1).any()
    assert np.allclose(moved[:9], plain[:9], atol=1e-3) and np.allclose(moved[17:], plain[17:], atol=1e-3)


def test_upright_undoes_roll() -> None:
    mesh, angle = head(), np.radians(25)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    rolled = np.concatenate([(mesh[:, :2] - 96) @ turn.T + 96, mesh[:, 2:]], 1)
    assert np.allclose(upright(rolled[None])[0] @ turn, np.eye(2), atol=1e-6)


def test_labels_are_dlibs_where_both_agree_and_the_meshs_elsewhere() -> None:
    mapped = np.random.default_rng(0).uniform(0, 90, (4, 68, 2)).astype(np.float32)
    dlib = mapped + 1.0
    dlib[1] += 60
    dlib[2] = np.nan
    points, agreement = combine(dlib, mapped, np.array([0.0, 0.0, 0.0, 60.0]))
    assert np.allclose(points[0], dlib[0], atol=1e-4) and np.allclose(points[1:], mapped[1:])
    assert agreement[0] < 0.06 < agreement[1] and np.isnan(agreement[2])


def test_turning_by_nothing_changes_nothing_and_by_more_hides_the_far_side() -> None:
    crop = np.random.default_rng(0).integers(0, 256, (192, 192, 3), dtype=np.uint8)
    mesh = head()
    same, still = turn_face(crop, mesh, 0.0)
    assert np.abs(still - mesh).max() < 1e-3
    assert np.abs(same.astype(int) - crop).mean() < 3
    _, turned = turn_face(crop, mesh, 50.0)
    assert np.ptp(turned[:, 1]) == pytest.approx(np.ptp(mesh[:, 1]), rel=1e-5)
    near = mesh[:, 2] < np.quantile(mesh[:, 2], 0.1)  # about the nose
    assert (turned[near, 0] - turned[:, 0].mean()).mean() > (mesh[near, 0] - mesh[:, 0].mean()).mean() + 5


def face_points() -> np.ndarray:
    steps = np.linspace(0, np.pi, 17)
    jaw = np.stack([-40 * np.cos(steps), 10 + 45 * np.sin(steps)], 1)
    inner = np.random.default_rng(0).uniform(-20, 20, (51, 2))
    inner[19:31, 1] = -15  # eyes
    inner[[31, 37], 1] = 25  # the mouth's corners
    inner[[31, 37], 0] = (-10, 10)
    inner[19:25, 0], inner[25:31, 0] = -15, 15
    return np.concatenate([jaw, inner]) + 96


def test_crop_frame_centres_sizes_and_turns() -> None:
    points = face_points()
    for angle in (0.0, 0.4):
        frame = crop_frame(points, angle)
        placed = points @ frame[:, :2].T + frame[:, 2]
        low, high = placed.min(0), placed.max(0)
        assert (high - low).max() == pytest.approx(FACE_SIDE) and np.allclose((low + high) / 2, (CROP_SIDE - 1) / 2)
        assert roll_of(placed) == pytest.approx(roll_of(points) + angle, abs=1e-6)


def test_labels_follow_the_picture() -> None:
    """Bright spots at the points stay at the points, mirrored or not, in all crops that are not covered or blurred over."""
    points = face_points()
    crop = np.zeros((192, 192, 3), np.uint8)
    for x, y in np.rint(points[:17]).astype(int):
        crop[y - 1 : y + 2, x - 1 : x + 2] = 255
    hits = []
    for seed in range(60):
        image, marks = augment(crop, np.rint(points), np.random.default_rng(seed))
        inside = marks[:17][((marks[:17] > 2) & (marks[:17] < CROP_SIDE - 3)).all(1)]
        x, y = np.rint(inside).astype(int).T
        hits.append(image[y, x].mean() > image.mean() + 10)
        assert image.shape == (CROP_SIDE, CROP_SIDE, 3) and image.dtype == np.uint8
    assert np.mean(hits) > 0.8


def test_augmentation_is_decided_by_the_seed() -> None:
    crop = np.random.default_rng(0).integers(0, 256, (192, 192, 3), dtype=np.uint8)
    (a, p), (b, q) = (augment(crop, face_points(), np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(a, b) and np.array_equal(p, q)
    assert np.array_equal(*(no_face(crop, face_points(), np.random.default_rng(5)) for _ in range(2)))
