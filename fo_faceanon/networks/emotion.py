"""A small network that reads one of seven emotions from an aligned grey face crop: a judge of expression, never a guide."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fo_faceanon.faces import estimate_similarity, warp_affine
from fo_faceanon.networks.attributes import Residual
from fo_faceanon.networks.packed import convolve_first

#: The classes, in the order of the network's outputs.
EMOTIONS = ("neutral", "happy", "sad", "angry", "fearful", "disgusted", "surprised")
#: Side of the aligned crop, in pixels.
CROP_SIDE = 64
#: Landmarks that crops are aligned by: sides of the jaw, nose and eyes. Chin, mouth and brows move with the expression.
STEADY = (*range(5), *range(12, 17), *range(27, 48))
#: Rec. 601 luma.
_LUMA = (0.299, 0.587, 0.114)


class EmotionCNN(nn.Module):
    """Aligned crops to logits of the seven :data:`EMOTIONS`.

    It sees brightness alone, with the crop's own mean and contrast taken out: skin and light are not expression. The last feature map
    is flattened after a 1 x 1 reduction, not averaged: in an aligned crop, where a wrinkle or an opening is says what it is.
    """

    template: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("template", torch.zeros(68, 2))  # mean frontal landmarks in the crop
        self.stem = nn.Sequential(nn.Conv2d(1, 20, 5, 2, 2, bias=False), nn.BatchNorm2d(20), nn.ReLU())
        self.body = nn.Sequential(Residual(20, 40, 2), Residual(40, 80, 2), Residual(80, 80), Residual(80, 128, 2))
        self.reduce = nn.Sequential(nn.Conv2d(128, 32, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU())
        self.describe = nn.Sequential(
            nn.Dropout(0.2), nn.Linear(32 * 16 + 128, 128, bias=False), nn.BatchNorm1d(128), nn.ReLU(), nn.Dropout(0.2)
        )
        self.classify = nn.Linear(128, len(EMOTIONS))

    def features(self, crops: Tensor) -> Tensor:
        """``B x 128`` descriptions of ``B x 3 x 64 x 64`` crops in ``[0, 1]``."""
        grey = normalized(crops).contiguous(memory_format=torch.channels_last)
        maps = self.body(convolve_first(self.stem, grey, relu=True))
        return self.describe(torch.cat([self.reduce(maps).flatten(1), maps.mean((2, 3))], 1))

    def forward(self, crops: Tensor) -> Tensor:
        """``B x 7`` logits for ``B x 3 x 64 x 64`` crops in ``[0, 1]``."""
        return self.classify(self.features(crops))

    def align(self, crops: Tensor, landmarks: Tensor) -> Tensor:
        """``B x 3 x 64 x 64`` crops of faces with ``B x 68 x 2`` finite landmarks; each depends on its own face alone."""
        steady = list(STEADY)
        return warp_affine(crops, estimate_similarity(landmarks[:, steady], self.template[steady]), CROP_SIDE)


def normalized(crops: Tensor) -> Tensor:
    """``B x 1 x H x W``: luma of ``B x 3 x H x W`` with mean 0 and deviation 1 over the crop; a flat crop stays flat."""
    grey = torch.einsum("bchw,c->bhw", crops, crops.new_tensor(_LUMA))[:, None]
    return F.layer_norm(grey, grey.shape[1:], eps=1e-4)
