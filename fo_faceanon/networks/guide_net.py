"""A small network that tells, from the feature maps of dlib's recogniser, who a face is like in the eyes of another recogniser."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fo_faceanon.networks.attributes import Residual
from fo_faceanon.networks.packed import convolve_first

#: The blocks of :class:`~fo_faceanon.networks.dlib_resnet.DlibResNet` whose maps are read: the last at 17, 8 and 4 px.
MAPS = (6, 9, 12)


class GuideNet(nn.Module):
    """dlib's feature maps to identity vectors.

    The maps are there already where dlib's descriptor is computed, and hold more than the descriptor keeps of them, so this costs
    a fraction of a recogniser of its own.
    """

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(64, 64, 3, 2, bias=False), nn.BatchNorm2d(64), nn.ReLU())
        self.middle = Residual(64 + 128, 128)
        self.low = Residual(128, 160, 2)
        self.last = Residual(160 + 256, 160)
        self.reduce = nn.Sequential(nn.Conv2d(160, 48, 1, bias=False), nn.BatchNorm2d(48))
        self.output = nn.Linear(48 * 16, 128)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """``B x 128`` vectors, not normalized.

        Args:
            maps: ``B x 64 x 17 x 17``, ``B x 128 x 8 x 8`` and ``B x 256 x 4 x 4``, of the blocks :data:`MAPS`.
        """
        fine, middle, coarse = maps
        x = self.middle(torch.cat([convolve_first(self.down, fine, relu=True), middle], 1))
        x = self.last(torch.cat([self.low(x), coarse], 1))
        return self.output(convolve_first(self.reduce, x).flatten(1))
