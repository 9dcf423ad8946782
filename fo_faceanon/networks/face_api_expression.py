"""The expression network of face-api.js (MIT) in torch: it judges whether an expression was kept and never guides a method."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import roi_align

from fo_faceanon.errors import WeightsError

#: The classes, in the order of the network's outputs.
EMOTIONS = ("neutral", "happiness", "sadness", "anger", "fear", "disgust", "surprise")
_MEAN_RGB = (122.782, 117.001, 104.298)
_MODEL = "face_expression_model"


def read_quantized(folder: str | Path, model: str = _MODEL) -> dict[str, Tensor]:
    """The tensors of a TensorFlow.js weights manifest: eight-bit values with a scale and a minimum per tensor.

    Raises:
        WeightsError: the manifest and the binary file do not fit together.
    """
    root = Path(folder)
    try:
        (group,) = json.loads((root / f"{model}-weights_manifest.json").read_text())
        data = b"".join((root / path).read_bytes() for path in group["paths"])
        tensors, at = {}, 0
        for entry in group["weights"]:
            quantization = entry.get("quantization")
            kind = np.dtype(quantization["dtype"] if quantization else entry["dtype"]).newbyteorder("<")
            values = np.frombuffer(data, kind, int(np.prod(entry["shape"])), at).astype(np.float32)
            at += values.size * kind.itemsize
            if quantization:
                values = values * np.float32(quantization["scale"]) + np.float32(quantization["min"])
            tensors[entry["name"]] = torch.from_numpy(values.reshape(entry["shape"]))
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise WeightsError(f"the weights of {model} in {root} cannot be read ({error}); fetch them again") from error
    return tensors


class _Conv(nn.Conv2d):
    """A convolution with TensorFlow's ``same`` padding."""

    def forward(self, x: Tensor) -> Tensor:
        pads: list[int] = []
        for size, kernel, stride in zip(x.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        return super().forward(F.pad(x, pads))


def _conv(weight: Tensor, bias: Tensor | None, stride: int, depthwise: bool = False) -> _Conv:
    """A convolution from TensorFlow's ``height x width x in x out`` (or ``channels x multiplier``) layout."""
    kernel = weight.permute(2, 3, 0, 1) if depthwise else weight.permute(3, 2, 0, 1)
    channels = kernel.shape[0] if depthwise else kernel.shape[1]
    groups = channels if depthwise else 1
    module = _Conv(channels, kernel.shape[0], kernel.shape[2], stride, groups=groups, bias=bias is not None)
    module.weight.data = kernel.contiguous()
    if bias is not None:
        module.bias = nn.Parameter(bias)
    return module


class _Dense(nn.Module):
    """Four convolutions, each fed the rectified sum of all before it; the first halves the resolution."""

    def __init__(self, tensors: Mapping[str, Tensor], name: str) -> None:
        super().__init__()
        self.layers = nn.ModuleList(self._layer(tensors, f"{name}/conv{i}", 2 if i == 0 else 1) for i in range(4))

    @staticmethod
    def _layer(tensors: Mapping[str, Tensor], name: str, stride: int) -> nn.Module:
        bias = tensors[f"{name}/bias"]
        if f"{name}/filters" in tensors:
            return _conv(tensors[f"{name}/filters"], bias, stride)
        depthwise = _conv(tensors[f"{name}/depthwise_filter"], None, stride, depthwise=True)
        return nn.Sequential(depthwise, _conv(tensors[f"{name}/pointwise_filter"], bias, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.layers[0](x))  # rectified by itself; the later ones only in the sum
        total, fed = x, x
        for layer in self.layers[1:]:
            total = total + layer(fed)
            fed = F.relu(total)
        return fed


class FaceApiExpression(nn.Module):
    """Probabilities of the seven :data:`EMOTIONS`.

    Args:
        tensors: what :func:`read_quantized` returned.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(_Dense(tensors, f"dense{i}") for i in range(4)))
        self.output = nn.Linear(*tensors["fc/weights"].shape)
        self.output.weight.data = tensors["fc/weights"].T.contiguous()
        self.output.bias.data = tensors["fc/bias"]

    def forward(self, chips: Tensor) -> Tensor:
        """``B x 7`` probabilities for ``B x 3 x 112 x 112`` RGB chips in ``[0, 1]`` (see :func:`expression_chips`)."""
        mean = chips.new_tensor(_MEAN_RGB)[:, None, None]
        x = self.blocks((chips * 255 - mean) / 255)
        return F.softmax(self.output(F.avg_pool2d(x, 7, 2).flatten(1)), 1)


def expression_chips(crops: Tensor, landmarks: Tensor) -> Tensor:
    """``B x 3 x 112 x 112``: the square that dlib's detector would frame, 1.35 times as large.

    Args:
        crops: ``B x 3 x S x S``.
        landmarks: ``B x 68 x 2`` finite pixel positions in the crops. The square is centred a tenth of their extent above
            their centre and 1.058 times as large (mean over 80 photographs of LFW).
    """
    low, high = landmarks.amin(1), landmarks.amax(1)
    extent = (high - low).amax(1, keepdim=True)
    centre = (low + high) / 2 - extent * landmarks.new_tensor([0.0, 0.1])
    half = extent * (1.058 * 1.35 / 2)
    boxes = torch.cat([centre - half, centre + half], 1) + 0.5
    index = torch.arange(len(crops), device=crops.device, dtype=crops.dtype)[:, None]
    return roi_align(crops, torch.cat([index, boxes], 1), 112, aligned=True)


def load_expression(folder: str | Path) -> FaceApiExpression:
    """The network for inference.

    Args:
        folder: holds ``face_expression_model-weights_manifest.json`` and the binary file that it names.

    Raises:
        WeightsError: the files are missing, altered or of another network.
    """
    tensors = read_quantized(folder)
    try:
        model = FaceApiExpression(tensors)
    except (KeyError, RuntimeError, TypeError) as error:
        raise WeightsError(f"{folder} does not hold the expression network of face-api.js ({error}); fetch it again") from error
    return model.eval().requires_grad_(False)
