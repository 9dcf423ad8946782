"""Attacks that learn: the parrot finds what was implanted and nothing else, the inversion undoes what can be undone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fo_faceanon.attacks.controls import light_alone, shape_vectors, solid_fill
from fo_faceanon.attacks.frames import FRAME
from fo_faceanon.attacks.inversion import fit_filter, restore_by_folds, train_inversion
from fo_faceanon.attacks.parrot import parrot_searches, plain_searches, too_few, train_parrot
from fo_faceanon.attacks.rates import summarise
from fo_faceanon.judging.faces import JudgedFace


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def leaking(leak: float, people: int = 60, photos: int = 3, dim: int = 32) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Anonymized vectors that hold the person in a rotated, and so unrecognisable, way."""
    rng = np.random.default_rng(0)
    persons = np.repeat(rng.normal(size=(people, dim)), photos, 0)
    rotation = np.linalg.qr(rng.normal(size=(dim, dim)))[0]
    before = unit(persons + 0.6 * rng.normal(size=persons.shape))
    after = unit(leak * persons @ rotation + 0.6 * rng.normal(size=persons.shape))
    return before, after, [f"p{i}" for i in range(people) for _ in range(photos)]


def test_the_parrot_finds_an_implanted_leak_that_the_recogniser_does_not_see() -> None:
    before, after, people = leaking(0.8)
    plain = summarise(plain_searches(before, after, people))["rank1"]
    learnt = summarise(parrot_searches(before, after, people)[0])["rank1"]
    assert plain.value is not None and plain.value < 0.12 and learnt.n == 180
    assert learnt.low is not None and plain.high is not None and learnt.low > 0.5 > plain.high


def test_the_parrot_finds_nothing_in_noise() -> None:
    before, after, people = leaking(0.0)
    searches, parrots = parrot_searches(before, after, people)
    rate = summarise(searches)["rank1"]
    assert rate.low is not None and rate.high is not None and rate.chance is not None and rate.low < rate.chance < rate.high
    assert all(parrot.auc < 0.75 for parrot in parrots)


def test_the_parrot_repeats_itself_and_passes_missing_vectors_on() -> None:
    before, after, people = leaking(0.5, people=20)
    one, two = train_parrot(before, after, people), train_parrot(before, after, people)
    gone = after.copy()
    gone[3] = np.nan
    assert np.array_equal(one.anonymized(after), two.anonymized(after))
    assert np.isnan(one.anonymized(gone)[3]).all() and np.allclose(one.anonymized(gone)[4], one.anonymized(after)[4])
    searches, _ = parrot_searches(before, gone, people)
    assert summarise(searches)["rank1"].n == 60


def test_too_few_people_to_learn_from() -> None:
    _, _, people = leaking(0, people=39)
    assert "39 people" in (too_few(people) or "") and too_few(leaking(0, people=40)[2]) is None
    assert too_few([f"p{i}" for i in range(500)])


def smooth_pictures(count: int = 48, size: int = 32) -> np.ndarray:
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.random((count, 3, size // 2, size // 2), np.float32))
    fine = torch.nn.functional.interpolate(coarse, size=(size, size), mode="bicubic", align_corners=False).clamp(0, 1)
    return (fine * 255).round().to(torch.uint8).numpy()


def blurred(pictures: np.ndarray) -> np.ndarray:
    kernel = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    weights = torch.outer(kernel, kernel)[None, None].expand(3, 1, 5, 5)
    padded = torch.nn.functional.pad(torch.from_numpy(pictures).float(), (2,) * 4, mode="reflect")
    return torch.nn.functional.conv2d(padded, weights, groups=3).round().to(torch.uint8).numpy()


def test_inversion_undoes_what_can_be_undone() -> None:
    originals = smooth_pictures()
    people = [f"p{i}" for i in range(48)]
    brighter = np.clip(originals.astype(int) // 2 + 60, 0, 255).astype(np.uint8)
    for changed, left in ((brighter, 0.15), (blurred(originals), 0.5)):
        restored, reached = restore_by_folds(changed, originals, people, budget=2.0)
        assert len(reached) == 2 and all(part["error_after"] < left * part["error_before"] for part in reached)
        assert np.abs(restored.astype(int) - originals).mean() < left * np.abs(changed.astype(int) - originals).mean()


def test_inversion_restores_nothing_where_nothing_is_left() -> None:
    originals = smooth_pictures()
    filled = np.full_like(originals, 127)
    _, reached = restore_by_folds(filled, originals, [f"p{i}" for i in range(48)], budget=1.0)
    assert all(part["error_after"] > 0.8 * part["error_before"] for part in reached)


def test_inversion_leaves_alone_what_was_not_changed() -> None:
    originals = smooth_pictures()
    half = originals.copy()
    half[..., 16:] = blurred(originals)[..., 16:]
    linear = fit_filter(half, originals, "cpu")
    assert linear.share[0, :, :8].max() < 0.3 and linear.share[0, :, 24:].min() > 0.5
    restored = linear(torch.from_numpy(half).float() / 255) * 255
    assert (restored - torch.from_numpy(originals)).abs().mean() < np.abs(half.astype(int) - originals).mean()


def test_inversion_repeats_itself_where_steps_end_it() -> None:
    originals = smooth_pictures(8)
    one, two = (train_inversion(blurred(originals), originals, budget=60, steps=3).restore(originals) for _ in range(2))
    assert np.array_equal(one, two)


def face_points(x: float, y: float, size: float) -> np.ndarray:
    """A rough frontal face: what masks need."""
    points = np.zeros((68, 2), np.float32)
    angle = np.linspace(np.pi, 0, 17)
    points[:17] = np.stack([np.cos(angle), np.sin(angle)], 1) * (1.0, 1.1)
    points[17:27] = np.stack([np.linspace(-0.8, 0.8, 10), np.full(10, -0.35)], 1)
    points[27:36] = np.stack([np.linspace(-0.1, 0.1, 9), np.linspace(-0.1, 0.35, 9)], 1)
    points[36:42], points[42:48] = (-0.45, -0.1), (0.45, -0.1)
    points[48:] = np.stack([np.linspace(-0.4, 0.4, 20), np.full(20, 0.6)], 1)
    return points * size + (x, y)


def test_the_fill_leaves_no_pixel_of_the_face_and_all_others() -> None:
    image = np.random.default_rng(0).integers(0, 255, (160, 200, 3), np.uint8)
    faces = [JudgedFace((40, 30, 100, 120), 1.0, face_points(70, 80, 30)), JudgedFace((-20, 0, 10, 30), 1.0, face_points(2, 20, 12))]
    filled = solid_fill(image, faces)
    inside = (filled != image).any(-1)
    assert inside[80, 70] and inside[60, 70] and inside[20, 2] and not inside[:, 130:].any() and not inside[140:].any()
    assert len(np.unique(filled[70:100, 60:80].reshape(-1, 3), axis=0)) == 1
    outside = JudgedFace((900, 900, 950, 950), 1.0, face_points(925, 925, 20))
    assert np.array_equal(solid_fill(image, [outside]), image)


def test_shapes_know_neither_place_nor_size_nor_tilt() -> None:
    rng = np.random.default_rng(0)
    base = np.stack([face_points(0, 0, 1) + 0.05 * rng.normal(size=(68, 2)) for _ in range(6)]).astype(np.float32)
    turn = np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    moved = (base @ turn.T * 37 + (200, -15)).astype(np.float32)
    vectors = shape_vectors(np.concatenate([base, moved, np.full((1, 68, 2), np.nan, np.float32)]))
    assert np.isnan(vectors[12]).all() and np.allclose((vectors[:6] * vectors[6:12]).sum(1), 1, atol=1e-3)
    assert ((vectors[:6] @ vectors[6:12].T).argmax(1) == np.arange(6)).all()


def test_light_alone_holds_the_light_and_no_detail() -> None:
    rng = np.random.default_rng(0)
    frames = rng.integers(90, 110, (4, 3, FRAME, FRAME)).astype(np.uint8)
    frames[1, :, :, : FRAME // 2] += 100  # lit from the left
    landmarks = np.repeat(face_points(72, 72, 40)[None], 4, 0)
    pictures, points = light_alone(frames, landmarks)
    left, right = (pictures[1][:, 50:100, a:b].mean() for a, b in ((40, 60), (84, 104)))
    assert points.shape == (68, 2) and left > right + 20
    detail = [np.abs(np.diff(p.astype(int), axis=2)).mean() for p in (frames[0] - frames.mean(0), pictures[0] - pictures.mean(0))]
    assert detail[1] < 0.5 * detail[0]


@pytest.mark.parametrize("count", [0])
def test_no_faces_no_shapes(count: int) -> None:
    assert shape_vectors(np.zeros((count, 68, 2), np.float32)).shape == (0, 136)
