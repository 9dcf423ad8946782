"""Seven emotions from one small bundled network: a judge of whether an expression was kept, which guides no method."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fo_faceanon.errors import InputError, WeightsError
from fo_faceanon.networks.emotion import EMOTIONS, EmotionCNN
from fo_faceanon.recognition.windows import crops_of
from fo_faceanon.weights import require_weight

__all__ = ["ACCURACY", "EMOTIONS", "FACE_API_NAMES", "EmotionClassifier", "classify_images"]

#: What face-api.js (``networks.face_api_expression.EMOTIONS``) calls the same classes.
FACE_API_NAMES = {
    "neutral": "neutral", "happiness": "happy", "sadness": "sad", "anger": "angry", "fear": "fearful", "disgust": "disgusted",
    "surprise": "surprised",
}  # fmt: skip
#: How often it is right, by the (noisy) labels of 1,346 faces of LFW: see ``data/emotion.md``. Goes with the weights.
ACCURACY = {"accuracy": 0.793, "balanced over five classes": 0.564}
#: Faces that go through the network at once: bounds memory.
_CHUNK = 64


class EmotionClassifier:
    """The bundled emotion network on one device.

    Args:
        device: where it runs; inputs are moved there, outputs stay there.
        weights: a safetensors file; None for the bundled one (see ``data/emotion.md``).

    Raises:
        WeightsError: the file is missing, altered, or not this network's.
    """

    name = "fo-faceanon-emotion"

    def __init__(self, device: str | torch.device = "cpu", weights: Path | None = None) -> None:
        self.device = torch.device(device)
        self.net = EmotionCNN()
        weights = require_weight("emotion") if weights is None else weights
        try:
            self.net.load_state_dict(_read(weights))
        except RuntimeError as error:
            raise WeightsError(f"{weights} does not hold the emotion network: {error}; reinstall fo-faceanon") from error
        self.net.eval().to(self.device)

    @torch.inference_mode()
    def probabilities(self, crops: Tensor, landmarks: Tensor) -> Tensor:
        """Probabilities of the emotions, the mean over a face and its mirror image.

        Args:
            crops: ``B x 3 x S x S`` in ``[0, 1]``, gamma-encoded RGB.
            landmarks: ``B x 68 x 2`` in pixels of the crops; they align the face, and nothing is read from them.

        Returns:
            ``B x 7`` in the order of :data:`EMOTIONS`, on the classifier's device; each row sums to 1, and is NaN for a face with
            a NaN landmark. A face's row does not depend on the other faces of the batch beyond rounding.

        Raises:
            InputError: the shapes do not fit.
        """
        if crops.ndim != 4 or crops.shape[1] != 3 or landmarks.shape != (len(crops), 68, 2):
            shapes = f"{tuple(crops.shape)} and {tuple(landmarks.shape)}"
            raise InputError(f"emotions need crops of shape (B, 3, S, S) and landmarks of shape (B, 68, 2), but got {shapes}")
        crops, landmarks = crops.to(self.device, torch.float32), landmarks.to(self.device, torch.float32)
        out = crops.new_full((len(crops), len(EMOTIONS)), torch.nan)
        rows = landmarks.isfinite().flatten(1).all(1).nonzero()[:, 0]
        for chunk in rows.split(_CHUNK) if len(rows) else ():
            faces = self.net.align(crops[chunk], landmarks[chunk])
            out[chunk] = (self.net(faces).softmax(1) + self.net(faces.flip(-1)).softmax(1)) / 2
        return out.clone()


def classify_images(classifier: EmotionClassifier, images: Sequence[np.ndarray], landmarks: Sequence[np.ndarray | None]) -> Tensor:
    """``N x 7`` probabilities on the CPU of one face per image (see :func:`crops_of`); NaN where there are no landmarks."""
    out = torch.full((len(images), len(EMOTIONS)), torch.nan)
    for indices, crops, points in crops_of(images, landmarks):
        out[indices] = classifier.probabilities(crops, points).cpu()
    return out


def _read(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(str(path))
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"cannot read the emotion network's weights {path}: {error}; reinstall fo-faceanon") from error
    return {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}
