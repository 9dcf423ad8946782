"""A small network that reads 68 facial landmarks, how sure it is of them, and whether there is a face at all, from a crop."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fo_faceanon.networks.attributes import Residual
from fo_faceanon.networks.packed import convolve_first

#: Side of the crop, in pixels.
CROP_SIDE = 96
#: The longer side of the landmarks' box in a crop that is as it should be, in pixels.
FACE_SIDE = 60.0
#: Points leave the network in this many crop pixels; ``face size`` of such a crop's face is 0.45 of its box.
POINT_UNIT = 17.0


class LandmarkCNN(nn.Module):
    """Crops to raw outputs.

    The last feature map (6 x 6) is flattened after a 1 x 1 reduction, not averaged: where things are is what is asked.
    """

    template: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("template", torch.zeros(68, 2))  # mean landmarks in the crop, in pixels from its middle
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 5, 2, 2, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.body = nn.Sequential(
            Residual(16, 40, 2), Residual(40, 80, 2), Residual(80, 80), Residual(80, 144, 2), nn.Conv2d(144, 32, 1, bias=False)
        )
        self.norm = nn.Sequential(nn.BatchNorm2d(32), nn.ReLU())
        self.head = nn.Sequential(nn.Linear(32 * 36, 192), nn.ReLU(), nn.Linear(192, 68 * 3 + 1))

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Marks crops.

        Args:
            crops: ``B x 3 x 96 x 96`` in ``[0, 1]``, gamma-encoded sRGB.

        Returns:
            ``B x 68 x 2`` landmarks in crop pixels (pixel centres at integers), ``B x 68`` natural logarithms of their expected
            distances from the truth (pixels), and ``B`` logits of there being a face.
        """
        features = self.norm(self.body(convolve_first(self.stem, crops * 4.0 - 2.0, relu=True)))
        raw = self.head(features.flatten(1))
        middle = (CROP_SIDE - 1) / 2
        points = raw[:, :136].view(-1, 68, 2) * POINT_UNIT + self.template + middle
        return points, raw[:, 136:204], raw[:, 204]
