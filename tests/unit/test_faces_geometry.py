import numpy as np
import pytest
import torch

from fo_faceanon.donors.bank import MIRROR, mirror_landmarks
from fo_faceanon.donors.shape import blend_shapes
from fo_faceanon.donors.warp import spline_positions, warp_donors
from fo_faceanon.errors import InputError
from fo_faceanon.faces import CROP_SIDES, Face, apply_affine, box_iou, estimate_similarity, invert_affine, warp_affine
from fo_faceanon.windows import cut_windows, paste_window, window_of


@pytest.fixture
def random() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def grin(side: float = 100.0) -> torch.Tensor:
    """68 points in general position, face-like in extent."""
    return torch.rand(1, 68, 2, generator=torch.Generator().manual_seed(7)) * side + side / 2


def test_similarity_recovers_a_known_transform(random: torch.Generator) -> None:
    points = torch.rand(4, 68, 2, generator=random) * 200
    angle, scale, shift = 0.4, 1.7, torch.tensor([12.0, -40.0])
    linear = scale * torch.tensor([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], dtype=torch.float32)
    matrix = estimate_similarity(points, points @ linear.T + shift)
    assert torch.allclose(matrix[:, :, :2], linear.expand(4, 2, 2), atol=1e-4)
    assert torch.allclose(matrix[:, :, 2], shift.expand(4, 2), atol=1e-2)
    assert torch.allclose(apply_affine(invert_affine(matrix), apply_affine(matrix, points)), points, atol=1e-2)


def test_similarity_of_coincident_points_is_finite() -> None:
    assert torch.isfinite(estimate_similarity(torch.ones(1, 68, 2), grin())).all()


def test_warp_affine_shrinks_without_aliasing_and_whatever_the_batch(random: torch.Generator) -> None:
    stripes = (torch.arange(256) % 2).float().expand(1, 3, 256, 256)
    shrink = torch.tensor([[[0.125, 0.0, -0.4375], [0.0, 0.125, -0.4375]]])
    assert (warp_affine(stripes, shrink, 32) - 0.5).abs().max() < 0.02
    images = torch.rand(3, 3, 256, 256, generator=random)
    matrices = torch.cat([shrink, shrink * 2, shrink * 8])
    together = warp_affine(images, matrices, 32)
    alone = torch.cat([warp_affine(images[i : i + 1], matrices[i : i + 1], 32) for i in range(3)])
    assert torch.equal(together, alone)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ((0, 0, 2, 2), (0, 0, 2, 2), 1.0),
        ((0, 0, 2, 2), (1, 0, 3, 2), 1 / 3),
        ((0, 0, 1, 1), (5, 5, 6, 6), 0.0),
        ((0, 0, 0, 0), (0, 0, 0, 0), 0.0),
    ],
)
def test_box_iou(a: tuple[float, ...], b: tuple[float, ...], expected: float) -> None:
    assert box_iou(a, b) == pytest.approx(expected)


def test_a_face_refuses_nonsense() -> None:
    with pytest.raises(InputError, match="four finite numbers"):
        Face((0, 0, float("nan"), 1))
    with pytest.raises(InputError, match=r"\(68, 2\)"):
        Face((0, 0, 1, 1), landmarks=np.zeros((5, 2), np.float32))


def test_mirroring_twice_is_the_identity_and_swaps_left_and_right() -> None:
    points = grin()
    assert torch.allclose(mirror_landmarks(mirror_landmarks(points)), points, atol=1e-4)
    assert MIRROR[36] == 45 and MIRROR[0] == 16 and MIRROR[48] == 54 and MIRROR[8] == 8
    assert sorted(MIRROR) == list(range(68))


def test_the_spline_goes_through_the_landmarks() -> None:
    shape, donor = grin(), grin() * 0.8 + 3 + 4 * torch.sin(grin() / 17)
    positions = spline_positions(shape, donor, 200)
    at = shape[0].round().long()
    assert (positions[0, at[:, 1], at[:, 0]] - donor[0]).norm(dim=-1).median() < 2.5


def test_equal_landmarks_warp_to_the_same_picture(random: torch.Generator) -> None:
    picture = torch.nn.functional.interpolate(torch.rand(1, 3, 16, 16, generator=random), size=200, mode="bicubic").clamp(0, 1)
    warped = warp_donors(picture, grin(), grin(), 200)
    assert (warped - picture)[..., 20:-20, 20:-20].abs().max() < 0.02


@pytest.mark.parametrize("kind", ["coincident", "collinear", "huge"])
def test_degenerate_landmarks_neither_hang_nor_overflow(kind: str) -> None:
    shape = {"coincident": torch.full((1, 68, 2), 50.0), "collinear": grin() * torch.tensor([1.0, 0.0]), "huge": grin() * 1e4}[kind]
    assert torch.isfinite(warp_donors(torch.rand(1, 3, 256, 256), grin(), shape, 64)).all()


def test_shape_dial_is_monotone() -> None:
    target, donor = grin(), grin() + torch.randn(1, 68, 2, generator=torch.Generator().manual_seed(1)) * 5
    moved = [float((blend_shapes(target, donor, a) - target).norm()) for a in (0, 0.25, 0.5, 1)]
    assert moved[0] == 0 and moved == sorted(moved)


@pytest.mark.parametrize("box", [(10, 10, 60, 70), (-30, -20, 25, 40), (380, 280, 500, 390), (0, 0, 400, 300), (-2000, -2000, 4000, 4000)])
def test_pasting_changes_only_what_alpha_covers(box: tuple[float, ...]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    face = Face(box)  # type: ignore[arg-type]
    window = window_of(face)
    assert window.size in CROP_SIDES and window.side >= window.size
    batch = cut_windows([image], [face], [window], [1], [None], "cpu")
    assert batch.pixels.shape == (1, 3, window.size, window.size)
    alpha = torch.zeros(1, window.size, window.size)
    alpha[:, window.size // 4 : -window.size // 4, window.size // 4 : -window.size // 4] = 1
    canvas, changed = image.copy(), np.zeros((300, 400), bool)
    paste_window(canvas, changed, window, torch.full((3, window.size, window.size), 0.5), alpha)
    assert (canvas[~changed] == image[~changed]).all()
    assert changed.any() and (np.abs(canvas[changed].astype(int) - 128) <= 1).mean() > 0.9


def test_a_window_pasted_back_unchanged_is_the_image() -> None:
    image = np.random.default_rng(1).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    face = Face((30, 20, 80, 70))
    window = window_of(face)
    batch = cut_windows([image], [face], [window], [1], [None], "cpu")
    canvas = image.copy()
    paste_window(canvas, np.zeros((90, 120), bool), window, batch.pixels[0], torch.ones(1, window.size, window.size))
    assert (canvas == image).all()
