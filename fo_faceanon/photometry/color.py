"""Colour spaces, batched on any device: sRGB and linear light, CIE L*a*b* (D65), YCbCr (full-range BT.601)."""

from __future__ import annotations

import torch
from torch import Tensor

#: IEC 61966-2-1 primaries to CIE XYZ, and the D65 white of the 2-degree observer.
_XYZ_FROM_RGB = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
_WHITE = (0.95047, 1.0, 1.08883)
#: ITU-R BT.601 luma weights of red, green and blue.
_LUMA = (0.299, 0.587, 0.114)
#: The exponent of the sRGB curve above its linear toe.
GAMMA = 2.4


def srgb_to_linear(rgb: Tensor) -> Tensor:
    """Gamma-encoded sRGB in ``[0, 1]`` to linear light in ``[0, 1]`` (IEC 61966-2-1); any shape."""
    return torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb.clamp_min(0.04) + 0.055) / 1.055) ** GAMMA)


def linear_to_srgb(linear: Tensor) -> Tensor:
    """Linear light in ``[0, 1]`` to gamma-encoded sRGB in ``[0, 1]`` (IEC 61966-2-1); any shape."""
    return torch.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear.clamp_min(0.003) ** (1 / GAMMA) - 0.055)


def apply_gain(rgb: Tensor, root: Tensor) -> Tensor:
    """Multiplies the light of gamma-encoded pixels without leaving the encoding: no power per pixel.

    Above the curve's linear toe, ``srgb(g * linear(v)) = r * (v + 0.055) - 0.055`` exactly, with ``r = g ** (1 / 2.4)``. In
    the toe it is ``g * v``; both are one line each, and which one holds is a bound on the offset of 0.055. That is within 0.7
    of a grey level of the exact curve for gains from 1/3 to 3, and within half of one from 1/3 to 2.

    Args:
        rgb: values in ``[0, 1]``.
        root: ``g ** (1 / 2.4)`` for the gain ``g`` of linear light; broadcasts against ``rgb``.

    Returns:
        Unclipped values: gains above 1 can leave ``[0, 1]``.
    """
    # the lines r (v + o) - o with o = k v have the slope g where k = (g - r) / (r - 1), which is nearly linear in r
    offset = (root * 1.5 - 0.25).mul(rgb).clamp_(max=0.055)
    return (rgb + offset).mul_(root).sub_(offset)


def luminance(linear: Tensor) -> Tensor:
    """Relative luminance Y, ``B x 1 x H x W``, of linear-light ``B x 3 x H x W``."""
    return torch.einsum("bchw,c->bhw", linear, linear.new_tensor(_XYZ_FROM_RGB[1]))[:, None]


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """Gamma-encoded sRGB ``B x 3 x H x W`` to CIE L*a*b*: L in ``[0, 100]``, a and b about ``[-108, 108]`` (CIE 15:2004)."""
    matrix = rgb.new_tensor(_XYZ_FROM_RGB) / rgb.new_tensor(_WHITE)[:, None]
    t = torch.einsum("ij,bjhw->bihw", matrix, srgb_to_linear(rgb))
    f = torch.where(t > 216 / 24389, t.clamp_min(1e-6) ** (1 / 3), t * (24389 / 27 / 116) + 16 / 116)
    x, y, z = f.unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)


def lab_to_rgb(lab: Tensor) -> Tensor:
    """CIE L*a*b* ``B x 3 x H x W`` to gamma-encoded sRGB, clipped to ``[0, 1]``."""
    level, a, b = lab.unbind(1)
    y = (level + 16) / 116
    f = torch.stack([y + a / 500, y, y - b / 200], 1)
    t = torch.where(f > 6 / 29, f**3, (f - 16 / 116) * (116 * 27 / 24389))
    matrix = torch.linalg.inv(lab.new_tensor(_XYZ_FROM_RGB)) * lab.new_tensor(_WHITE)
    return linear_to_srgb(torch.einsum("ij,bjhw->bihw", matrix, t)).clamp(0, 1)


def ycbcr_matrix(like: Tensor) -> Tensor:
    """``3 x 3`` matrix from RGB to Y, Cb, Cr (chroma centred on 0), full-range BT.601, with the type and device of ``like``."""
    r, g, b = _LUMA
    cb, cr = 2 * (1 - b), 2 * (1 - r)
    return like.new_tensor([[r, g, b], [-r / cb, -g / cb, 0.5], [0.5, -g / cr, -b / cr]])


def rgb_to_ycbcr(rgb: Tensor) -> Tensor:
    """``B x 3 x H x W`` RGB in ``[0, 1]`` to Y, Cb, Cr in ``[0, 1]``, neutral chroma at 0.5 (as JPEG has it)."""
    offset = rgb.new_tensor([0, 0.5, 0.5])[:, None, None]
    return torch.einsum("ij,bjhw->bihw", ycbcr_matrix(rgb), rgb) + offset


def ycbcr_to_rgb(ycbcr: Tensor) -> Tensor:
    """The inverse of `rgb_to_ycbcr`; unclipped."""
    offset = ycbcr.new_tensor([0, 0.5, 0.5])[:, None, None]
    return torch.einsum("ij,bjhw->bihw", torch.linalg.inv(ycbcr_matrix(ycbcr)), ycbcr - offset)
