"""The generators: what they may see, what they depend on, and their files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from fo_faceanon.errors import InputError, WeightsError
from fo_faceanon.landmarks.drawing import draw_points
from fo_faceanon.networks.files import build_generator, load_generator, read_card, save_generator
from fo_faceanon.networks.inpainting import InpaintingConfig, InpaintingGenerator
from fo_faceanon.networks.layers import ModulatedConv, PointPainter
from fo_faceanon.networks.mesh_generator import MeshConfig, MeshGenerator

SMALL = {"size": 32, "width": 8, "widest": 16, "noise": 4, "style": 8}


def generator(points: int = 68, **changes: object) -> InpaintingGenerator:
    torch.manual_seed(0)
    return InpaintingGenerator(InpaintingConfig(points=points, **{**SMALL, **changes})).eval()  # type: ignore[arg-type]


def inputs(count: int = 2, points: int = 68, seed: int = 1) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    hidden = torch.zeros(count, 1, 32, 32)
    hidden[:, :, 8:24, 10:22] = 1
    picture = torch.rand(count, 3, 32, 32, generator=rng) * 2 - 1
    return picture, hidden, torch.rand(count, points, 2, generator=rng) * 14 + 9, torch.randn(count, 4, generator=rng)


@pytest.mark.parametrize("points", [7, 68])
@pytest.mark.parametrize("gated", [True, False])
def test_it_never_sees_a_hidden_pixel(points: int, gated: bool) -> None:
    picture, hidden, marks, noise = inputs(points=points)
    network = generator(points, gated=gated)
    expected = network(picture, hidden, marks, noise)
    for other in (torch.zeros_like(picture), -picture, torch.full_like(picture, float("nan")), torch.full_like(picture, float("inf"))):
        changed = torch.where(hidden > 0, other, picture)
        assert torch.equal(network(changed, hidden, marks, noise), expected)


def test_known_pixels_pass_unchanged_and_hidden_ones_are_filled() -> None:
    picture, hidden, marks, noise = inputs()
    made = generator()(picture, hidden, marks, noise)
    assert made.shape == picture.shape and made.isfinite().all() and made.abs().max() <= 1
    known = (hidden == 0).expand_as(picture)
    assert torch.equal(made[known], picture[known])
    assert made[~known].std() > 0.01


def test_the_filling_depends_on_context_points_and_noise() -> None:
    picture, hidden, marks, noise = inputs()
    network = generator()
    expected = network(picture, hidden, marks, noise)
    inside = hidden.bool().expand_as(picture)
    for changed in (
        network(-picture, hidden, marks, noise),
        network(picture, hidden, marks + 3, noise),
        network(picture, hidden, marks, -noise),
    ):
        assert (changed - expected)[inside].abs().mean() > 1e-3


def test_a_face_does_not_depend_on_its_neighbours() -> None:
    batch = inputs(3)
    network = generator()
    together = network(*batch)
    for i in range(3):
        alone = network(*(value[i : i + 1] for value in batch))
        assert torch.allclose(alone[0], together[i], atol=1e-5)
    drawings = torch.rand(3, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    mesh = MeshGenerator(MeshConfig(size=32, width=8, widest=16)).eval()
    together = mesh(drawings)
    assert torch.allclose(mesh(drawings[1:2])[0], together[1], atol=1e-5)
    assert together.shape == (3, 3, 32, 32) and together.abs().max() <= 1


def test_unknown_points_are_left_out() -> None:
    picture, hidden, marks, noise = inputs()
    marks[0, 5] = float("nan")
    made = generator()(picture, hidden, marks, noise)
    assert made.isfinite().all()


def test_the_painter_is_a_convolution_of_blobs() -> None:
    painter = PointPainter(5, 3)
    points = torch.rand(2, 5, 2) * 16
    maps = draw_points(points, 16)
    expected = torch.einsum("ck,bkyx->bcyx", painter.colours, maps)
    painted = painter(points, 16)
    assert torch.allclose(painted / painted.std(), expected / expected.std(), atol=1e-4)


def test_demodulation_keeps_the_variance() -> None:
    torch.manual_seed(0)
    layer = ModulatedConv(32, 64, 16)
    made = layer(torch.randn(4, 32, 16, 16), torch.randn(4, 16) * 5)
    assert made[..., 2:-2, 2:-2].std().item() == pytest.approx(1.0, rel=0.15)


def test_modulation_equals_scaled_weights() -> None:
    torch.manual_seed(0)
    layer, x, style = ModulatedConv(4, 6, 8), torch.randn(1, 4, 9, 9), torch.randn(1, 8)
    weight = layer.weight[None] * layer.scale * layer.affine(style)[:, None, :, None, None]
    weight = weight * torch.rsqrt(weight.square().sum((2, 3, 4), keepdim=True) + 1e-8)
    expected = torch.nn.functional.conv2d(x, weight[0], padding=1)
    assert torch.allclose(layer(x, style), expected, atol=1e-5)


def test_generators_fit_their_budget() -> None:
    for network in (InpaintingGenerator(InpaintingConfig()), InpaintingGenerator(InpaintingConfig(points=7)), MeshGenerator(MeshConfig())):
        assert sum(p.numel() for p in network.parameters()) <= 9_000_000


def test_sizes_must_be_powers_of_two() -> None:
    for size in (0, 8, 100):
        with pytest.raises(InputError, match="power of two"):
            InpaintingConfig(size=size)
        with pytest.raises(InputError, match="power of two"):
            MeshConfig(size=size)


def test_a_file_brings_the_network_back(tmp_path: Path) -> None:
    path, network = tmp_path / "landmark68.safetensors", generator()
    save_generator(path, network, {"data": ["omi"], "images_seen": 12})
    assert path.stat().st_size < 2.3 * sum(p.numel() for p in network.parameters()) + 20_000
    again = load_generator(path)
    assert isinstance(again, InpaintingGenerator) and again.config == network.config and not again.training
    assert not any(p.requires_grad for p in again.parameters())
    batch = inputs()
    assert torch.allclose(again(*batch), network(*batch), atol=0.02)
    assert read_card(path) == {"data": ["omi"], "images_seen": 12}
    save_generator(path, MeshGenerator(MeshConfig(size=32, width=8, widest=16)), {})
    assert isinstance(load_generator(path), MeshGenerator)


def test_a_wrong_file_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "landmark68.safetensors"
    with pytest.raises(WeightsError, match=r"landmark68.*cannot be read"):
        load_generator(path)
    save_generator(path, generator(), {})
    whole = path.read_bytes()
    for data in (whole[: len(whole) // 2], whole[:40], b"", b"not a weight file" * 100):
        path.write_bytes(data)
        with pytest.raises(WeightsError, match="cannot be read"):
            load_generator(path)
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(2)}, str(path))
    with pytest.raises(WeightsError, match="lacks card, config, kind"):
        load_generator(path)
    save_file({"x": torch.zeros(2)}, str(path), {"kind": "inpainting", "config": '{"size": 32}', "card": "{}"})
    with pytest.raises(WeightsError, match="does not hold"):
        load_generator(path)


def test_unknown_kinds_and_settings_are_refused() -> None:
    with pytest.raises(WeightsError, match="no generator of kind"):
        build_generator("diffusion", {})
    with pytest.raises(WeightsError, match="cannot have the configuration"):
        build_generator("mesh", {"points": 68})
