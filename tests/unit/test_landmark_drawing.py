"""Landmarks as pictures, their mirrors, and the canonical frame."""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from photometry_faces import canonical_landmarks

from fo_faceanon.errors import InputError
from fo_faceanon.faces import apply_affine
from fo_faceanon.landmarks.canonical import FACE_FRACTION, FOREHEAD_HEIGHT, canonical_frame
from fo_faceanon.landmarks.drawing import MIRROR_7, MIRROR_68, MIRROR_478, draw_mesh, draw_points, mirror_points, sparse7
from fo_faceanon.photometry.skin import forehead_points


def moved(points: torch.Tensor, angle: float, scale: float, shift: tuple[float, float]) -> torch.Tensor:
    turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return points @ (scale * turn).T + torch.tensor(shift)


@pytest.mark.parametrize("size", [64, 128, 256])
def test_the_face_fills_the_middle_of_the_canonical_crop(size: int) -> None:
    face = canonical_landmarks(200)
    placed = apply_affine(canonical_frame(face, size), torch.cat([face, forehead_points(face, FOREHEAD_HEIGHT)], 1))
    low, high = placed.amin(1), placed.amax(1)
    assert torch.allclose((high - low).amax(-1), torch.tensor([FACE_FRACTION * size]), atol=1e-3)
    assert torch.allclose((low + high) / 2, torch.full((1, 2), (size - 1) / 2), atol=1e-3)


def test_the_frame_undoes_rotation_scale_and_shift() -> None:
    face = canonical_landmarks(200)
    expected = apply_affine(canonical_frame(face, 128), face)
    for angle, scale, shift in ((0.6, 1.0, (0.0, 0.0)), (-2.5, 0.1, (40.0, -20.0)), (math.pi, 7.0, (900.0, 300.0))):
        other = moved(face, angle, scale, shift)
        assert torch.allclose(apply_affine(canonical_frame(other, 128), other), expected, atol=0.02)


def test_the_frame_never_reflects() -> None:
    frame = canonical_frame(torch.cat([canonical_landmarks(200), mirror_points(canonical_landmarks(200), 200)]), 128)
    assert (torch.linalg.det(frame[:, :, :2]) > 0).all()


@pytest.mark.parametrize("points", [torch.zeros(2, 68, 2), torch.full((2, 68, 2), 50.0), torch.full((2, 68, 2), float("nan"))])
def test_landmarks_without_extent_give_a_bounded_frame(points: torch.Tensor) -> None:
    frame = canonical_frame(points, 128)
    assert frame.isfinite().all()
    assert frame[:, :, :2].abs().max() <= 128


def test_the_frame_of_something_else_is_refused() -> None:
    with pytest.raises(InputError, match="68 x 2"):
        canonical_frame(torch.zeros(1, 7, 2), 128)


def test_a_blob_lies_on_its_point() -> None:
    maps = draw_points(torch.tensor([[[10.0, 20.0], [3.25, 4.75]]]), 32)
    assert maps.shape == (1, 2, 32, 32)
    assert maps[0, 0, 20, 10] == 1.0
    axis = torch.arange(32.0)
    mass = maps[0, 1].sum()
    assert (maps[0, 1].sum(0) * axis).sum() / mass == pytest.approx(3.25, abs=0.01)
    assert (maps[0, 1].sum(1) * axis).sum() / mass == pytest.approx(4.75, abs=0.01)


def test_unknown_and_distant_points_draw_nothing() -> None:
    nan = float("nan")
    maps = draw_points(torch.tensor([[[nan, 5.0], [5.0, nan], [1e9, 5.0], [-1e9, -1e9]]]), 16)
    assert torch.equal(maps, torch.zeros(1, 4, 16, 16))
    assert torch.equal(draw_mesh(torch.tensor([[[nan, 5.0], [1e9, 5.0]]]), 16), torch.zeros(1, 1, 16, 16))


@pytest.mark.parametrize("size", [128, 256, 512])
def test_mesh_dots_keep_their_size_on_the_face(size: int) -> None:
    centre = torch.tensor([[[0.3, 0.6]]]) * size - 0.5
    drawing = draw_mesh(centre, size)
    assert drawing.shape == (1, 1, size, size)
    assert drawing.min() >= 0 and drawing.max() <= 1
    radius = max(1.5 * size / 512, 0.75)
    assert drawing.sum() == pytest.approx(math.pi * radius**2, rel=0.35)


def test_mesh_dots_that_touch_do_not_add_up() -> None:
    assert draw_mesh(torch.full((1, 478, 2), 8.0), 16).max() == 1.0


@pytest.mark.parametrize("order", [MIRROR_7, MIRROR_68, MIRROR_478])
def test_mirroring_twice_changes_nothing(order: tuple[int, ...]) -> None:
    assert sorted(order) == list(range(len(order)))
    assert all(order[order[i]] == i for i in range(len(order)))


def test_mirroring_swaps_left_and_right() -> None:
    assert {MIRROR_68[i] for i in range(36, 42)} == set(range(42, 48))  # eyes
    assert {MIRROR_68[i] for i in range(17, 22)} == set(range(22, 27))  # brows
    assert [MIRROR_68[i] for i in (8, 27, 30, 33, 51, 57, 62, 66)] == [8, 27, 30, 33, 51, 57, 62, 66]  # the middle line
    assert MIRROR_478[33] == 263 and MIRROR_478[133] == 362  # outer and inner corners of the eyes
    assert MIRROR_478[468] == 473 and MIRROR_478[61] == 291  # irises, corners of the mouth
    assert [MIRROR_478[i] for i in (1, 10, 152)] == [1, 10, 152]  # nose, forehead, chin


def test_a_mirrored_face_is_a_face() -> None:
    face = canonical_landmarks(200)
    mirrored = mirror_points(face, 200)
    assert torch.allclose(mirror_points(mirrored, 200), face, atol=1e-4)
    assert mirrored[0, 36:42, 0].mean() < mirrored[0, 42:48, 0].mean()  # the subject's right eye stays at the picture's left
    assert torch.allclose(mirror_points(sparse7(face), 200), sparse7(mirrored), atol=1e-4)
    with pytest.raises(InputError, match="7, 68 or 478"):
        mirror_points(face[:, :5], 200)


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Numbers and raw contents of the fields of a protobuf message."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at, value, shift = at + 1, value | (byte & 127) << shift, shift + 7
            if byte < 128:
                return value

    while at < len(data):
        key = varint()
        if key & 7 == 0:
            varint()
            continue
        length = {1: 8, 5: 4}.get(key & 7) or varint()
        yield key >> 3, data[at : at + length]
        at += length


def test_the_mesh_mirror_is_the_canonical_mesh_reflected() -> None:
    task = Path(os.environ.get("FACEANON_WEIGHTS", "")) / "face-landmarker" / "face_landmarker.task"
    if not task.is_file():
        pytest.skip("needs face_landmarker.task below FACEANON_WEIGHTS")
    with zipfile.ZipFile(task) as archive:
        metadata = archive.read("geometry_pipeline_metadata_landmarks.binarypb")
    mesh = max((value for _, value in _fields(metadata)), key=len)
    values = np.frombuffer(b"".join(value for number, value in _fields(mesh) if number == 3), "<f4")
    vertices = values.reshape(468, 5)[:, :3]
    assert np.allclose(vertices * [-1, 1, 1], vertices[list(MIRROR_478[:468])])
