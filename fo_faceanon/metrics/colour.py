"""How well colour is preserved: CIEDE2000 and its parts, batched, and the individual typology angle of skin."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fo_faceanon.errors import InputError
from fo_faceanon.metrics.lighting import check_images
from fo_faceanon.photometry.color import rgb_to_lab

#: Lower limits of the individual typology angle, in degrees (Chardon et al. 1991; Del Bino and Bernerd 2013).
ITA_CLASSES = ((55.0, "very light"), (41.0, "light"), (28.0, "intermediate"), (10.0, "tan"), (-30.0, "brown"), (-math.inf, "dark"))


def _split(lab: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    if lab.ndim != 4 or lab.shape[1] != 3:
        raise InputError(f"expected L*a*b* with B x 3 x H x W shape, but got {tuple(lab.shape)}")
    level, a, b = lab.unbind(1)
    return level[:, None], a[:, None], b[:, None]


def delta_l(preds: Tensor, target: Tensor) -> Tensor:
    """Absolute lightness difference per pixel, ``B x 1 x H x W``, of two L*a*b* images ``B x 3 x H x W``."""
    return (_split(preds)[0] - _split(target)[0]).abs()


def delta_c(preds: Tensor, target: Tensor) -> Tensor:
    """Absolute chroma difference per pixel (CIE 1976), ``B x 1 x H x W``; blind to hue: see `delta_h`."""
    (_, a1, b1), (_, a2, b2) = _split(preds), _split(target)
    return (torch.hypot(a1, b1) - torch.hypot(a2, b2)).abs()


def delta_h(preds: Tensor, target: Tensor) -> Tensor:
    """Metric hue difference per pixel (CIE 1976), ``B x 1 x H x W``: ``2 sqrt(C1 C2) sin(dh / 2)``; ``da^2 + db^2 = dC^2 + dH^2``."""
    (_, a1, b1), (_, a2, b2) = _split(preds), _split(target)
    chroma = (a1 - a2).square() + (b1 - b2).square() - (torch.hypot(a1, b1) - torch.hypot(a2, b2)).square()
    return chroma.clamp_min(0).sqrt()


def delta_e_2000(preds: Tensor, target: Tensor) -> Tensor:
    """CIEDE2000 per pixel, ``B x 1 x H x W`` (Sharma, Wu and Dalal 2005, with k_L = k_C = k_H = 1).

    Args:
        preds: ``B x 3 x H x W`` CIE L*a*b*.
        target: the same.

    Raises:
        InputError: not ``B x 3 x H x W``.
    """
    (l1, a1, b1), (l2, a2, b2) = _split(preds.double()), _split(target.double())
    mean7 = ((torch.hypot(a1, b1) + torch.hypot(a2, b2)) / 2) ** 7
    stretch = 1.5 - 0.5 * (mean7 / (mean7 + 25.0**7)).sqrt()
    a1, a2 = a1 * stretch, a2 * stretch
    c1, c2 = torch.hypot(a1, b1), torch.hypot(a2, b2)
    h1, h2 = torch.atan2(b1, a1) % (2 * math.pi), torch.atan2(b2, a2) % (2 * math.pi)
    coloured = c1 * c2 > 1e-24
    turn = torch.where(coloured, (h2 - h1 + math.pi) % (2 * math.pi) - math.pi, torch.zeros_like(h1))
    hue_term = 2 * (c1 * c2).sqrt() * torch.sin(turn / 2)
    level, chroma = (l1 + l2) / 2, (c1 + c2) / 2
    far = (h1 - h2).abs() > math.pi
    hue = torch.where(far, (h1 + h2) / 2 + torch.where(h1 + h2 < 2 * math.pi, math.pi, -math.pi), (h1 + h2) / 2)
    hue = torch.where(coloured, hue, h1 + h2)
    return _weighted_difference(l2 - l1, c2 - c1, hue_term, level, chroma, hue).to(preds.dtype)


def _weighted_difference(dl: Tensor, dc: Tensor, dh: Tensor, level: Tensor, chroma: Tensor, hue: Tensor) -> Tensor:
    """The formula's weights and rotation, at mean lightness, chroma and hue (radians)."""
    t = 1 - 0.17 * torch.cos(hue - math.radians(30)) + 0.24 * torch.cos(2 * hue)
    t = t + 0.32 * torch.cos(3 * hue + math.radians(6)) - 0.20 * torch.cos(4 * hue - math.radians(63))
    squared = (level - 50).square()
    dl = dl / (1 + 0.015 * squared / (20 + squared).sqrt())
    dc = dc / (1 + 0.045 * chroma)
    dh = dh / (1 + 0.015 * chroma * t)
    angle = math.radians(60) * torch.exp(-(((torch.rad2deg(hue) - 275) / 25).square()))
    chroma7 = chroma**7
    rotation = -2 * (chroma7 / (chroma7 + 25.0**7)).sqrt() * torch.sin(angle)
    return (dl.square() + dc.square() + dh.square() + rotation * dc * dh).clamp_min(0).sqrt()


def ita(lab: Tensor) -> Tensor:
    """Individual typology angle in degrees, ``(L - 50) / b`` as an angle, of mean skin L*a*b* ``... x 3`` (Chardon et al. 1991).

    The mean of the colour first, then the angle: the angle of single pixels is wild where b is small.
    """
    return torch.rad2deg(torch.atan2(lab[..., 0] - 50, lab[..., 2]))


def ita_class(angle: float) -> str:
    """The skin-tone group of an angle in degrees: very light, light, intermediate, tan, brown or dark."""
    if math.isnan(angle):
        raise InputError("the individual typology angle is NaN: there is no skin pixel to measure")
    return next(name for low, name in ITA_CLASSES if angle > low or low == -math.inf)


def mean_lab(lab: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean colour, ``B x 3``; NaN where no pixel counts."""
    return (lab * weights).sum((2, 3)) / weights.sum((2, 3))


def colour_metrics(preds: Tensor, target: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """Mean differences over the mask, one value per face.

    Args:
        preds: ``B x 3 x H x W`` gamma-encoded sRGB in ``[0, 1]`` (or an albedo brought to that range), the anonymized faces.
        target: the same, the originals.
        mask: ``B x 1 x H x W`` weights: skin.

    Returns:
        ``delta_e_2000``, ``delta_l``, ``delta_c``, ``delta_h``; ``ita`` and ``ita_target`` in degrees; ``tone_delta_e``, the
        CIEDE2000 between the two mean skin colours. NaN for an empty mask.
    """
    check_images(preds, target, mask, channels=3)
    a, b = rgb_to_lab(preds), rgb_to_lab(target)
    total = mask.sum((1, 2, 3))
    differences = {"delta_e_2000": delta_e_2000, "delta_l": delta_l, "delta_c": delta_c, "delta_h": delta_h}
    result = {name: (function(a, b) * mask).sum((1, 2, 3)) / total for name, function in differences.items()}
    mean_a, mean_b = mean_lab(a, mask), mean_lab(b, mask)
    tone = delta_e_2000(mean_a[..., None, None], mean_b[..., None, None])[:, 0, 0, 0]
    return {**result, "ita": ita(mean_a), "ita_target": ita(mean_b), "tone_delta_e": tone}
