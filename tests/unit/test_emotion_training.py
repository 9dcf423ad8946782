"""How the emotion network is taught: crops, random changes, Keras teachers, soft labels, and a short run that can go on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from fo_faceanon.errors import InputError, WeightsError
from fo_faceanon.faces import estimate_similarity, warp_affine
from fo_faceanon.networks.emotion import CROP_SIDE, EMOTIONS, STEADY, EmotionCNN
from fo_faceanon.training import emotion_labels, train_emotion
from fo_faceanon.training.emotion_augment import augment, cut, plain
from fo_faceanon.training.emotion_data import MAGNIFY, MARGIN, STORED, stored_template
from fo_faceanon.training.emotion_labels import Regression, evidence, soft_labels
from fo_faceanon.training.emotion_teachers import KerasNetwork, luma, squares
from fo_faceanon.training.train_emotion import Faces, Run, agreement, draw_weights, squared_error


@pytest.fixture
def template() -> torch.Tensor:
    angle = torch.linspace(0, 2 * torch.pi, 69)[:68]
    return torch.stack([32 + 20 * angle.cos(), 33 + 24 * angle.sin()], 1)


def test_training_crop_is_the_judged_crop(template: torch.Tensor) -> None:
    rng = torch.Generator().manual_seed(0)
    picture = F.interpolate(torch.rand(1, 3, 20, 20, generator=rng), size=(200, 200), mode="bicubic").clamp(0, 1)
    points = template * 1.7 + torch.tensor([20.0, 12.0])
    net = EmotionCNN()
    net.template.copy_(template)
    steady = list(STEADY)
    stored = warp_affine(picture, estimate_similarity(points[None, steady], stored_template(template)[steady]), STORED)
    grey = luma((stored * 255).round().byte().float() / 255)
    assert (plain((grey * 255).round().byte()) - luma(net.align(picture, points[None]))).abs().mean() < 0.01


def test_cut_moves_as_it_says() -> None:
    stored = torch.zeros(1, 1, STORED, STORED, dtype=torch.uint8)
    stored[0, :, 45:48, 78:81] = 255  # stored (79, 46): right of the centre and above it
    none = torch.zeros(1, dtype=torch.bool)

    def peak(**change: torch.Tensor) -> np.ndarray:
        values = {"scale": torch.ones(1, 2), "angle": torch.zeros(1), "shift": torch.zeros(1, 2), "mirror": none} | change
        weight = cut(stored, **values)[0, 0].numpy()
        y, x = np.mgrid[:CROP_SIDE, :CROP_SIDE]
        return np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum() - (CROP_SIDE - 1) / 2

    right, down = (79 + 0.5 - MARGIN) / MAGNIFY - CROP_SIDE / 2, (46 + 0.5 - MARGIN) / MAGNIFY - CROP_SIDE / 2
    assert np.allclose(peak(), (right, down), atol=0.15)
    assert np.allclose(peak(angle=torch.tensor([np.pi / 2])), (-down, right), atol=0.15)  # clockwise: above goes right
    assert np.allclose(peak(shift=torch.tensor([[3.0, -2.0]])), (right + 3, down - 2), atol=0.15)
    assert np.allclose(peak(mirror=~none), (-right, down), atol=0.15)
    assert np.allclose(peak(scale=torch.tensor([[1.5, 1.0]])), (1.5 * right, down), atol=0.3)


def test_augmentation_is_random_but_repeatable() -> None:
    stored = torch.randint(0, 256, (16, 1, STORED, STORED), dtype=torch.uint8)
    one, mirrored = augment(stored, torch.Generator().manual_seed(1))
    again, _ = augment(stored, torch.Generator().manual_seed(1))
    other, _ = augment(stored, torch.Generator().manual_seed(2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert one.shape == (16, 1, CROP_SIDE, CROP_SIDE)
    assert one.isfinite().all()
    assert 0 < mirrored.sum() < 16


def _keras_file(path: Path, layers: list[dict[str, Any]], weights: dict[str, dict[str, np.ndarray]]) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": {"layers": layers}})
        for name, arrays in weights.items():
            for key, array in arrays.items():
                file[f"model_weights/{name}/{name}/{key}:0"] = array
        file.require_group("model_weights")


def test_keras_layers_compute_what_keras_says(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    kernel, dense = rng.normal(size=(3, 3, 1, 4)).astype("f4"), rng.normal(size=(16, 7)).astype("f4")
    convolution = {"name": "c", "kernel_size": [3, 3], "strides": [2, 2], "padding": "same", "activation": "relu"}
    layers = [
        {"class_name": "Conv2D", "config": convolution},
        {"class_name": "Flatten", "config": {"name": "f"}},
        {"class_name": "Dense", "config": {"name": "d", "activation": "softmax"}},
    ]
    weights = {"c": {"kernel": kernel, "bias": np.ones(4, "f4")}, "d": {"kernel": dense, "bias": np.zeros(7, "f4")}}
    _keras_file(tmp_path / "net.h5", layers, weights)
    x = torch.from_numpy(rng.normal(size=(2, 1, 4, 4)).astype("f4"))
    padded = F.pad(x, (0, 1, 0, 1)).numpy()  # TensorFlow pads an even side at its end
    expected = np.zeros((2, 2, 2, 4))
    for i in range(2):
        for j in range(2):
            expected[:, i, j] = np.einsum("bchw,hwcf->bf", padded[:, :, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3], kernel) + 1
    logits = torch.from_numpy(np.maximum(expected, 0).reshape(2, 16).astype("f4") @ dense)
    assert torch.allclose(KerasNetwork(tmp_path / "net.h5")(x), logits.softmax(1), atol=1e-5)


def test_unknown_keras_files_are_refused(tmp_path: Path) -> None:
    _keras_file(tmp_path / "odd.h5", [{"class_name": "LSTM", "config": {"name": "l"}}], {})
    with pytest.raises(WeightsError, match="LSTM"):
        KerasNetwork(tmp_path / "odd.h5")(torch.zeros(1, 1, 4, 4))


def test_squares_frame_the_face(template: torch.Tensor) -> None:
    grid = torch.stack(torch.meshgrid(torch.arange(128.0), torch.arange(128.0), indexing="xy"))[None]
    points = template[None] + 30
    found = squares(grid, points, 1.2, 32)
    low, high = points.amin(1)[0], points.amax(1)[0]
    extent = (high - low).max()
    centre = (low + high) / 2 - torch.tensor([0.0, 0.1]) * extent
    assert torch.allclose(found.mean((0, 2, 3)), centre, atol=0.6)
    assert found[0, 0, 0, -1] - found[0, 0, 0, 0] == pytest.approx(float(extent * 1.058 * 1.2) * 31 / 32, rel=0.02)


def _columns(truth: torch.Tensor, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Teachers that see the truth dimly and say neutral far too often."""
    base = np.eye(7)[truth.numpy()] * 2 + np.eye(7)[0] * 3 + rng.normal(size=(len(truth), 7)) * 0.5
    probabilities = np.exp(base) / np.exp(base).sum(1, keepdims=True)
    return {"face_api": probabilities.astype("f4"), "fer": probabilities.astype("f4")}


def test_regression_undoes_the_teachers_bias() -> None:
    rng = np.random.default_rng(0)
    truth = torch.from_numpy(rng.integers(0, 7, 700))
    columns = _columns(truth, rng)
    features = evidence(columns, blendshapes=False)
    biased = torch.from_numpy(columns["face_api"]).argmax(1)
    mended = Regression(features[:350], truth[:350])(features[350:])
    assert torch.allclose(mended.sum(1), torch.ones(350), atol=1e-5)
    assert (mended.argmax(1) == truth[350:]).float().mean() > (biased[350:] == truth[350:]).float().mean() + 0.2


def test_soft_labels_hide_what_only_tests() -> None:
    rng = np.random.default_rng(1)
    truth = torch.from_numpy(rng.integers(0, 7, 300))
    columns = _columns(truth, rng)
    wrong = (truth + 1) % 7
    held_out = torch.arange(300) >= 200
    eyes = torch.where(held_out, wrong, truth)  # wrong where they only test: using them would show
    labels = soft_labels({"s": columns}, {"s": eyes}, {"s": held_out})["s"]
    assert torch.allclose(labels.sum(1), torch.ones(300), atol=1e-4)
    assert (labels[:200].argmax(1) == truth[:200]).all()
    assert (labels[200:].argmax(1) == truth[200:]).float().mean() > 0.7


def test_missing_teachers_are_named() -> None:
    with pytest.raises(InputError, match="fer"):
        evidence({"face_api": np.ones((2, 7), "f4")}, blendshapes=False)


def test_labels_by_eye_are_of_known_emotions() -> None:
    listed = json.loads(emotion_labels.BY_EYE.read_text())
    for emotions in listed.values():
        assert set(emotions) <= set(EMOTIONS)
        files = [name for names in emotions.values() for name in names]
        assert len(files) == len(set(files))  # nobody has two emotions


def test_rare_emotions_are_drawn_as_often() -> None:
    labels = F.one_hot(torch.tensor([0] * 80 + [1] * 80 + [2] * 20 + [3] * 20 + [4] * 15 + [5] * 15 + [6] * 20), 7).float()
    weights = draw_weights(labels, torch.full((250,), -1))
    drawn = (labels * weights[:, None]).sum(0)
    assert torch.allclose(drawn / drawn.sum(), train_emotion.DRAWN, atol=0.01)


def test_unknown_blendshapes_count_nothing() -> None:
    wanted = torch.full((3, 52), torch.nan)
    assert squared_error(torch.ones(3, 52), wanted, torch.ones(52)) == 0
    wanted[1] = 0.0
    assert squared_error(torch.full((3, 52), 2.0), wanted, torch.full((52,), 4.0)) == pytest.approx(0.25)


def test_agreement_by_class() -> None:
    found = F.one_hot(torch.tensor([0, 0, 1, 1]), 7).float()
    figures = agreement(found, torch.tensor([0, 0, 0, 1]))
    assert figures["accuracy"] == 0.75
    assert figures["balanced"] == pytest.approx((2 / 3 + 1) / 2, abs=1e-3)


def test_a_run_learns_and_goes_on_where_it_stopped(tmp_path: Path, template: torch.Tensor) -> None:
    torch.set_num_threads(1)
    stored = torch.zeros(40, 1, STORED, STORED, dtype=torch.uint8)
    stored[:20, :, 30:60] = 200
    stored[20:, :, 80:100] = 200
    classes = torch.tensor([0] * 20 + [1] * 20)
    labels = F.one_hot(classes, 7).float()
    shapes, said, eyes = torch.full((40, 52), torch.nan), torch.randn(40, 14), torch.full((40,), -1)
    faces = Faces(stored, labels, shapes, said, eyes, torch.arange(40) % 10 == 9, ["s"], torch.zeros(40).long())
    whole = Run(faces, template, steps=8, batch=8)
    first = [whole.step() for _ in range(4)]
    torch.save(whole.state(), tmp_path / "state.pt")
    rest = [whole.step() for _ in range(4)]
    later = Run(faces, template, steps=8, batch=8)
    later.resume(tmp_path / "state.pt")
    torch.manual_seed(0)
    assert later.done == 4
    assert np.isfinite([*first, *rest, *[later.step() for _ in range(4)]]).all()
    assert later.done == 8
    train_emotion.save(whole.network(), tmp_path / "net.safetensors")
    from fo_faceanon.emotion import EmotionClassifier

    found = EmotionClassifier(weights=tmp_path / "net.safetensors").probabilities(torch.rand(2, 3, 64, 64), template.expand(2, -1, -1))
    assert found.isfinite().all()
