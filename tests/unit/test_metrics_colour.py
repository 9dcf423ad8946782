"""Colour metrics against scikit-image and colour-science."""

import colour
import numpy as np
import pytest
import torch
from skimage.color import deltaE_ciede2000

from fo_faceanon.errors import InputError
from fo_faceanon.metrics.colour import colour_metrics, delta_c, delta_e_2000, delta_h, delta_l, ita, ita_class

#: Pairs of Sharma, Wu and Dalal 2005, table 1, at the formula's discontinuities, with their published differences.
SHARMA = [
    ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
    ((50, -1.3802, -84.2814), (50, 0, -82.7485), 1.0000),
    ((50, 0, 0), (50, -1, 2), 2.3669),
    ((50, 2.49, -0.001), (50, -2.49, 0.0009), 7.1792),
    ((50, 2.49, -0.001), (50, -2.49, 0.0011), 7.2195),
    ((50, -0.001, 2.49), (50, 0.0009, -2.49), 4.8045),
    ((50, -0.001, 2.49), (50, 0.0011, -2.49), 4.7461),
    ((50, 2.5, 0), (73, 25, -18), 27.1492),
    ((2.0776, 0.0795, -1.135), (0.9033, -0.0636, -0.5514), 0.9082),
]


def pairs(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(seed)
    low, high = np.array([0, -90, -90]), np.array([100, 90, 90])
    a, b = random.uniform(low, high, (2, 40, 50, 3))
    b[::2] = a[::2] + random.normal(0, 2, a[::2].shape)  # small differences too
    a[0, :5, 1:] = 0  # greys
    return tuple(torch.from_numpy(x).permute(2, 0, 1)[None] for x in (a, b))  # type: ignore[return-value]


def test_delta_e_agrees_with_scikit_image_and_colour_science():
    a, b = pairs()
    ours = delta_e_2000(a.float(), b.float())[0, 0].numpy()
    x, y = a[0].float().permute(1, 2, 0).double().numpy(), b[0].float().permute(1, 2, 0).double().numpy()
    np.testing.assert_allclose(ours, deltaE_ciede2000(x, y), atol=1e-4)
    np.testing.assert_allclose(ours, colour.delta_E(x, y, method="CIE 2000"), atol=1e-4)


@pytest.mark.parametrize(("a", "b", "expected"), SHARMA)
def test_delta_e_at_published_pairs(a, b, expected):
    a, b = (torch.tensor(x, dtype=torch.float64).view(1, 3, 1, 1) for x in (a, b))
    assert delta_e_2000(a, b).item() == pytest.approx(expected, abs=5e-5)
    assert delta_e_2000(b, a).item() == pytest.approx(expected, abs=5e-5)


def test_lightness_chroma_and_hue_make_up_the_1976_difference():
    a, b = pairs(1)
    total = delta_l(a, b).square() + delta_c(a, b).square() + delta_h(a, b).square()
    np.testing.assert_allclose(total.sqrt()[:, 0], (a - b).square().sum(1).sqrt(), atol=1e-6)


def test_a_hue_flip_shows_in_hue_though_not_in_chroma():
    a, b = (torch.tensor([60.0, s * 20, 10]).view(1, 3, 1, 1) for s in (1, -1))
    assert delta_c(a, b).item() == pytest.approx(0, abs=1e-5)
    assert delta_h(a, b).item() == pytest.approx(40, abs=1e-4)


def test_metrics_of_faces_ignore_what_is_outside_the_mask():
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(2, 3, 20, 20, generator=generator)
    other = image.clone()
    mask = torch.zeros(2, 1, 20, 20)
    mask[:, :, 5:15, 5:15] = 1
    other[:, :, :5] = 0
    same = colour_metrics(other, image, mask)
    assert max(same[k].abs().max() for k in ("delta_e_2000", "delta_l", "delta_c", "delta_h", "tone_delta_e")) < 1e-3
    assert torch.equal(same["ita"], same["ita_target"])
    darker = colour_metrics(image * 0.7, image, mask)
    assert (darker["delta_l"] > 5).all() and (darker["ita"] < darker["ita_target"]).all()
    assert colour_metrics(image, image, torch.zeros_like(mask))["delta_e_2000"].isnan().all()


def test_ita_orders_skin_tones():
    tones = torch.tensor([[78.0, 8, 14], [70, 10, 16], [45, 14, 20], [25, 8, 10]])
    angles = ita(tones)
    assert (angles[:-1] > angles[1:]).all()
    assert [ita_class(float(a)) for a in angles] == ["very light", "light", "brown", "dark"]
    assert ita(torch.tensor([80.0, 5, -0.1])) > 80  # b about 0: straight up, no jump


def test_faults_are_named():
    with pytest.raises(InputError, match="same shape"):
        colour_metrics(torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 5), torch.zeros(1, 1, 4, 4))
    with pytest.raises(InputError, match="B x 3 x H x W"):
        delta_e_2000(torch.zeros(3, 4, 4), torch.zeros(3, 4, 4))
    with pytest.raises(InputError, match="no skin pixel"):
        ita_class(float("nan"))
