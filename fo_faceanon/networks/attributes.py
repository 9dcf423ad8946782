"""A small network that reads expression, pose and a few attributes from an aligned face crop and its landmarks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fo_faceanon.networks.packed import convolve, convolve_first

#: Side of the aligned crop, in pixels.
CROP_SIDE = 80
#: Output name -> number of values, in the order of the output vector.
HEADS = {"blendshapes": 52, "pose": 3, "age": 1, "male": 1, "glasses": 1, "sunglasses": 1, "occluded": 1, "beard": 1}
#: Landmarks enter in units of this many crop pixels.
POINT_UNIT = 3.0
#: Pose is learnt in units of this many degrees, age in units of this many years from this age.
POSE_UNIT, AGE_UNIT, AGE_ORIGIN = 20.0, 20.0, 35.0


class Residual(nn.Module):
    """Two 3 x 3 convolutions and a shortcut (He et al. 2016); halves the side where ``stride`` is 2."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """``B x C x H x W`` to ``B x C' x H/stride x W/stride``."""
        y = convolve(self.conv1, x, self.norm1, relu=True)
        kept = convolve_first(self.shortcut, x) if isinstance(self.shortcut, nn.Sequential) else x
        return convolve(self.conv2, y, self.norm2, relu=True, add=kept)


class AttributeCNN(nn.Module):
    """Aligned crops and landmarks to raw outputs.

    Landmarks tell mouth and brows better than so few pixels do; pixels tell what landmarks cannot: wrinkles, lids, gaze, age. The
    last feature map (5 x 5) is flattened after a 1 x 1 reduction, not averaged: where the mouth and the eyes are is known in an
    aligned crop, and expression is read there.
    """

    template: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("template", torch.zeros(68, 2))  # mean frontal landmarks in the crop, that crops are aligned to
        self.points = nn.Sequential(nn.Linear(136, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU())
        self.stem = nn.Sequential(nn.Conv2d(3, 24, 5, 2, 2, bias=False), nn.BatchNorm2d(24), nn.ReLU())
        self.body = nn.Sequential(Residual(24, 48, 2), Residual(48, 96, 2), Residual(96, 96), Residual(96, 160, 2))
        self.reduce = nn.Sequential(nn.Conv2d(160, 24, 1, bias=False), nn.BatchNorm2d(24), nn.ReLU())
        self.head = nn.Sequential(nn.Linear(24 * 25 + 160 + 128, 160), nn.ReLU(), nn.Dropout(0.1), nn.Linear(160, sum(HEADS.values())))

    def forward(self, crops: Tensor, points: Tensor) -> Tensor:
        """Raw values, split by :func:`split_heads` (logits where probabilities).

        Args:
            crops: ``B x 3 x 80 x 80`` in ``[0, 1]``.
            points: ``B x 68 x 2`` landmarks in crop pixels.

        Returns:
            ``B x 61``.
        """
        # channels_last: a fifth off the time on a CPU
        normal = (crops * 4.0 - 2.0).contiguous(memory_format=torch.channels_last)
        features = self.body(convolve_first(self.stem, normal, relu=True))
        shape = self.points(((points - self.template) / POINT_UNIT).clamp(-10, 10).flatten(1))
        return self.head(torch.cat([self.reduce(features).flatten(1), features.mean((2, 3)), shape], 1))


def split_heads(raw: Tensor) -> dict[str, Tensor]:
    """``B x 61`` raw values by name: ``B x n``."""
    return dict(zip(HEADS, raw.split(list(HEADS.values()), 1), strict=True))
