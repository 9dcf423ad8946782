"""The methods that draw faces, with small untrained generators: what they see, where they paste, and what they refuse."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from photometry_faces import canonical_landmarks
from torch import Tensor

from fo_faceanon import Anonymizer, list_methods
from fo_faceanon.anonymizers.base import replacement_alpha
from fo_faceanon.anonymizers.generator import hide, place
from fo_faceanon.anonymizers.inpainting import Landmark68, Sparse7
from fo_faceanon.errors import InputError, WeightsError
from fo_faceanon.faces import CropBatch, Face, apply_affine, warp_affine
from fo_faceanon.landmarks import mesh478
from fo_faceanon.landmarks.canonical import canonical_frame
from fo_faceanon.networks.files import save_generator
from fo_faceanon.networks.inpainting import InpaintingConfig, InpaintingGenerator
from fo_faceanon.networks.mesh_generator import MeshConfig, MeshGenerator
from fo_faceanon.weights import find_weight
from fo_faceanon.weights.generators import GENERATORS, own_generator
from fo_faceanon.windows import window_of

SIDE = 160


def inpainting(points: int) -> InpaintingGenerator:
    torch.manual_seed(points)
    return InpaintingGenerator(InpaintingConfig(size=32, points=points, width=4, widest=16, noise=8, style=8))


@pytest.fixture
def weights(tmp_path: Path) -> dict[str, str]:
    torch.manual_seed(1)
    networks = {"landmark68": inpainting(68), "sparse7": inpainting(7), "mesh478": MeshGenerator(MeshConfig(size=32, width=4, widest=16))}
    for name, network in networks.items():
        save_generator(tmp_path / f"{name}.safetensors", network, {"licence": "none"})
    return {name: str(tmp_path / f"{name}.safetensors") for name in networks}


def batch_of(*seeds: int, turn: float = 0.0) -> CropBatch:
    generator = torch.Generator().manual_seed(7)
    coarse = torch.rand(len(seeds), 3, 20, 20, generator=generator)
    pixels = torch.nn.functional.interpolate(coarse, size=(SIDE, SIDE), mode="bilinear", align_corners=False)
    landmarks = (canonical_landmarks(SIDE) - SIDE / 2) * 0.75
    linear = torch.tensor([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]], dtype=torch.float32)
    landmarks = (landmarks @ linear.T + SIDE / 2).expand(len(seeds), -1, -1).contiguous()
    boxes = torch.cat([landmarks.amin(1), landmarks.amax(1)], 1)
    return CropBatch(pixels, landmarks, boxes, list(seeds), [None] * len(seeds))


def crops(method: Landmark68, batch: CropBatch) -> Tensor:
    with torch.inference_mode():
        return method.draw(batch, replacement_alpha(batch), canonical_frame(batch.landmarks, 32))


@pytest.mark.parametrize("method", [Landmark68, Sparse7])
@pytest.mark.parametrize("turn", [0.0, 0.5])
def test_the_generator_never_sees_a_pixel_that_is_replaced(method: type[Landmark68], turn: float, weights: dict[str, str]) -> None:
    made = method(weights=weights[method.name])
    batch = batch_of(3, 4, turn=turn)
    covered = replacement_alpha(batch) > 0
    other = replace(batch, pixels=torch.where(covered, 1 - batch.pixels, batch.pixels))
    assert torch.equal(crops(made, batch), crops(made, other))
    around = replace(batch, pixels=torch.where(covered, batch.pixels, 1 - batch.pixels))
    assert not torch.equal(crops(made, batch), crops(made, around))


def test_all_that_is_replaced_is_hidden() -> None:
    batch = batch_of(1, turn=0.4)
    alpha = replacement_alpha(batch)
    frame = canonical_frame(batch.landmarks, 32)
    picture, hidden = hide(replace(batch, pixels=torch.ones_like(batch.pixels)), alpha, frame, 32)
    assert picture[:, :1][hidden == 0].min() > 1 - 1e-5  # not one crop pixel that is called known has a share of a covered one
    assert 0.1 < float(hidden.mean()) < 0.6
    drawn = place(hidden.expand(-1, 3, -1, -1), frame, SIDE)[:, :1]
    assert float(drawn[alpha > 0].min()) > 0.4


def test_a_crop_comes_back_to_where_it_was() -> None:
    axis = torch.arange(SIDE, dtype=torch.float32)
    ramp = torch.stack([axis.expand(SIDE, SIDE), axis[:, None].expand(SIDE, SIDE), torch.zeros(SIDE, SIDE)])[None] / SIDE
    landmarks = batch_of(0, turn=0.3).landmarks
    for size in (32, 256):
        frame = canonical_frame(landmarks, size)
        back = place(warp_affine(ramp, frame, size), frame, SIDE)
        inside = slice(50, 110)
        assert (back - ramp)[..., inside, inside].abs().max() < 0.5 / SIDE


@pytest.mark.parametrize("name", GENERATORS)
def test_a_result_is_repeatable_alone_and_in_a_batch(name: str, weights: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fo_faceanon.anonymizers.mesh.Mesh478", _FakeMesh)
    method = _load(name)(weights=weights[name])
    together = method(batch_of(5, 6), None, [set(), set()])
    assert together.pixels.shape == (2, 3, SIDE, SIDE) and together.problems == [None, None]
    assert float(together.pixels.min()) >= 0 and float(together.pixels.max()) <= 1 and method.model_sha256
    batch = batch_of(5, 6)
    alone = method(CropBatch(batch.pixels[1:], batch.landmarks[1:], batch.boxes[1:], [6], [None]), None, [set()])
    assert torch.allclose(alone.pixels[0], together.pixels[1], atol=1e-5)


def _load(name: str) -> Callable[..., Any]:
    return next(m for m in list_methods() if m.name == name).load()


class _FakeMesh:
    """Stands for the face landmarker: points of its own, sure of the first face only when told so."""

    presence = 1.0

    def __init__(self, device: str) -> None: ...

    def mark_windows(self, windows: Tensor, landmarks: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        points = landmarks.repeat(1, 8, 1)[:, :478]
        return torch.cat([points, points[..., :1]], -1), torch.full((len(windows),), self.presence), torch.zeros(len(windows), 52)


def test_noise_follows_the_seed_and_in_the_consistent_mode_the_person(weights: dict[str, str]) -> None:
    method = Landmark68(weights=weights["landmark68"])
    batch = batch_of(5, 5)
    batch.pixels[1] = batch.pixels[0]
    one, same = crops(method, batch)
    assert torch.allclose(one, same, atol=1e-6)
    other = crops(method, replace(batch, seeds=[6, 5]))
    assert not torch.allclose(other[0], one, atol=1e-3)
    person = crops(method, replace(batch, seeds=[6, 7], persons=["ab" * 32, "ab" * 32]))
    assert torch.allclose(person[0], person[1], atol=1e-6)


def test_mesh478_is_told_points_only_and_says_where_there_are_none(weights: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fo_faceanon.anonymizers.mesh.Mesh478", _FakeMesh)
    method = _load("mesh478")(weights=weights["mesh478"], light="none", colour_strength=0)
    batch = batch_of(1)
    made = method(batch, None, [set()]).pixels
    other = method(replace(batch, pixels=batch.pixels * 0.5), None, [set()]).pixels
    assert torch.allclose(made, other, atol=0.15)  # grain is all that the picture decides
    monkeypatch.setattr(_FakeMesh, "presence", mesh478.PRESENCE - 0.1)
    assert method(batch, None, [set()]).problems == ["no face mesh found"]


@pytest.mark.parametrize("name", GENERATORS)
def test_without_weights_it_refuses_before_the_first_image_and_says_how_to_train_them(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEANON_WEIGHTS", str(tmp_path / "none"))
    monkeypatch.setattr("fo_faceanon.weights.generators.find_weight", lambda name: None)
    with pytest.raises(WeightsError, match=f"fo-faceanon train {name}"):
        Anonymizer(name, device="cpu")
    (info,) = (m for m in list_methods() if m.name == name)
    assert name in info.missing and f"fo-faceanon train {name}" in info.summary


def test_own_weights_are_found_and_wrong_ones_are_named(weights: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEANON_WEIGHTS", str(tmp_path))
    own_generator("sparse7").parent.mkdir()
    Path(weights["sparse7"]).rename(own_generator("sparse7"))
    assert Sparse7().network.config.points == 7
    with pytest.raises(WeightsError, match=r"is for 7 points, but method 'landmark68' gives 68"):
        Landmark68(weights=str(own_generator("sparse7")))
    with pytest.raises(WeightsError, match=r"holds a MeshGenerator, but method 'landmark68' needs a InpaintingGenerator"):
        Landmark68(weights=weights["mesh478"])
    with pytest.raises(InputError, match="bandwidth"):
        Landmark68(weights=weights["landmark68"], bandwidth=7)


def test_end_to_end_the_face_changes_and_nothing_else(weights: dict[str, str]) -> None:
    from skimage.data import astronaut

    photograph, face = astronaut(), Face((170.0, 60.0, 280.0, 200.0))
    anonymizer = Anonymizer("landmark68", device="cpu", detector="mtcnn", weights=weights["landmark68"], light="none")
    result = anonymizer([photograph], [[face]])[0]
    assert result.error is None and (result.pixels[~result.mask] == photograph[~result.mask]).all()
    assert result.faces[0].method == "landmark68" and result.faces[0].model_sha256
    again = anonymizer([photograph[:, ::-1].copy(), photograph], [[Face((232.0, 60.0, 342.0, 200.0))], [face]])[1]
    assert (again.pixels == result.pixels).all()


@pytest.mark.skipif(find_weight("face-landmarker") is None, reason="fo-faceanon weights get face-landmarker")
def test_mesh478_end_to_end(weights: dict[str, str]) -> None:
    from skimage.data import astronaut

    photograph = astronaut()
    anonymizer = Anonymizer("mesh478", device="cpu", detector="mtcnn", weights=weights["mesh478"], light="none")
    result = anonymizer([photograph], [[Face((170.0, 60.0, 280.0, 200.0))]])[0]
    assert result.error is None and (result.pixels[~result.mask] == photograph[~result.mask]).all()
    assert result.faces[0].method == "mesh478" and result.faces[0].action == "generated"


def test_a_failing_generator_falls_back_to_ksame(weights: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    from skimage.data import astronaut

    anonymizer = Anonymizer("landmark68", device="cpu", detector="mtcnn", weights=weights["landmark68"], light="lowpass")

    def fail(*_: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(Landmark68, "draw", fail)
    result = anonymizer([astronaut()], [[Face((170.0, 60.0, 280.0, 200.0))]])[0]
    assert result.error is None and result.faces[0].method == "ksame" and "broken" in (result.faces[0].reason or "")


def test_the_window_holds_all_of_the_canonical_crop() -> None:
    points = (canonical_landmarks(100)[0] + 300).numpy()
    face = Face((300.0, 300.0, 400.0, 400.0), landmarks=points)
    window = window_of(face, surroundings=True)
    frame = canonical_frame(torch.from_numpy(points)[None], 64)
    low = apply_affine(frame, torch.tensor([[window.origin]], dtype=torch.float32))[0, 0]
    high = apply_affine(frame, torch.tensor([[window.origin]], dtype=torch.float32) + window.side - 1)[0, 0]
    assert low.max() <= 0 and high.min() >= 63
    assert window.side > window_of(face).side
