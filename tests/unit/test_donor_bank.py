from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from skimage import data

from fo_faceanon.donors.bank import DonorBank, write_bank
from fo_faceanon.donors.build import encode_picture
from fo_faceanon.donors.choose import spread, voted, without_duplicates
from fo_faceanon.donors.consensus import Consensus
from fo_faceanon.donors.describe import Description, FaceDescriber, frame_matrix, light_grid, mirror_order, normalised_shape
from fo_faceanon.donors.select import FINALIST_MARGIN, MAX_COST, DonorIndex, SelectionWeights
from fo_faceanon.donors.steer import Steering
from fo_faceanon.donors.wanted import wanted_features
from fo_faceanon.errors import InputError, WeightsError
from fo_faceanon.faces import apply_affine

WIDTHS = {"shape": 136, "expression": 20, "pose": 3, "light": 108, "skin": 3, "identity": 128, "resemblance": 128}


def description(count: int, seed: int) -> Description:
    generator = torch.Generator().manual_seed(seed)
    values = {}
    for field in fields(Description):
        width = WIDTHS.get(field.name)
        values[field.name] = torch.rand(*((count, width) if width else (count,)), generator=generator)
    values["age"] = values["age"] * 60
    for guide in ("identity", "resemblance"):
        values[guide] = torch.nn.functional.normalize(torch.randn(count, 128, generator=generator), dim=1)
    return Description(**values)


@pytest.fixture
def bank(tmp_path: Path) -> DonorBank:
    smooth = np.linspace(0, 255, 256).astype(np.uint8)
    pictures = [
        np.stack([np.tile(smooth, (256, 1)), np.full((256, 256), 20 * i, np.uint8), np.tile(smooth[:, None], (1, 256))], -1)
        for i in range(10)
    ]
    landmarks = torch.rand(10, 68, 2, generator=torch.Generator().manual_seed(0)) * 200 + 20
    order = torch.tensor([1, 0, *range(2, 20)])
    write_bank(tmp_path / "bank", [encode_picture(p) for p in pictures], landmarks, description(10, 1), order, {"donors": 10})
    return DonorBank(tmp_path / "bank")


def test_a_bank_comes_back_as_it_was_written(bank: DonorBank) -> None:
    assert len(bank) == 20 and bank.card == {"donors": 10}
    assert torch.allclose(bank.description.age[::2], description(10, 1).age, atol=0.05)
    picture = bank.picture(6)
    assert picture.shape == (3, 256, 256) and abs(float(picture[1].mean()) * 255 - 60) < 4
    assert torch.equal(bank.picture(7), picture.flip(-1))


def test_odd_rows_describe_the_mirrored_picture(bank: DonorBank) -> None:
    there, mirrored = bank.description[::2], bank.description[1::2]
    for same in ("age", "identity", "resemblance"):
        assert torch.equal(getattr(mirrored, same), getattr(there, same))
    assert torch.equal(mirrored.pose, there.pose * torch.tensor([-1.0, 1.0, -1.0]))
    assert torch.equal(mirrored.expression[:, 0], there.expression[:, 1]) and torch.equal(mirrored.expression[:, 2], there.expression[:, 2])
    assert torch.equal(mirrored.light.reshape(-1, 6), there.light.reshape(-1, 6).flip(1))
    assert torch.allclose(mirrored.shape, normalised_shape(bank.landmarks[1::2]))


def test_blendshapes_change_sides_in_a_mirror() -> None:
    assert mirror_order(["jawOpen", "mouthSmileRight", "mouthSmileLeft", "browDownLeft"]).tolist() == [0, 2, 1, 3]


def test_a_missing_bank_says_how_to_build_one(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="fo-faceanon bank build"):
        DonorBank(tmp_path)


def test_a_bank_of_an_earlier_version_says_what_it_lacks_and_how_to_build_another(bank: DonorBank) -> None:
    tensors = load_file(str(bank.index_path))
    del tensors["resemblance"]
    save_file(tensors, str(bank.index_path))
    with pytest.raises(WeightsError, match=r"earlier version, which did not describe resemblance: .*fo-faceanon bank build"):
        DonorBank(bank.folder)


def test_a_damaged_picture_is_named(bank: DonorBank, tmp_path: Path) -> None:
    (tmp_path / "bank" / "pictures.bin").write_bytes(b"\0" * (tmp_path / "bank" / "pictures.bin").stat().st_size)
    with pytest.raises(WeightsError, match=r"donor 3 .* damaged"):
        DonorBank(tmp_path / "bank").picture(6)


def test_cost_is_the_weighted_distance_and_likes_a_donor_itself(bank: DonorBank) -> None:
    index = DonorIndex(bank)
    query = bank.description[torch.tensor([4, 9])]
    query.occluded = torch.ones(2)
    cost = index.costs(query)
    assert cost.shape == (2, 20)
    assert cost.argmin(1).tolist() == [4, 9]
    assert cost.min(1).values.abs().max() < 0.05


def test_a_pick_is_repeatable_varies_with_the_seed_and_never_takes_what_is_excluded(bank: DonorBank) -> None:
    queries = description(30, 5)
    index = DonorIndex(bank, SelectionWeights(shape=0.01))  # so that several donors are almost equally near
    picks = [index.pick(queries, [seed] * 30)[0] for seed in range(6)]
    assert all((index.pick(queries, [seed] * 30)[0] == pick).all() for seed, pick in enumerate(picks))
    assert len({tuple(pick.flatten().tolist()) for pick in picks}) > 1
    first = picks[0].flatten().tolist()
    again = index.pick(queries, [0] * 30, exclude=[{row} for row in first])[0].flatten().tolist()
    assert all(a // 2 != b // 2 for a, b in zip(again, first, strict=True))


def test_a_seed_never_chooses_a_donor_that_is_much_worse_than_the_best(bank: DonorBank) -> None:
    index, query = DonorIndex(bank, SelectionWeights(identity=0)), bank.description[torch.tensor([6])]
    query.occluded = torch.ones(1)
    index._norms[6] -= 2 * FINALIST_MARGIN
    assert {int(index.pick(query, [seed])[0]) for seed in range(12)} == {6}


@pytest.mark.parametrize("guide", ["identity", "resemblance"])
def test_either_guide_moves_the_pick_away_from_the_original(guide: str, bank: DonorBank) -> None:
    index, query = DonorIndex(bank, SelectionWeights(male=0, age=0)), description(1, 5)  # those are read from identity too
    likely = int(index.pick(query, [0])[0])
    setattr(query, guide, getattr(bank.description, guide)[likely : likely + 1])
    assert int(index.pick(query, [0])[0]) != likely


def test_a_person_gets_the_same_donor_whatever_the_seed(bank: DonorBank) -> None:
    index, query = DonorIndex(bank), description(1, 5)
    assert len({int(index.pick(query, [seed], persons=["someone"])[0]) for seed in range(5)}) == 1


def test_spread_keeps_outliers_and_without_duplicates_drops_twins() -> None:
    features = torch.cat([torch.zeros(50, 2), torch.tensor([[100.0, 0.0], [0.0, 100.0]])])
    assert {50, 51} <= set(spread(features, 6, typical=0.3).tolist())
    assert spread(features, 99).tolist() == list(range(52))
    identity = torch.nn.functional.normalize(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.01]]), dim=1)
    assert without_duplicates(identity, 0.99).tolist() == [0, 1]


def test_steering_reaches_rare_values() -> None:
    random = np.random.default_rng(0)
    latents = random.standard_normal((400, 512))
    measured = latents[:, :3] @ random.standard_normal((3, 2)) + 0.1 * random.standard_normal((400, 2))
    steering = Steering(latents, measured)
    fresh = random.standard_normal((200, 512))
    reached = steering.steer(fresh, seed=1)[:, :3]
    assert reached.std(0).mean() > fresh[:, :3].std(0).mean() * 1.1


def test_shape_is_free_of_position_scale_and_roll() -> None:
    points = torch.rand(1, 68, 2, generator=torch.Generator().manual_seed(2)) * 100
    angle = 0.5
    linear = 1.7 * torch.tensor([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], dtype=torch.float32)
    assert torch.allclose(normalised_shape(points), normalised_shape(points @ linear.T + 30), atol=1e-4)


def test_light_is_read_in_the_frame_of_the_face() -> None:
    landmarks = torch.rand(1, 68, 2, generator=torch.Generator().manual_seed(2)) * 80 + 60
    landmarks[:, 36:42] = torch.tensor([85.0, 90.0])
    landmarks[:, 42:48] = torch.tensor([125.0, 90.0])
    bright = torch.full((1, 3, 200, 200), 0.2)
    bright[..., 105:] = 0.8
    grid, _ = light_grid(bright, landmarks)
    lightness = grid.view(1, 3, 6, 6)[0, 0]
    assert lightness[2:4, 4:].mean() > lightness[2:4, :2].mean() + 30
    centre = apply_affine(frame_matrix(landmarks, 48), landmarks).mean(1)
    assert torch.allclose(centre, torch.tensor([[24.0, 24.96]]), atol=0.1)


def test_every_wanted_face_has_its_vote() -> None:
    crowd, loner = torch.rand(50, 2, generator=torch.Generator().manual_seed(1)), torch.tensor([[9.0, 9.0]])
    rows = torch.cat([crowd, loner])
    wanted = torch.cat([crowd[:6], loner - 0.5])
    chosen = voted(rows, wanted, 7)
    assert chosen.tolist() == [0, 1, 2, 3, 4, 5, 50]
    assert len(voted(rows, wanted, 20)) == 20 and len(voted(rows, wanted, 90)) == 51


def test_wanted_features_are_read_from_photographs_and_their_absence_is_said(tmp_path: Path) -> None:
    describer = FaceDescriber()
    Image.fromarray(data.astronaut()).save(tmp_path / "a.png")
    Image.fromarray(np.full((200, 200, 3), 90, np.uint8)).save(tmp_path / "empty.png")
    (tmp_path / "notes.txt").write_text("no picture")
    features = wanted_features(tmp_path, describer, lambda *_: None)
    assert features.shape[0] == 1 and bool(features.isfinite().all())
    (tmp_path / "a.png").unlink()
    with pytest.raises(InputError, match="no face was found in the 2 pictures"):
        wanted_features(tmp_path, describer, lambda *_: None)


def test_sex_and_age_are_the_mean_of_two_views(bank: DonorBank) -> None:
    known = description(400, 3)
    known.male = (known.identity[:, 0] > 0).float()  # identity tells the sex
    known.age = torch.full((400,), 30.0)
    mistaken = known[:50]
    mistaken.male = 1 - mistaken.male
    agreed = Consensus(known)(mistaken)
    assert ((agreed.male - 0.5).abs() < 0.35).float().mean() > 0.9  # in doubt
    assert torch.allclose(agreed.age, torch.full((50,), 30.0), atol=1.0)
    assert ((Consensus(known)(known).male > 0.5) == (known.male > 0.5)).all()


def test_identity_never_asks_for_a_donor_that_is_too_unlike_where_another_is_not(bank: DonorBank) -> None:
    index, query = DonorIndex(bank, SelectionWeights(identity=1e6)), bank.description[torch.tensor([6])]
    query.occluded = torch.ones(1)
    cost = index.costs(query)[0]
    near = int((cost < MAX_COST).sum())
    assert 0 < near < 20
    assert float(cost[int(index.pick(query, [0])[0])]) < MAX_COST
