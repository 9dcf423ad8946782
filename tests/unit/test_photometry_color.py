"""Colour spaces, against scikit-image and colour-science, and gains in closed form."""

import colour
import numpy as np
import pytest
import torch
from skimage import color as reference

from fo_faceanon.photometry.color import (
    GAMMA,
    apply_gain,
    lab_to_rgb,
    linear_to_srgb,
    luminance,
    rgb_to_lab,
    rgb_to_ycbcr,
    srgb_to_linear,
    ycbcr_to_rgb,
)


@pytest.fixture(scope="module")
def rgb() -> torch.Tensor:
    """Random colours, the greys, and the corners of the cube."""
    image = torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    image[0, :, 0] = torch.linspace(0, 1, 40)
    image[0, :, 1, :8] = torch.tensor([[i >> k & 1 for i in range(8)] for k in range(3)])
    return image


def hwc(image: torch.Tensor) -> np.ndarray:
    return image[0].permute(1, 2, 0).double().numpy()


def test_linear_light_agrees_with_colour_science_and_inverts(rgb):
    np.testing.assert_allclose(srgb_to_linear(rgb).numpy(), colour.models.eotf_sRGB(rgb.double().numpy()), atol=1e-6)
    torch.testing.assert_close(linear_to_srgb(srgb_to_linear(rgb)), rgb, atol=2e-6, rtol=0)


def test_lab_agrees_with_scikit_image_and_colour_science(rgb):
    ours = hwc(rgb_to_lab(rgb))
    np.testing.assert_allclose(ours, reference.rgb2lab(hwc(rgb)), atol=2e-4)  # its 7.787 is rounded: 1.4e-4
    white = colour.XYZ_to_xy(np.array([0.95047, 1.0, 1.08883]))
    np.testing.assert_allclose(ours, colour.XYZ_to_Lab(reference.rgb2xyz(hwc(rgb)), white), atol=1e-4)
    np.testing.assert_allclose(hwc(luminance(srgb_to_linear(rgb)))[..., 0], reference.rgb2xyz(hwc(rgb))[..., 1], atol=1e-5)
    torch.testing.assert_close(lab_to_rgb(rgb_to_lab(rgb)), rgb, atol=2e-5, rtol=0)


def test_ycbcr_is_full_range_bt601_and_inverts(rgb):
    ours = hwc(rgb_to_ycbcr(rgb))
    theirs = colour.RGB_to_YCbCr(hwc(rgb), K=colour.WEIGHTS_YCBCR["ITU-R BT.601"], out_legal=False)
    theirs[..., 1:] += 0.5
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
    torch.testing.assert_close(ycbcr_to_rgb(rgb_to_ycbcr(rgb)), rgb, atol=1e-6, rtol=0)


@pytest.mark.parametrize("gain", [1 / 3, 0.5, 0.8, 1.0, 1.5, 2.0, 3.0])
def test_gain_in_the_encoding_is_gain_of_light_within_a_grey_level(gain):
    values = torch.linspace(0, 1, 1024).view(1, 1, 1, -1)
    exact = linear_to_srgb(srgb_to_linear(values) * gain)
    ours = apply_gain(values, torch.tensor(gain ** (1 / GAMMA)))
    assert ((ours - exact).abs()[exact <= 1]).max() < (0.5 if gain <= 2 else 0.7) / 255
    assert ours[..., 0] == 0
    assert (ours.diff() > 0).all()
