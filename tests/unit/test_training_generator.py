"""Training of the generators: what is drawn, hidden and augmented, that steps learn, and what a run leaves behind."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import pytest
import torch
from photometry_faces import canonical_landmarks
from training_faces import pack
from typer.testing import CliRunner

from fo_faceanon.errors import InputError
from fo_faceanon.faces import apply_affine
from fo_faceanon.landmarks.canonical import canonical_frame
from fo_faceanon.landmarks.drawing import draw_points
from fo_faceanon.networks.discriminator import Discriminator, batch_deviation
from fo_faceanon.networks.files import load_generator, read_card
from fo_faceanon.networks.inpainting import InpaintingGenerator
from fo_faceanon.photometry.skin import forehead_points
from fo_faceanon.training.augment import Augmenter, apply_augmentation
from fo_faceanon.training.batches import HELD_OUT, Sampler
from fo_faceanon.training.checkpoint import EXPORT, export_generator, join_export
from fo_faceanon.training.config import TrainConfig, load_config
from fo_faceanon.training.gan import Trainer, matching_loss
from fo_faceanon.training.growing import grow
from fo_faceanon.training.masks import hidden_region, narrow_context
from fo_faceanon.training.packed import FaceSet, read_faces
from fo_faceanon.training.tasks import create_task
from fo_faceanon.training.train_generator import Limits, Run, start_run

SMALL = ["batch=8", "discriminator_width=8", "discriminator_widest=32", "total_images=800"]
TINY = [*SMALL, "network.width=8", "network.widest=16", "network.noise=4", "network.style=8"]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack(tmp_path_factory.mktemp("packed"), mesh=True)


@pytest.fixture(scope="module")
def faces(shards: Path) -> FaceSet:
    return read_faces(shards)


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def placed(size: int = 64) -> torch.Tensor:
    points = canonical_landmarks(size)
    return apply_affine(canonical_frame(points, size), points)


def test_sets_are_drawn_by_weight_and_held_out_faces_never(faces: FaceSet) -> None:
    sampler = Sampler(faces, {"omi": 1, "ffhq_256": 1}, 0)
    held_out = {tuple(faces.landmarks[i].flatten()[:4].tolist()) for i in sampler.held_out}
    assert len(held_out) == 2 + 1 + 2  # of shards of 80, 40 and 60
    assert HELD_OUT == 50
    share, drawn = 0.0, 2000
    batch = sampler.draw(drawn)
    known = {tuple(p.flatten()[:4].tolist()): int(s) for p, s in zip(faces.landmarks, faces.set_of, strict=True)}
    for points in batch.landmarks:
        key = tuple(points.flatten()[:4].tolist())
        if key in known:  # not mirrored
            assert key not in held_out
            share += known[key] == faces.sets.index("omi")
    assert share / sum(tuple(p.flatten()[:4].tolist()) in known for p in batch.landmarks) == pytest.approx(0.5, abs=0.06)


def test_the_same_faces_are_held_out_whatever_is_read(shards: Path, faces: FaceSet) -> None:
    alone = read_faces(shards, ["omi"])
    for part in (alone, alone.reduced(16)):
        assert part.number[Sampler(part, {}, 0).held_out].tolist() == [0, 50, 0]
    kept = faces.landmarks[Sampler(faces, {}, 0).held_out]
    assert all(bool((kept == points).all(-1).all(-1).any()) for points in alone.landmarks[Sampler(alone, {}, 0).held_out])


def test_a_set_that_is_not_there_or_mesh_that_is_not_there_is_refused(faces: FaceSet) -> None:
    with pytest.raises(InputError, match="no packed faces of nowhere"):
        Sampler(faces, {"nowhere": 1}, 0)
    with pytest.raises(InputError, match="can be drawn"):
        Sampler(faces, {"omi": 0}, 0)
    without = replace(faces, mesh=None)
    with pytest.raises(InputError, match="train mesh"):
        Sampler(without, {}, 0, with_mesh=True)


def test_mirrored_faces_keep_landmarks_on_the_face(faces: FaceSet) -> None:
    rows = torch.arange(4)
    plain = Sampler(faces, {}, 0).take(rows)
    mirrored = Sampler(faces, {}, 0).take(rows, torch.tensor([True, False, True, False]))
    assert torch.equal(mirrored.pictures[0], plain.pictures[0].flip(-1)) and torch.equal(mirrored.pictures[1], plain.pictures[1])
    eyes = mirrored.landmarks[0, 36:48].mean(0).round().long()
    around = mirrored.pictures[0, :, eyes[1] - 1 : eyes[1] + 2, eyes[0] - 1 : eyes[0] + 2]
    assert around.mean(0).min() < -0.3  # the dark pixel between the eyes moved with them
    assert mirrored.landmarks[0, 36:42, 0].mean() < mirrored.landmarks[0, 42:48, 0].mean()


@pytest.mark.parametrize("hull", [True, False])
def test_all_landmarks_are_hidden_and_context_is_not(hull: bool) -> None:
    points = placed().expand(8, -1, -1)
    hidden = hidden_region(points, forehead_points(points, 1.0), 64, TrainConfig(hull=hull), random())
    at = points.round().long()
    assert all(bool((hidden[i, 0, at[i, :, 1], at[i, :, 0]] == 1).all()) for i in range(8))
    assert 0.15 < hidden.mean() < 0.5
    assert hidden[:, :, 0].sum() == hidden[:, :, -1].sum() == hidden[..., 0].sum() == hidden[..., -1].sum() == 0
    assert hidden.flatten(1).sum(1).unique().numel() > 1  # the reach varies


def test_the_box_holds_the_hull() -> None:
    points = placed().expand(4, -1, -1)
    hull, box = (hidden_region(points, forehead_points(points, 1.0), 64, TrainConfig(hull=h), random(3)) for h in (True, False))
    assert bool((box >= hull).all()) and box.sum() > 1.1 * hull.sum()


def test_narrow_context_repeats_edges_and_spares_the_face() -> None:
    points = placed().expand(6, -1, -1)
    pictures = torch.rand(6, 3, 64, 64, generator=random())
    narrow = narrow_context(pictures, points, 1.0, random())
    hidden = (
        hidden_region(points, forehead_points(points, 1.0), 64, TrainConfig(grow=(0.0, 0.0), forehead=(0.0, 0.1)), random())
        .bool()
        .expand_as(pictures)
    )
    assert torch.equal(narrow[hidden], pictures[hidden])
    assert torch.equal(narrow[:, :, 0], narrow[:, :, 1]) and not torch.equal(narrow, pictures)
    assert torch.equal(narrow_context(pictures, points, 0.0, random()), pictures)


def test_without_chance_nothing_is_augmented() -> None:
    x, points = torch.rand(4, 4, 32, 32), torch.rand(4, 5, 2) * 31
    for enabled in (True, False):
        seen, moved = apply_augmentation(x, points, Augmenter(enabled, 0.6, random()).draw(4, 32))
        assert torch.allclose(seen, x, atol=1e-5) and torch.allclose(moved, points, atol=1e-4)


def test_points_move_with_the_picture() -> None:
    augmenter = Augmenter(True, 0.6, random(2))
    augmenter.chance.fill_(1.0)
    points = torch.rand(16, 1, 2, generator=random()) * 20 + 22
    blobs = draw_points(points, 64)
    seen, moved = apply_augmentation(torch.cat([blobs.repeat(1, 3, 1, 1), blobs], 1), points, augmenter.draw(16, 64))
    axis = torch.arange(64.0)
    blob = seen[:, 3]
    mass = blob.sum((1, 2))
    centres = torch.stack([(blob.sum(1) * axis).sum(1) / mass, (blob.sum(2) * axis).sum(1) / mass], -1)
    assert (moved - points).norm(dim=-1).max() > 3
    assert torch.allclose(centres, moved[:, 0], atol=0.3)


def test_augmentation_comes_with_overfitting_and_goes_again() -> None:
    augmenter = Augmenter(True, 0.6, random())
    for _ in range(100):
        augmenter.steer(torch.ones(64))
    most = float(augmenter.chance)
    assert most > 0.02
    for _ in range(50):
        augmenter.steer(-torch.ones(64))
    assert float(augmenter.chance) < most
    off = Augmenter(False, 0.6, random())
    off.steer(torch.ones(64))
    assert float(off.chance) == 0


def test_the_batch_statistic_sees_that_faces_are_alike() -> None:
    assert batch_deviation(torch.randn(1, 4, 4, 4).expand(8, -1, -1, -1)).max() < 1e-3
    assert batch_deviation(torch.randn(8, 4, 4, 4)).min() > 0.5


def test_the_discriminator_hears_the_landmarks() -> None:
    torch.manual_seed(0)
    judge = Discriminator(32, 4, 68, 8, 32)
    x, points = torch.rand(4, 4, 32, 32), torch.rand(4, 68, 2) * 31
    logits, features = judge(x, points)
    assert logits.shape == (4,) and [f.shape[-1] for f in features] == [16, 8, 4]
    assert not torch.allclose(judge(x, points + 4)[0], logits)


def test_matching_is_zero_for_equal_features_and_free_of_their_scale() -> None:
    a, b = [torch.randn(2, 3, 4, 4)], [torch.randn(2, 3, 4, 4)]
    assert matching_loss(a, a) == 0
    assert torch.allclose(matching_loss([a[0] * 100], [b[0] * 100]), matching_loss(a, b))


def trainer(faces: FaceSet, *changes: str) -> tuple[Trainer, Sampler]:
    config = load_config("landmark68", [*TINY, *changes])
    return Trainer(config, 32, CPU, half=False), Sampler(faces, {}, 0)


def test_steps_learn_and_the_average_follows(faces: FaceSet) -> None:
    made, sampler = trainer(faces, "matching=0", "pixel=20", "pixel_end=20", "rate=0.005")
    before = {n: p.detach().clone() for n, p in made.judge.named_parameters()}
    error = []
    for _ in range(40):
        made.sums.zero_()
        made.step(sampler)
        error.append(float(made.sums[3]))
    assert sum(error[-5:]) < 0.75 * sum(error[:5])
    assert all(not torch.equal(p, before[n]) for n, p in made.judge.named_parameters())
    distance = sum((a - g).abs().sum() for a, g in zip(made.average.parameters(), made.generator.parameters(), strict=True))
    assert distance > 0 and all(p.isfinite().all() for p in made.average.parameters())
    assert made.images == 320 and made.steps == 40


@pytest.mark.parametrize("kind", ["landmark68", "sparse7", "mesh478"])
def test_every_method_takes_a_step_with_every_choice(faces: FaceSet, kind: str) -> None:
    changes = [*SMALL, "network.width=8", "network.widest=16"]
    for extra in ([], ["hull=false", "augment=false", "matching=0", "matching_end=0"]):
        config = load_config(kind, changes + extra)
        made = Trainer(config, 32, CPU, half=True)
        made.step(Sampler(faces, {}, 0, with_mesh=kind == "mesh478"))
        assert bool(made.sums.isfinite().all()) and made.sums[0] > 0


def start(shards: Path, out: Path, *changes: str, resume: bool = False) -> Run:
    return start_run(load_config("landmark68", [*TINY, *changes]), shards, out, "cpu", resume)


def test_a_run_leaves_everything_and_goes_on(shards: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    start(shards, out).train(Limits(images=32, log_steps=2))
    assert {p.name for p in out.iterdir()} == {"checkpoint.pt", "losses.csv", "config.json", "generator.00", "sheet-00000032.png"}
    picture = cv2.imread(str(out / "sheet-00000032.png"))
    assert picture is not None and picture.shape[1] == 4 * 4 * 32
    with pytest.raises(InputError, match="--resume"):
        start(shards, out)
    again = start(shards, out, resume=True)
    assert again.trainer.images == 32
    saved = join_export(out)[0]
    assert all(torch.allclose(saved[n].float(), p, atol=2e-3) for n, p in again.trainer.average.state_dict().items())
    again.train(Limits(images=64, log_steps=2))
    with (out / "losses.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["images"]) for row in rows] == [16, 32, 48, 64]
    assert float(rows[3]["seconds"]) > float(rows[1]["seconds"])


def test_a_run_stops_in_time(shards: Path, tmp_path: Path) -> None:
    run = start(shards, tmp_path / "run")
    run.train(Limits(minutes=0.0))
    assert run.trainer.steps == 1 and (tmp_path / "run/checkpoint.pt").exists()


def test_divergence_is_reported_and_the_last_checkpoint_kept(shards: Path, tmp_path: Path) -> None:
    run = start(shards, tmp_path / "run")
    run.train(Limits(images=8))
    whole = (tmp_path / "run/checkpoint.pt").read_bytes()
    with torch.no_grad():
        next(iter(run.trainer.generator.parameters())).fill_(float("nan"))
    run.stopped = False
    with pytest.raises(InputError, match="diverged"):
        run.train(Limits(images=64, log_steps=1))
    assert (tmp_path / "run/checkpoint.pt").read_bytes() == whole
    (tmp_path / "run/checkpoint.pt").write_bytes(whole[:1000])
    with pytest.raises(InputError, match="cannot be read as a checkpoint"):
        start(shards, tmp_path / "run", resume=True)


def test_weights_travel_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fo_faceanon.training.checkpoint._PIECE", 100_000)
    made = Trainer(load_config("landmark68", TINY), 32, CPU, half=False)
    pieces = export_generator(tmp_path, made.average, "inpainting", {"images_seen": 0})
    assert len(pieces) > 1 and all(p.stat().st_size <= 100_000 for p in pieces)
    tensors, header = join_export(tmp_path)
    assert header["config"]["size"] == 32 and set(tensors) == set(made.average.state_dict())
    pieces[-1].unlink()
    with pytest.raises(InputError, match="not hold all pieces"):
        join_export(tmp_path)


def test_the_command_line_brings_weights_in(shards: Path, tmp_path: Path) -> None:
    from fo_faceanon.commands.train import app

    run, out = tmp_path / "run", tmp_path / "landmark68.safetensors"
    changes = [word for change in TINY for word in ("--set", change)]
    arguments = ["landmark68", "--data", str(shards), "--out", str(run), "--images", "16", "--device", "cpu", *changes]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0 and (run / f"{EXPORT}.00").exists() and (run / "losses.png").exists()
    result = CliRunner().invoke(
        app, ["import", str(run), "--out", str(out), "--licence", "none", "--note", "a test"], catch_exceptions=False
    )
    assert result.exit_code == 0
    assert isinstance(load_generator(out), InpaintingGenerator)
    card = read_card(out)
    assert card["sets"] == {"ffhq_256": 60, "omi": 120} and card["images_seen"] == 16 and not card["synthetic_only"]
    assert card["licence"] == "none" and card["notes"] == ["a test"] and card["hardware"].startswith("CPU")


def test_a_run_grows_from_one_at_half_the_size(shards: Path, tmp_path: Path) -> None:
    small = start(shards, tmp_path / "small", "size=16", "discriminator_width=16", "network.width=16")
    small.train(Limits(images=16))
    config = load_config("landmark68", TINY)
    large = start_run(config, shards, tmp_path / "large", "cpu", smaller=tmp_path / "small").trainer
    assert torch.equal(large.generator.up[0].first.weight, small.trainer.generator.up[0].first.weight)
    assert torch.equal(large.generator.down[1].second.conv.weight, small.trainer.generator.down[0].second.conv.weight)
    assert torch.equal(large.judge.blocks[1].first.weight, small.trainer.judge.blocks[0].first.weight)
    assert large.images == 0
    with pytest.raises(InputError, match="twice the width"):
        start_run(load_config("landmark68", [*TINY, "network.widest=64"]), shards, tmp_path / "other", "cpu", smaller=tmp_path / "small")


def test_the_released_networks_can_grow_from_the_halves_that_are_trained_first() -> None:
    script = (Path(__file__).parents[2] / "scripts/gpu_train.sh").read_text()
    changes = re.search(r"echo ((?:--set \S+ ?)+)", script)
    assert changes is not None
    half, whole = load_config("landmark68", changes[1].replace("--set", "").split()), load_config("landmark68")
    with torch.device("meta"):
        for config, size in ((half, 64), (whole, 128)):
            networks = create_task(config, size)[1], Discriminator(size, 4, 68, config.discriminator_width, config.discriminator_widest)
            if size == 64:
                states = [network.state_dict() for network in networks]
            else:
                for network, state in zip(networks, states, strict=True):
                    grow(network, state)


def test_settings_are_checked() -> None:
    assert load_config("sparse7").network == {"points": 7}
    assert load_config("landmark68", ["rate=0.1", "network.gated=false", "hull=false"]).network["gated"] is False
    with pytest.raises(InputError, match="unknown settings learning_rate"):
        load_config("landmark68", ["learning_rate=1"])
    with pytest.raises(InputError, match="NAME=VALUE"):
        load_config("landmark68", ["rate"])
    with pytest.raises(InputError, match="one of landmark68, mesh478, sparse7"):
        load_config("stylegan")


def test_training_needs_nothing_but_torch_and_numpy(shards: Path, tmp_path: Path) -> None:
    absent = ["cv2", "PIL", "safetensors", "skimage", "scipy", "typer", "rich", "fiftyone", "dlib", "kornia", "matplotlib", "torchvision"]
    changes = [word for change in TINY for word in ("--set", change)]
    arguments = ["train", "--data", str(shards), "--out", str(tmp_path / "run"), "--images", "8", "--device", "cpu", *changes]
    code = (
        "import sys, runpy\n"
        f"sys.modules.update(dict.fromkeys({absent!r}))\n"  # importing any of them fails
        f"sys.argv = {arguments!r}\n"
        "runpy.run_module('fo_faceanon.training.train_generator', run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run/generator.00").exists()
