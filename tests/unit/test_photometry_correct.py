"""The correction that anonymizers call: dials, invariances, dark and empty input, seams, and a real photograph."""

import math
from itertools import pairwise

import pytest
import skimage
import torch
from photometry_faces import canonical_landmarks
from torch.nn import functional as F

from fo_faceanon.errors import InputError
from fo_faceanon.metrics.colour import colour_metrics
from fo_faceanon.photometry import correct as module
from fo_faceanon.photometry.color import rgb_to_ycbcr
from fo_faceanon.photometry.colour_transfer import chroma_statistics, colour_transform
from fo_faceanon.photometry.correct import LIGHTS, Photometry, correct
from fo_faceanon.photometry.skin import face_masks, face_size, feather

SIDE = 160
EVERY = [Photometry(light=light) for light in LIGHTS] + [Photometry(pyramid=1.0), Photometry(bandwidth=0.08, light_colour=0.0)]


def smooth_noise(seed: int, side: int = SIDE, batch: int = 1, grain: float = 0.1) -> torch.Tensor:
    """Random blobs with fine grain: something with light, colour and detail."""
    generator = torch.Generator().manual_seed(seed)
    blobs = F.interpolate(torch.rand(batch, 3, 5, 5, generator=generator), (side, side), mode="bicubic", align_corners=False)
    return (0.2 + 0.5 * blobs + grain * torch.rand(batch, 3, side, side, generator=generator)).clamp(0, 1)


def scene(side: int = SIDE) -> dict[str, torch.Tensor]:
    points = canonical_landmarks(side)
    masks = face_masks(points, side, side)
    base = {"generated": smooth_noise(1, side), "original": smooth_noise(2, side)}
    return {**base, "mask": masks.hull, "skin": masks.skin, "face_size": face_size(points), "landmarks": points}


def skin_difference(result: torch.Tensor, data: dict[str, torch.Tensor]) -> float:
    return float(colour_metrics(result, data["original"], data["skin"])["tone_delta_e"])


def chroma_difference(result: torch.Tensor, data: dict[str, torch.Tensor]) -> float:
    """Of the mean chroma of the skin."""
    means = [chroma_statistics(image, data["skin"])[0] for image in (result, data["original"])]
    return float((means[0] - means[1]).norm())


@pytest.mark.parametrize("settings", EVERY, ids=lambda s: f"{s.light}-{s.pyramid:g}-{s.light_colour:g}")
def test_every_setting_brings_skin_closer_and_returns_an_image(settings):
    data = scene()
    result = correct(**data, settings=settings)
    assert result.shape == data["generated"].shape and result.isfinite().all() and result.min() >= 0 and result.max() <= 1
    difference = chroma_difference if settings.light == "none" else skin_difference
    assert difference(result, data) < 0.7 * difference(data["generated"], data)


def test_zero_strength_returns_the_generated_pixels():
    data = scene()
    for off in (Photometry(light_strength=0, colour_strength=0), Photometry(light="none", colour_strength=0)):
        assert torch.equal(correct(**data, settings=off), data["generated"])


@pytest.mark.parametrize("dial", ["light_strength", "colour_strength"])
def test_strength_is_a_monotone_dial(dial):
    data = scene()
    other = {"colour_strength": 0.0} if dial == "light_strength" else {"light": "none"}
    results = [correct(**data, settings=Photometry(**{dial: s}, **other)) for s in (0.0, 0.25, 0.5, 0.75, 1.0)]  # type: ignore[arg-type]
    moved = [float((r - data["generated"]).abs().mean()) for r in results]
    assert all(a < b for a, b in pairwise(moved))
    difference = skin_difference if dial == "light_strength" else chroma_difference
    left = [difference(r, data) for r in results]
    assert all(a > b for a, b in pairwise(left))


@pytest.mark.parametrize("light", ["lowpass", "intrinsic"])
def test_a_finer_bandwidth_hands_over_more_of_the_originals_shading(light):
    data = scene()
    skin = data["skin"]

    def left(bandwidth: float) -> float:
        result = correct(**data, settings=Photometry(light=light, bandwidth=bandwidth, colour_strength=0))
        return float(((result - data["original"]).mean(1, keepdim=True).square() * skin).sum() / skin.sum())

    values = [left(b) for b in (0.5, 0.3, 0.12)]
    assert all(a > b for a, b in pairwise(values))


@pytest.mark.parametrize("settings", EVERY, ids=lambda s: f"{s.light}-{s.pyramid:g}-{s.light_colour:g}")
def test_an_equal_image_is_left_alone(settings):
    data = scene()
    data["generated"] = data["original"]
    assert (correct(**data, settings=settings) - data["original"]).abs().max() < 0.5 / 255


@pytest.mark.parametrize("settings", EVERY, ids=lambda s: f"{s.light}-{s.pyramid:g}-{s.light_colour:g}")
def test_what_lies_outside_the_mask_never_matters(settings):
    data = scene()
    outside = data["mask"] == 0
    before = correct(**data, settings=settings)
    data["original"] = torch.where(outside, smooth_noise(9).flip(1), data["original"])
    data["generated"] = torch.where(outside, torch.zeros(1), data["generated"])
    after = correct(**data, settings=settings)
    inside = (data["mask"] == 1).expand_as(after)
    assert (before - after).abs()[inside].max() < 0.5 / 255


@pytest.mark.parametrize(
    ("settings", "mean", "most"),
    [
        (Photometry(), 0.3, 3.0),
        (Photometry(bandwidth=0.1), 0.7, 8.0),  # most at the edges of eyes and mouth, which are spared some of the colour
        (Photometry(pyramid=1.0, pyramid_cut=0.1), 0.3, 3.0),
        (Photometry(light="harmonics"), 0.5, 5.0),
    ],
    ids=["lowpass", "fine", "pyramid", "harmonics"],
)
def test_the_small_grid_agrees_with_the_full_one(monkeypatch, settings, mean, most):
    data = {**scene(320), "generated": smooth_noise(1, 320, grain=0.03), "original": smooth_noise(2, 320, grain=0.03)}
    small = correct(**data, settings=settings)
    monkeypatch.setattr(module, "GRID", 320)
    full = correct(**data, settings=settings)
    difference = (small - full).abs()[(data["mask"] == 1).expand_as(full)] * 255
    assert difference.mean() < mean and difference.max() < most


def test_faces_of_a_batch_do_not_touch_each_other():
    one, two = scene(), scene()
    two["generated"], two["original"] = two["original"], 0.3 * two["generated"]
    both = {name: torch.cat([one[name], two[name]]) for name in one}
    for settings in EVERY:
        result = correct(**both, settings=settings)
        torch.testing.assert_close(result[:1], correct(**one, settings=settings), atol=1e-4, rtol=0)
        torch.testing.assert_close(result[1:], correct(**two, settings=settings), atol=1e-4, rtol=0)


@pytest.mark.parametrize("settings", EVERY, ids=lambda s: f"{s.light}-{s.pyramid:g}-{s.light_colour:g}")
def test_dark_grey_and_empty_input_stays_finite(settings):
    data = scene()
    black, grey, white = (torch.full_like(data["generated"], v) for v in (0.0, 0.5, 1.0))
    for generated in (black, grey, white, data["generated"]):
        for original in (black, grey, white):
            result = correct(**{**data, "generated": generated, "original": original}, settings=settings)
            assert result.isfinite().all() and result.min() >= 0 and result.max() <= 1
            # light is neither invented nor taken away beyond the limit: a flat face stays flat
            if generated is grey:
                assert (result - result.mean((2, 3), keepdim=True)).abs()[data["mask"].expand_as(result) == 1].max() < 1 / 255
    empty = {**data, "mask": 0 * data["mask"], "skin": 0 * data["skin"]}
    torch.testing.assert_close(correct(**empty, settings=settings), data["generated"], atol=1e-5, rtol=0)
    unknown = {**data, "landmarks": data["landmarks"] * math.nan, "face_size": data["face_size"] * math.nan}
    assert correct(**unknown, settings=settings).isfinite().all()


def test_chroma_statistics_of_skin_are_matched_and_luma_and_black_are_kept():
    generated, original, weights = smooth_noise(3), smooth_noise(4).flip(1), torch.ones(1, 1, SIDE, SIDE)
    spared = torch.zeros_like(weights)
    result = colour_transform(generated, original, weights).apply(generated, spared)
    matched, wanted, before = (torch.cat(chroma_statistics(x, weights)) for x in (result, original, generated))
    assert (matched - wanted).norm() < 0.25 * (before - wanted).norm()  # not all: dark pixels are moved less
    torch.testing.assert_close(rgb_to_ycbcr(result)[:, :1], rgb_to_ycbcr(generated)[:, :1], atol=1e-5, rtol=0)
    generated[..., :8, :] = 0
    assert colour_transform(generated, original, weights).apply(generated, spared)[..., :8, :].abs().max() == 0
    torch.testing.assert_close(colour_transform(generated, original, weights).apply(generated, spared + 1), generated)


def test_a_chroma_gain_is_bounded_where_the_generated_skin_has_no_spread():
    generated, original, weights = torch.full((1, 3, SIDE, SIDE), 0.5), smooth_noise(4), torch.ones(1, 1, SIDE, SIDE)
    generated = generated + 1e-4 * smooth_noise(5)
    result = colour_transform(generated, original, weights).apply(generated, 0 * weights)
    assert chroma_statistics(result, weights)[1].max() < 1e-3


def test_without_skin_the_mask_takes_its_place():
    data = scene()
    data["skin"] = 0 * data["skin"]
    result = correct(**data, settings=Photometry())
    data["skin"] = data["mask"]
    assert skin_difference(result, data) < 0.5 * skin_difference(data["generated"], data)


def test_a_dark_fringe_does_not_darken_the_forehead():
    data = scene()
    data["generated"] = torch.full_like(data["generated"], 0.6)
    plain = {**data, "original": data["generated"]}
    fringe = data["generated"].clone()
    fringe[..., : int(0.34 * SIDE), :] = 0.05
    result = correct(**{**plain, "original": fringe}, settings=Photometry(bandwidth=0.12))
    brow = result[..., int(0.36 * SIDE), SIDE // 2]
    assert (brow - 0.6).abs().max() < 0.08


def photograph() -> tuple[torch.Tensor, torch.Tensor]:
    """The face of a NASA portrait (public domain), and 68 rough landmarks."""
    image = torch.from_numpy(skimage.data.astronaut()).permute(2, 0, 1)[None].float() / 255
    face = F.interpolate(image[..., 40:200, 145:305], (320, 320), mode="bilinear", align_corners=False)
    return face, canonical_landmarks(320) * 0.8 + 32


def test_a_photograph_under_other_light_and_tone_is_brought_back_without_a_seam():
    original, points = photograph()
    side = original.shape[-1]
    ramp = torch.linspace(0.55, 1.0, side)
    generated = (original * ramp * torch.tensor([1.0, 0.8, 0.7])[:, None, None]).clamp(0, 1)
    masks, size = face_masks(points, side, side), face_size(points)
    alpha = feather(masks.hull, 12.0)
    result = correct(generated, original, masks.hull, masks.skin, size, Photometry(bandwidth=0.12))
    pasted = alpha * result + (1 - alpha) * original
    before = alpha * generated + (1 - alpha) * original
    error, start = ((x - original).abs().mean() for x in (pasted, before))
    assert error < 0.15 * start
    ring = ((alpha > 0) & (masks.hull < 0.5)).expand_as(pasted)  # where a seam would show: its slopes are the original's own
    for dim in (2, 3):
        assert (pasted - original).diff(dim=dim).abs()[ring.narrow(dim, 1, side - 1)].mean() < 1 / 255


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("settings", EVERY, ids=lambda s: f"{s.light}-{s.pyramid:g}-{s.light_colour:g}")
def test_gpu_and_cpu_agree_within_a_grey_level(settings):
    data = scene()
    there = correct(**{name: value.cuda() for name, value in data.items()}, settings=settings)
    assert (there.cpu() - correct(**data, settings=settings)).abs().max() < 1 / 255


@pytest.mark.parametrize(
    ("field", "value"),
    [("light", "sun"), ("light_strength", 1.5), ("bandwidth", 0.0), ("pyramid", -1), ("colour_strength", math.nan), ("pyramid_cut", "a")],
)
def test_settings_out_of_range_are_named(field, value):
    with pytest.raises(InputError, match=field):
        Photometry(**{field: value})


def test_shapes_that_do_not_fit_are_named():
    data = scene()
    for name, value in (("mask", data["mask"][:, 0]), ("skin", data["skin"][..., :5]), ("face_size", torch.ones(3))):
        with pytest.raises(InputError, match=name):
            correct(**{**data, name: value}, settings=Photometry())
    with pytest.raises(InputError, match="generated and original"):
        correct(**{**data, "original": data["original"][..., :9]}, settings=Photometry())
    with pytest.raises(InputError, match="landmarks"):
        correct(**{**data, "landmarks": None}, settings=Photometry(light="harmonics"))
