"""GANonymization's generator (Hellmann et al. 2024): a face from a drawing of its mesh's points alone.

A pix2pix U-Net (Isola et al. 2017), smaller. Two departures: maps are enlarged and convolved instead of transposed convolutions,
which leave a checkerboard, and there is no dropout, so that a drawing always gives the same face.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fo_faceanon.errors import InputError
from fo_faceanon.networks.layers import channels_at, upsample

#: Side of the smallest feature map: instance normalisation of a single cell would erase it.
_LOWEST = 4


@dataclass(frozen=True, slots=True)
class MeshConfig:
    """The shape of a :class:`MeshGenerator`.

    Args:
        size: side of the picture in pixels, a power of two from 16.
        width: channels after the first halving; they double at each further one, up to ``widest``.
        widest: see ``width``.
    """

    size: int = 256
    width: int = 32
    widest: int = 256

    def __post_init__(self) -> None:
        if self.size < 16 or self.size & (self.size - 1):
            raise InputError(f"a generator's size must be a power of two from 16, but got {self.size}")

    @property
    def widths(self) -> list[int]:
        """Channels of each level, the largest map first."""
        half = self.size // 2
        return [channels_at(half, half >> level, self.width, self.widest) for level in range((half // _LOWEST).bit_length())]


class _Level(nn.Module):
    """A convolution, normalised over each map of each face alone, then a leaky ReLU; a bias would do nothing."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, 1, bias=False)
        self.norm = nn.InstanceNorm2d(outputs, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.norm(self.conv(x)), 0.2)


class MeshGenerator(nn.Module):
    """Draws faces from mesh dots; nothing of the original picture enters."""

    def __init__(self, config: MeshConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        self.first = nn.Conv2d(1, widths[0], 4, 2, 1)
        self.down = nn.ModuleList(_Level(i, o, 4, 2) for i, o in pairwise(widths))
        back = list(reversed(widths))
        inputs = [back[0], *(2 * c for c in back[1:])]
        self.up = nn.ModuleList(_Level(i, o, 3, 1) for i, o in zip(inputs, [*back[1:], widths[0]], strict=True))
        self.last = nn.Conv2d(widths[0], 3, 3, 1, 1)

    def forward(self, drawing: Tensor) -> Tensor:
        """Faces.

        Args:
            drawing: ``B x 1 x S x S`` in ``[0, 1]``, of :func:`fo_faceanon.landmarks.drawing.draw_mesh`.

        Returns:
            ``B x 3 x S x S`` in ``[-1, 1]``.
        """
        x = F.leaky_relu(self.first(drawing * 2 - 1), 0.2)
        skips = [x]
        for level in self.down:
            x = level(x)
            skips.append(x)
        x = skips.pop()
        for number, level in enumerate(self.up):
            x = level(upsample(x if number == 0 else torch.cat([x, skips.pop()], 1)))
        return torch.tanh(self.last(x).float())
