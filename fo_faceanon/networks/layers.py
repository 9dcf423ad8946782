"""Layers of the generators and their discriminator: equalised and modulated convolutions (Karras et al. 2018, 2020)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fo_faceanon.landmarks.drawing import BLOB_SIGMA, blob_profiles

#: Keeps the variance of what passes a leaky ReLU of slope 0.2.
_GAIN = math.sqrt(2)
#: The part of a crop that a face's points are spread over.
_FACE_AREA = 0.25
#: Points begin faint: at full strength they show as specks, which take long to unlearn.
_FAINT = 0.2


def activate(x: Tensor) -> Tensor:
    """Leaky ReLU that keeps the variance."""
    return F.leaky_relu(x, 0.2) * _GAIN


def upsample(x: Tensor) -> Tensor:
    """Twice the side, bilinear."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def channels_at(size: int, resolution: int, width: int, widest: int) -> int:
    """``width`` channels at full resolution, twice as many at each half of it, up to ``widest``."""
    return min(width * (size // resolution), widest)


class EqualLinear(nn.Module):
    """A linear layer whose weights all learn at one rate: stored with unit variance, scaled when used."""

    def __init__(self, inputs: int, outputs: int, bias: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs))
        self.bias = nn.Parameter(torch.full((outputs,), bias))
        self.scale = 1 / math.sqrt(inputs)

    def forward(self, x: Tensor) -> Tensor:
        """``B x inputs`` to ``B x outputs``."""
        return F.linear(x, self.weight * self.scale, self.bias)


class EqualConv(nn.Module):
    """A convolution, equalised like :class:`EqualLinear`; keeps the side."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.scale = 1 / math.sqrt(inputs * kernel**2)

    def forward(self, x: Tensor) -> Tensor:
        """``B x inputs x H x W`` to ``B x outputs x H x W``."""
        return F.conv2d(x, self.weight * self.scale, self.bias, padding=self.weight.shape[-1] // 2)


class GatedConv(nn.Module):
    """A convolution whose output is weighed by how much of its input is known (Yu et al. 2019), with a 1 x 1 gate (Yi et al. 2020)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = EqualConv(inputs, outputs)
        self.gate = EqualConv(inputs, outputs, kernel=1)

    def forward(self, x: Tensor) -> Tensor:
        """``B x inputs x H x W`` to ``B x outputs x H x W``; the gate is twice a sigmoid, so that it starts as one."""
        return self.conv(x) * (2 * torch.sigmoid(self.gate(x)))


class ModulatedConv(nn.Module):
    """A convolution whose input channels a style scales, with the output brought back to unit variance (Karras et al. 2020).

    The scales act on the activations instead of on the weights, which is the same and needs no convolution per face.
    """

    def __init__(self, inputs: int, outputs: int, style: int, kernel: int = 3, demodulate: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.affine = EqualLinear(style, inputs, bias=1.0)
        self.scale = 1 / math.sqrt(inputs * kernel**2)
        self.demodulate = demodulate

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """``B x inputs x H x W`` and ``B x style`` to ``B x outputs x H x W``."""
        weight = self.weight * self.scale
        gains = self.affine(style)
        y = F.conv2d(x * gains[:, :, None, None].to(x.dtype), weight, padding=weight.shape[-1] // 2)
        if not self.demodulate:
            return y
        power = gains.float().square() @ weight.float().square().sum((2, 3)).T
        return y * torch.rsqrt(power + 1e-8)[:, :, None, None].to(y.dtype)


class PointPainter(nn.Module):
    """Landmarks as a picture with learnt colours: what a 1 x 1 convolution makes of one Gaussian map per point.

    Blobs are products of a row and a column, so the maps are never stored. Channels lie together in memory, as convolutions like it.
    """

    def __init__(self, points: int, channels: int) -> None:
        super().__init__()
        self.colours = nn.Parameter(_FAINT * torch.randn(channels, points))
        self.points = points

    def forward(self, points: Tensor, size: int) -> Tensor:
        """``B x K x 2`` in pixels of the result to ``B x channels x size x size``; points with NaN are left out."""
        rows, columns = blob_profiles(points, size)
        crowd = 1 + self.points * math.pi * BLOB_SIGMA**2 / (_FACE_AREA * size**2)  # the variance where blobs overlap
        rows = rows * crowd**-0.5
        painted = rows.transpose(1, 2)[..., None] * self.colours.T.to(rows.dtype)  # B x rows x K x channels
        return (columns.transpose(1, 2)[:, None] @ painted).permute(0, 3, 1, 2)
