"""The discriminator that generators are trained against: StyleGAN2's residual network (Karras et al. 2020), told the landmarks."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fo_faceanon.networks.layers import EqualConv, EqualLinear, PointPainter, activate, channels_at

#: Side of the last feature map, and how many faces share a minibatch statistic.
_LOWEST, _GROUP = 4, 8


class _Block(nn.Module):
    """Two convolutions and a shortcut, halving the side."""

    def __init__(self, inputs: int, outputs: int, points: int) -> None:
        super().__init__()
        self.first, self.second = EqualConv(inputs, inputs), EqualConv(inputs, outputs)
        self.shortcut = EqualConv(inputs, outputs, kernel=1, bias=False)
        self.paint = PointPainter(points, inputs) if points else None

    def forward(self, x: Tensor, points: Tensor) -> Tensor:
        y = self.first(x)
        if self.paint is not None:
            y = (y + self.paint(points, x.shape[-1])) * 2**-0.5
        y = F.avg_pool2d(activate(self.second(activate(y))), 2)
        return (y + self.shortcut(F.avg_pool2d(x, 2))) * 2**-0.5


class Discriminator(nn.Module):
    """Says how much a picture looks like a photograph that fits its condition.

    Args:
        size: side of the pictures.
        inputs: channels of picture and condition together.
        points: how many landmarks it is told; 0 for none.
        width: channels at full resolution, doubling at each half of it up to ``widest``.
        widest: see ``width``.
    """

    def __init__(self, size: int, inputs: int, points: int, width: int, widest: int) -> None:
        super().__init__()
        sides = [size >> level for level in range((size // _LOWEST).bit_length())]
        widths = [channels_at(size, side, width, widest) for side in sides]
        self.first = EqualConv(inputs, widths[0], kernel=1)
        self.blocks = nn.ModuleList(_Block(i, o, points) for i, o in pairwise(widths))
        self.last = EqualConv(widths[-1] + 1, widths[-1])
        self.dense = EqualLinear(widths[-1] * _LOWEST**2, widths[-1])
        self.out = EqualLinear(widths[-1], 1)

    def forward(self, x: Tensor, points: Tensor) -> tuple[Tensor, list[Tensor]]:
        """``B x inputs x S x S`` and ``B x K x 2`` pixel positions to ``B`` logits and the feature maps after each block."""
        features = []
        x = activate(self.first(x))
        for level, block in enumerate(self.blocks):
            x = block(x, (points + 0.5) / 2**level - 0.5)
            features.append(x)
        x = activate(self.last(torch.cat([x, batch_deviation(x)], 1)))
        return self.out(activate(self.dense(x.flatten(1))))[:, 0].float(), features


def batch_deviation(x: Tensor) -> Tensor:
    """``B x 1 x H x W``: how much faces of a group differ, so that faces that are all alike are noticed (Karras et al. 2018)."""
    group = next(g for g in range(min(_GROUP, x.shape[0]), 0, -1) if x.shape[0] % g == 0)
    y = x.float().reshape(group, -1, *x.shape[1:])
    deviation = (y.var(0, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3))
    return deviation.repeat(group)[:, None, None, None].expand(-1, 1, *x.shape[2:]).to(x.dtype)
