"""What covers a donor's face: hair over the brow, hats, glasses, as a face parser sees it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from fo_faceanon.networks.bisenet import CLASSES, BiSeNet
from fo_faceanon.photometry.skin import face_masks
from fo_faceanon.weights import require_weight

#: Side at which faces are parsed, in pixels.
_SIDE = 256


class Cover(NamedTuple):
    """Fractions of the face and forehead that are hair, hat, and glasses with what is behind them."""

    hair: float
    hat: float
    glasses: float


class OcclusionParser:
    """Parses faces with BiSeNet.

    Raises:
        WeightsError: the parser's weights are missing.
    """

    def __init__(self, device: str = "cpu") -> None:
        self.device = torch.device(device)
        self._net = BiSeNet()
        self._net.load_state_dict(torch.load(require_weight("bisenet", "79999_iter.pth"), map_location="cpu", weights_only=True))
        self._net.eval().to(self.device)

    @torch.inference_mode()
    def __call__(self, picture: np.ndarray, landmarks: np.ndarray) -> Cover:
        """What covers the face of a ``256 x 256 x 3`` uint8 picture."""
        pixels = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))[None].float().to(self.device) / 255
        with torch.autocast(self.device.type, torch.bfloat16):  # half the time, the same classes
            labels = self._net(pixels).argmax(1)
        face = face_masks(torch.from_numpy(landmarks)[None].to(self.device), *picture.shape[:2]).hull[:, 0]
        total = face.sum().clamp_min(1)
        return Cover(*(float(((labels == CLASSES.index(name)) * face).sum() / total) for name in ("hair", "hat", "eye_g")))
