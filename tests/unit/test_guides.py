"""The two recognisers that guide the choice of donors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from recognition_faces import portraits
from safetensors.torch import load_file, save_file
from torch import Tensor

from fo_faceanon.donors.bank import mirror_landmarks
from fo_faceanon.donors.guides import WEIGHTS, Guides, load_guide
from fo_faceanon.errors import WeightsError
from fo_faceanon.networks.guide_net import GuideNet
from fo_faceanon.recognition import create_recogniser, crops_of
from fo_faceanon.training.train_guide import loss_of, save, within


@pytest.fixture(scope="module")
def guides() -> Guides:
    return Guides()


def window(image: np.ndarray, landmarks: np.ndarray) -> tuple[Tensor, Tensor]:
    _, crops, points = next(iter(crops_of([image], [landmarks])))
    return crops, points


def test_the_first_guide_is_dlibs_recogniser(guides: Guides) -> None:
    crops, points = window(portraits()[0].image, portraits()[0].landmarks)
    identity, _ = guides.embed(crops, points)
    torch.testing.assert_close(identity, create_recogniser("dlib").embed(crops, points), atol=1e-5, rtol=0)


def test_both_guides_tell_two_people_apart_and_know_one_in_another_light_and_in_a_mirror(guides: Guides) -> None:
    portrait, other = portraits()[:2]
    crops, points = window(portrait.image, portrait.landmarks)
    width = portrait.image.shape[1]
    mirrored = mirror_landmarks(torch.from_numpy(np.asarray(portrait.landmarks, np.float32))[None], width)[0].numpy()
    turned = window(np.ascontiguousarray(portrait.image[:, ::-1]), mirrored)
    for mine, darker, flipped, stranger in zip(
        guides.embed(crops, points),
        guides.embed(crops * 0.7, points),
        guides.embed(*turned),
        guides.embed(*window(other.image, other.landmarks)),
        strict=True,
    ):
        assert torch.allclose(mine.norm(dim=1), torch.ones(1), atol=1e-5)
        assert float(mine @ stranger.T) + 0.1 < min(float(mine @ darker.T), float(mine @ flipped.T))


def test_a_face_without_landmarks_has_no_vectors_and_harms_no_other(guides: Guides) -> None:
    crops, points = window(portraits()[0].image, portraits()[0].landmarks)
    both = guides.embed(crops.repeat(2, 1, 1, 1), torch.cat([torch.full_like(points, torch.nan), points]))
    for vectors, alone in zip(both, guides.embed(crops, points), strict=True):
        assert bool(vectors[0].isnan().all())
        torch.testing.assert_close(vectors[1:], alone, atol=1e-4, rtol=0)


def test_missing_and_foreign_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"cannot read the guide's weights .*none\.safetensors"):
        load_guide(tmp_path / "none.safetensors")
    tensors = load_file(WEIGHTS)
    tensors.pop("output.weight")
    save_file(tensors, str(tmp_path / "other.safetensors"))
    with pytest.raises(WeightsError, match="does not hold the guide's network"):
        load_guide(tmp_path / "other.safetensors")


def test_weights_come_back_as_they_were_saved(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = GuideNet().eval()
    save(net, tmp_path / "guide.safetensors")
    maps = [torch.rand(2, 64, 17, 17), torch.rand(2, 128, 8, 8), torch.rand(2, 256, 4, 4)]
    torch.testing.assert_close(load_guide(tmp_path / "guide.safetensors")(maps), net(maps), atol=2e-2, rtol=2e-2)


def test_the_network_is_small() -> None:
    assert sum(value.numel() for value in GuideNet().parameters()) < 2_000_000
    assert WEIGHTS.stat().st_size < 4_000_000


def test_the_loss_is_least_where_the_vectors_are_the_teachers() -> None:
    wanted = torch.nn.functional.normalize(torch.randn(12, 128, generator=torch.Generator().manual_seed(0)), dim=1)
    assert float(loss_of(wanted, wanted)) == pytest.approx(0, abs=1e-5)
    assert float(loss_of(wanted.roll(1, 0), wanted)) > 0.5


def test_within_takes_each_groups_mean_away() -> None:
    values = within(torch.tensor([1.0, 3.0, 10.0, 14.0]), torch.tensor([0, 0, 1, 1]))
    assert values.tolist() == [-1.0, 1.0, -2.0, 2.0]
