"""Pyramid, low-pass, bilateral and harmonics, each against a reference or an identity."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from photometry_faces import canonical_landmarks
from scipy import ndimage
from scipy.interpolate import RBFInterpolator
from scipy.spatial.transform import Rotation

from fo_faceanon.errors import InputError
from fo_faceanon.photometry.harmonics import fit_light, harmonic_basis, harmonic_gain, render_light
from fo_faceanon.photometry.intrinsic import RANGE, bilateral, decompose, relight
from fo_faceanon.photometry.lowpass import MAX_GAIN, gaussian_blur, lowpass_gain, masked_lowpass
from fo_faceanon.photometry.normals import canonical_head, canonical_normals, estimate_rotation, face_normals, thin_plate
from fo_faceanon.photometry.pyramid import blend_bands, build_pyramid, collapse_pyramid


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("height", "width"), [(64, 64), (63, 50), (37, 101), (5, 3), (2, 2)])
def test_pyramid_reconstructs_exactly(height, width):
    image = noise(2, 3, height, width)
    bands = build_pyramid(image, 5)
    torch.testing.assert_close(collapse_pyramid(bands), image, atol=1e-6, rtol=0)
    constant = build_pyramid(torch.full((1, 1, height, width), 0.7), 5)
    assert all(band.abs().max() < 1e-6 for band in constant[:-1])  # the mean lives in the residual alone
    assert constant[-1].mean() == pytest.approx(0.7)


def test_blending_hands_over_the_coarse_and_keeps_the_fine():
    axis = torch.arange(128.0)
    slow, fast = torch.cos(axis * 2 * math.pi / 64), torch.cos(axis * 2 * math.pi / 3)
    low, high = (slow + fast).expand(1, 1, 128, -1), (-slow - fast).expand(1, 1, 128, -1)
    mixed = blend_bands(low, high, torch.tensor([2.0]))[0, 0, 64, 16:-16]
    basis = torch.stack([slow, fast], 1)[16:-16]
    amounts = torch.linalg.lstsq(basis, mixed[:, None]).solution[:, 0]
    assert amounts[0] > 0.9 and amounts[1] < -0.9


def test_the_cut_is_a_continuous_dial_with_its_own_value_for_each_image():
    low, high = noise(1, 1, 33, 47), noise(1, 1, 33, 47, seed=1)
    torch.testing.assert_close(blend_bands(low, high, torch.tensor([0.0])), low, atol=1e-6, rtol=0)
    near = [blend_bands(low, high, torch.tensor([c])) for c in (2.30, 2.31, 2.32)]
    assert 0 < (near[0] - near[1]).abs().max() < 0.02
    both = blend_bands(low.expand(2, -1, -1, -1), high.expand(2, -1, -1, -1), torch.tensor([2.30, 0.0]))
    torch.testing.assert_close(both[:1], near[0])
    distances = [(blend_bands(low, high, torch.tensor([c])) - high).norm() for c in (0.0, 1.0, 2.0, 4.0, 8.0)]
    assert all(a > b for a, b in pairwise(distances))


def test_gaussian_is_scipys_with_one_width_per_image():
    image, sigma = noise(2, 3, 40, 51), torch.tensor([1.5, 6.0])
    for i in range(2):
        expected = ndimage.gaussian_filter(image[i].numpy(), (0, float(sigma[i]), float(sigma[i])), mode="constant", truncate=8)
        np.testing.assert_allclose(gaussian_blur(image, sigma)[i].numpy(), expected, atol=1e-4)


def test_nothing_bleeds_into_the_mask():
    mask = torch.zeros(1, 1, 48, 48)
    mask[..., 12:36, 12:36] = 1
    inside = 0.4 + 0 * noise(1, 3, 48, 48)
    dirty = torch.where(mask > 0, inside, 5 * noise(1, 3, 48, 48, seed=3))
    assert (masked_lowpass(dirty, mask, torch.tensor([5.0])) - 0.4).abs().max() < 1e-4
    assert masked_lowpass(dirty, mask * 0, torch.tensor([5.0])).abs().max() == 0
    gain = lowpass_gain(dirty, dirty * 2, mask, torch.tensor([5.0]))
    assert gain.max() < math.log(2) + 1e-4 and gain.min() > 0.97 * math.log(2)


def test_gain_is_limited_and_colour_can_be_left_out():
    generated, original = 0.9 * torch.ones(1, 3, 16, 16), torch.zeros(1, 3, 16, 16)
    mask, sigma = torch.ones(1, 1, 16, 16), torch.tensor([4.0])
    assert lowpass_gain(generated, original, mask, sigma).min() == pytest.approx(-math.log(MAX_GAIN))
    original = torch.tensor([0.5, 0.2, 0.1]).view(1, 3, 1, 1).expand(1, 3, 16, 16)
    grey = lowpass_gain(0 * generated + 0.3, original, mask, sigma, colour=0.0)
    assert (grey.amax(1) - grey.amin(1)).max() < 1e-6
    tinted = lowpass_gain(0 * generated + 0.3, original, mask, sigma, colour=1.0)
    assert (tinted[:, 0] > tinted[:, 2] + 0.5).all()


def test_bilateral_agrees_with_its_definition():
    random = np.random.default_rng(0)
    image = np.where(np.arange(32) < 16, 0.25, 0.75)[None] + random.normal(0, 0.03, (32, 32))
    image = np.clip(image, 0, 1)
    y, x = np.mgrid[:32, :32].reshape(2, -1)
    flat = image.ravel()
    space = ((x[:, None] - x) ** 2 + (y[:, None] - y) ** 2) / (2 * 3.0**2)
    weight = np.exp(-space - (flat[:, None] - flat) ** 2 / (2 * RANGE**2))
    expected = (weight @ flat / weight.sum(1)).reshape(32, 32)
    values = torch.from_numpy(image)[None, None].float()
    ours = bilateral(values, values, torch.ones_like(values), torch.tensor([3.0]))[0, 0].numpy()
    assert np.abs(ours - expected).max() < 0.03 and np.abs(ours - expected).mean() < 0.01
    assert ours[:, 15].mean() < 0.4 and ours[:, 16].mean() > 0.6  # the edge stays


def test_decomposition_multiplies_back_and_survives_black():
    image, mask, size = noise(2, 3, 150, 130), torch.ones(2, 1, 150, 130), torch.tensor([100.0, 60.0])
    image[1] = 0
    albedo, shading = decompose(image, mask, size)
    from fo_faceanon.photometry.color import srgb_to_linear

    torch.testing.assert_close((albedo * shading)[0], srgb_to_linear(image)[0], atol=1e-5, rtol=1e-4)
    assert albedo.isfinite().all() and shading.isfinite().all()
    assert relight(image, image, mask, size).isfinite().all()
    torch.testing.assert_close(relight(image, image, mask, size), image, atol=1e-5, rtol=0)
    pure_red = torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1).expand(1, 3, 20, 20)
    assert decompose(pure_red, torch.ones(1, 1, 20, 20), torch.tensor([10.0]))[0].max() > 3  # no albedo in [0, 1]


def test_harmonic_light_is_recovered_despite_outliers():
    normals = face_normals(canonical_landmarks(64), 64, 64)
    truth = torch.zeros(1, 9, 3)
    truth[0, 0], truth[0, 1], truth[0, 2], truth[0, 3] = torch.tensor([[0.4], [0.15], [-0.1], [0.1]]).expand(4, 3)
    light = render_light(truth, normals)
    dirty = light.clone()
    dirty[..., 40:50, 20:36] = 0.02  # a beard
    weights = torch.ones(1, 1, 64, 64)
    fitted = render_light(fit_light(dirty, normals, weights), normals)
    assert (fitted - light).abs().mean() < 0.012
    plain = torch.linalg.lstsq(harmonic_basis(normals)[0].flatten(1).T, dirty[0].flatten(1).T).solution[None]
    assert (fitted - light).abs().mean() < 0.5 * (render_light(plain, normals) - light).abs().mean()


def test_harmonic_gain_of_equal_images_is_none_and_without_skin_finite():
    normals, image = face_normals(canonical_landmarks(48), 48, 48), noise(1, 3, 48, 48)
    assert harmonic_gain(image, image, normals, torch.ones(1, 1, 48, 48)).abs().max() < 1e-5
    assert harmonic_gain(image, image * 0, normals, torch.zeros(1, 1, 48, 48)).abs().max() < 1e-5


def test_thin_plate_agrees_with_scipy():
    random = np.random.default_rng(0)
    points, values, queries = random.normal(size=(30, 2)), random.normal(size=(30, 2)), random.normal(size=(50, 2))
    spread = np.sqrt(((points - points.mean(0)) ** 2).sum(1).mean())
    expected = RBFInterpolator(points / spread, values, smoothing=0.1, kernel="thin_plate_spline")(queries / spread)
    ours = thin_plate(*(torch.from_numpy(x)[None] for x in (points, values, queries)), smoothing=0.1)[0].numpy()
    np.testing.assert_allclose(ours, expected, atol=1e-4)


def test_the_generic_head_is_symmetric_and_bulges_towards_the_camera():
    head, normals = canonical_head(), canonical_normals()
    torch.testing.assert_close(head[:17].flip(0)[:, 2], head[:17, 2])
    torch.testing.assert_close(normals[:17].flip(0)[:, 0], -normals[:17, 0], atol=1e-3, rtol=0)
    assert head[:, 2].argmax() == 30
    assert normals[1, 0] < -0.6 and normals[15, 0] > 0.6 and normals[27:31, 2].min() > 0.6


@pytest.mark.parametrize("angles", [(0, 0, 0), (0, 35, 0), (20, -25, 15), (-15, 10, -40)])
def test_pose_is_recovered(angles):
    rotation = torch.from_numpy(Rotation.from_euler("xyz", angles, degrees=True).as_matrix()).float()
    image = (canonical_head()[:68] @ rotation.T)[None, :, :2] * 1.7 + 90
    torch.testing.assert_close(estimate_rotation(image)[0], rotation, atol=1e-4, rtol=0)


def test_normals_are_unit_finite_and_turn_with_the_head():
    points = torch.cat([canonical_landmarks(64), torch.full((1, 68, 2), math.nan), torch.full((1, 68, 2), 7.0)])
    normals = face_normals(points, 64, 80)
    assert normals.shape == (3, 3, 64, 80) and normals.isfinite().all()
    torch.testing.assert_close(normals.norm(dim=1), torch.ones(3, 64, 80))
    assert (normals[1, 2] == 1).all()
    rotation = torch.from_numpy(Rotation.from_euler("y", 30, degrees=True).as_matrix()).float()
    turned = face_normals((canonical_head()[:68] @ rotation.T)[None, :, :2] * 0.4 + 40, 80, 80)
    assert turned[0, 0, 30:50, 30:50].mean() > 0.3  # the head looks to the right of the image


def test_faults_are_named():
    with pytest.raises(InputError, match="B x C x H x W"):
        build_pyramid(torch.zeros(3, 4), 2)
    with pytest.raises(InputError, match="different shapes"):
        blend_bands(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 5), torch.ones(1))
