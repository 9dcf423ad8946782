"""dlib's descriptor network and chips in torch, against dlib itself on the real photographs that packages carry."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from recognition_faces import Portrait, portraits

from fo_faceanon.errors import WeightsError
from fo_faceanon.networks.dlib_resnet import DlibResNet, load_dlib_resnet, read_dlib_layers
from fo_faceanon.recognition import crops_of
from fo_faceanon.recognition.align import dlib_chips
from fo_faceanon.weights import require_weight

dlib = pytest.importorskip("dlib")


@pytest.fixture(scope="module")
def weights() -> Path:
    return require_weight("dlib-recognition", "dlib_face_recognition_resnet_model_v1.dat")


@pytest.fixture(scope="module")
def network(weights: Path) -> DlibResNet:
    return load_dlib_resnet(weights)


@pytest.fixture(scope="module")
def reference(weights: Path):
    return dlib.face_recognition_model_v1(str(weights))


@pytest.fixture(scope="module", params=range(2), ids=["astronaut", "hopper"])
def portrait(request: pytest.FixtureRequest) -> Portrait:
    return portraits()[request.param]


def chip_by_dlib(portrait: Portrait) -> np.ndarray:
    points = dlib.points([dlib.point(int(x), int(y)) for x, y in portrait.landmarks])
    height, width = portrait.image.shape[:2]
    shape = dlib.full_object_detection(dlib.rectangle(0, 0, width, height), points)
    return dlib.get_face_chip(portrait.image, shape, size=150, padding=0.25)


def test_descriptor_equals_dlib(network: DlibResNet, reference, portrait: Portrait) -> None:
    chip = chip_by_dlib(portrait)
    ours = network(torch.from_numpy(chip).permute(2, 0, 1)[None] / 255)[0].numpy()
    np.testing.assert_allclose(ours, np.array(reference.compute_face_descriptor(chip)), atol=1e-4)


def test_descriptor_is_independent_of_the_batch(network: DlibResNet) -> None:
    chips = torch.rand(5, 3, 150, 150, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(network(chips)[3:4], network(chips[3:4]), atol=1e-5, rtol=0)


def test_chips_match_dlib(network: DlibResNet, reference, portrait: Portrait) -> None:
    chip = chip_by_dlib(portrait)
    ((_, crops, points),) = crops_of([portrait.image], [portrait.landmarks])
    ours = dlib_chips(crops, points)
    assert np.abs(ours[0].permute(1, 2, 0).numpy() * 255 - chip).mean() < 4  # antialiasing differs where a face is reduced
    a, b = network(ours)[0].numpy(), np.array(reference.compute_face_descriptor(chip))
    assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) > 0.999


def test_gradient_reaches_the_pixels(network: DlibResNet) -> None:
    chips = torch.rand(1, 3, 150, 150, requires_grad=True)
    network(chips).square().sum().backward()
    assert chips.grad is not None and chips.grad.abs().sum() > 0


@pytest.mark.parametrize("keep", [0, 20, 300, 400, 20_000, 5_000_000, 22_400_000])
def test_truncated_file_is_refused(weights: Path, tmp_path: Path, keep: int) -> None:
    path = tmp_path / "cut.dat"
    path.write_bytes(weights.read_bytes()[:keep])
    with pytest.raises(WeightsError, match=r"cut\.dat.*fetch the file again"):
        load_dlib_resnet(path)


def test_unknown_layer_is_refused(weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.dat"
    path.write_bytes(weights.read_bytes().replace(b"max_pool_2", b"min_pool_2", 1))
    with pytest.raises(WeightsError, match="min_pool_2"):
        read_dlib_layers(path)
