"""Landmark errors by hand, and angles between head poses against SciPy's rotations."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fo_faceanon.errors import InputError
from fo_faceanon.metrics.geometry import eye_distance, landmark_error, rotation_angle


def points(seed: int, count: int = 68) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).uniform(0, 100, (3, count, 2)).astype(np.float32))


@pytest.mark.parametrize(("count", "right", "left"), [(68, slice(36, 42), slice(42, 48)), (478, [33, 133], [263, 362])])
def test_the_unit_is_the_distance_of_the_eye_centres(count: int, right: slice | list, left: slice | list) -> None:
    marks = points(0, count)
    expected = (marks[:, right].mean(1) - marks[:, left].mean(1)).norm(dim=1)
    assert torch.allclose(eye_distance(marks), expected)
    with pytest.raises(InputError, match="B x 68 x 2"):
        eye_distance(marks[:, :50])


def test_the_error_is_the_mean_absolute_coordinate_difference_and_scale_free() -> None:
    a, b = points(0), points(1)
    unit = eye_distance(b)
    expected = [float((a[i] - b[i]).abs().sum()) / 136 / float(unit[i]) for i in range(3)]
    assert landmark_error(a, b, unit).tolist() == pytest.approx(expected, rel=1e-5)
    assert torch.allclose(landmark_error(a * 7, b * 7, eye_distance(b * 7)), landmark_error(a, b, unit), rtol=1e-4)
    assert landmark_error(b, b, unit).tolist() == [0, 0, 0]
    missing = a.clone()
    missing[1, 5] = torch.nan
    assert landmark_error(missing, b, unit).isnan().tolist() == [False, True, False]
    with pytest.raises(InputError, match="same shape"):
        landmark_error(a[:, :51], b, unit)


def test_angles_are_scipys_whatever_the_scale() -> None:
    rotation = pytest.importorskip("scipy.spatial.transform").Rotation
    a, b = rotation.random(20, rng=0), rotation.random(20, rng=1)
    poses = torch.zeros(20, 4, 4, dtype=torch.float64)
    poses[:, :3, :3] = torch.from_numpy(a.as_matrix()) * 1.7
    expected = np.degrees((a.inv() * b).magnitude())
    assert rotation_angle(poses, torch.from_numpy(b.as_matrix()) * 0.4).numpy() == pytest.approx(expected, abs=1e-6)
    assert rotation_angle(poses, poses).numpy() == pytest.approx(0, abs=1e-6)


def test_small_angles_are_exact() -> None:
    angle = np.radians(1e-4)
    turned = torch.tensor([[[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]], dtype=torch.float64)
    assert float(rotation_angle(turned, torch.eye(3, dtype=torch.float64)[None])) == pytest.approx(1e-4, rel=1e-6)
