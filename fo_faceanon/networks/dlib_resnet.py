"""dlib's face descriptor network as a batched torch module, read from dlib's own file.

The network is the 29-layer residual net of dlib's ``dlib_face_recognition_resnet_model_v1.dat`` (Davis King, CC0): He et al.
2016, "Deep residual learning for image recognition", with affine layers in place of batch normalization. dlib evaluates one
face at a time on one core; this module takes batches on any device and can be differentiated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fo_faceanon.errors import WeightsError
from fo_faceanon.networks.packed import convolve

#: What dlib subtracts from RGB values in 0..255 before it divides by 256 (its ``input_rgb_image`` layer).
MEAN_RGB = (122.782, 117.001, 104.298)
#: Side of the aligned chip that the network takes, in pixels.
CHIP_SIZE = 150


@dataclass(frozen=True, slots=True)
class DlibLayer:
    """One layer of a dlib network: its name, its learned numbers (flat, or empty) and its integer settings."""

    tag: str
    params: np.ndarray
    settings: tuple[int, ...]


class _Reader:
    """dlib's portable serialization: little-endian integers of variable length, floats as mantissa and exponent."""

    def __init__(self, data: bytes, position: int) -> None:
        self.data, self.position = data, position

    def bytes(self, count: int) -> bytes:
        chunk = self.data[self.position : self.position + count]
        if count < 0 or len(chunk) != count:
            raise ValueError(f"ends inside a value at byte {self.position}")
        self.position += count
        return chunk

    def integer(self) -> int:
        control = self.bytes(1)[0]  # bit 7: sign, low four bits: number of bytes that follow
        value = int.from_bytes(self.bytes(control & 15), "little")
        return -value if control & 128 else value

    def integers(self, count: int) -> tuple[int, ...]:
        return tuple(self.integer() for _ in range(count))

    def string(self) -> str:
        return self.bytes(self.integer()).decode("ascii")

    def tensor(self) -> np.ndarray:
        version, *shape = self.integers(5)
        if version != 2:
            raise ValueError(f"holds a tensor of version {version}, not 2")
        return np.frombuffer(self.bytes(4 * math.prod(shape)), "<f4")


def _layer(reader: _Reader) -> DlibLayer:
    """The layer at the reader's position, without the state that only training needs."""
    tag = reader.string()
    params = np.empty(0, np.float32)
    settings: tuple[int, ...] = ()
    if tag == "con_4":
        params = reader.tensor()
        settings = reader.integers(7)  # filters, height, width, stride y, stride x, padding y, padding x
        reader.integers(2 * 5 + 2 * 4)  # shapes of filters and biases, four floats of its training
    elif tag == "affine_":
        params = reader.tensor()
        reader.integers(2 * 5 + 1)  # shapes of gamma and beta, kind
    elif tag == "fc_2":
        settings = reader.integers(2)  # outputs, inputs
        params = reader.tensor()
    elif tag in ("max_pool_2", "avg_pool_2"):
        settings = reader.integers(6)  # height, width, stride y, stride x, padding y, padding x
    elif tag not in ("relu_", "add_prev_"):
        raise ValueError(f"holds a layer of the unknown kind {tag!r} at byte {reader.position}")
    if tag != "fc_2":  # the last layer: nothing that is needed follows
        reader.bytes(3)  # three switches
        for _ in range(3):  # gradients and a cached output, all empty in a released file
            reader.tensor()
    return DlibLayer(tag, params, settings)


def read_dlib_layers(path: str | Path) -> list[DlibLayer]:
    """Layers of a dlib residual network file, from the input to the fully connected output.

    Raises:
        WeightsError: the file is not such a network, or is cut short.
    """
    data = Path(path).read_bytes()
    tag = b"input_rgb_image_sized"
    start = data.find(tag)
    if start < 0:
        raise WeightsError(f"{path} is not a dlib face descriptor network: it has no {tag.decode()} layer; fetch the file again")
    reader = _Reader(data, start + len(tag))
    try:
        reader.integers(3 * 2 + 2)  # mean colour as three floats, chip height and width
        layers = [_layer(reader)]
        reader.integer()  # the first layer is followed by how many samples an input makes: one
        while layers[-1].tag != "fc_2":
            layers.append(_layer(reader))
    except (ValueError, UnicodeDecodeError) as error:
        raise WeightsError(f"{path} cannot be read as a dlib network: it {error}; fetch the file again") from error
    return layers


def _convolution(conv: DlibLayer, affine: DlibLayer, channels: int) -> nn.Conv2d:
    """A convolution with the affine layer that follows it folded in."""
    filters, height, width, stride_y, stride_x, pad_y, pad_x = conv.settings
    module = nn.Conv2d(channels, filters, (height, width), (stride_y, stride_x), (pad_y, pad_x))
    weight = torch.from_numpy(conv.params[: filters * channels * height * width].copy()).reshape(filters, channels, height, width)
    bias = torch.from_numpy(conv.params[-filters:].copy())
    gamma, beta = torch.from_numpy(affine.params.copy()).reshape(2, filters)
    module.weight.data = weight * gamma[:, None, None, None]
    module.bias = nn.Parameter(bias * gamma + beta)
    return module


def _add(a: Tensor, b: Tensor) -> Tensor:
    """dlib's ``add_prev``: the smaller tensor is padded with zeros after its last channel, row and column."""
    shape = [max(i, j) for i, j in zip(a.shape[1:], b.shape[1:], strict=True)]

    def grown(x: Tensor) -> Tensor:
        c, h, w = (n - m for n, m in zip(shape, x.shape[1:], strict=True))
        return F.pad(x, (0, w, 0, h, 0, c))

    return grown(a) + grown(b)


class DlibResidual(nn.Module):
    """Two convolutions and a skip connection, which is averaged 2 x 2 where the block halves the resolution."""

    def __init__(self, first: nn.Conv2d, second: nn.Conv2d, down: bool) -> None:
        super().__init__()
        self.first, self.second, self.down = first, second, down

    def forward(self, x: Tensor) -> Tensor:
        """``B x C x H x W`` to ``B x C' x H' x W'``."""
        y = convolve(self.first, x, relu=True)
        if not self.down:  # the skip connection has the output's shape
            return convolve(self.second, y, relu=True, add=x)
        return F.relu(_add(convolve(self.second, y), F.avg_pool2d(x, 2, 2)))


class DlibResNet(nn.Module):
    """dlib's 128-dimensional face descriptor (ResNet-29).

    Args:
        layers: what :func:`read_dlib_layers` returned.
    """

    def __init__(self, layers: list[DlibLayer]) -> None:
        super().__init__()
        convs = [pair for pair in pairwise(layers) if pair[0].tag == "con_4"]
        channels = 3
        modules = []
        for conv, affine in convs:
            modules.append(_convolution(conv, affine, channels))
            channels = conv.settings[0]
        self.stem = modules[0]
        downs = [before.tag == "avg_pool_2" for before, layer in pairwise(layers) if layer.tag == "add_prev_"]
        pairs = zip(modules[1::2], modules[2::2], downs, strict=True)
        self.blocks = nn.Sequential(*(DlibResidual(*pair) for pair in pairs))
        outputs, inputs = layers[-1].settings
        self.output = nn.Linear(inputs, outputs, bias=False)
        self.output.weight.data = torch.from_numpy(layers[-1].params.copy()).reshape(inputs, outputs).T.contiguous()

    def forward(self, chips: Tensor) -> Tensor:
        """Descriptors, not normalized, of ``B x 3 x 150 x 150`` RGB chips in ``[0, 1]``: ``B x 128``.

        Two photographs of a person are usually less than 0.6 apart (Euclidean distance).
        """
        return self.describe(self.maps(chips))

    def maps(self, chips: Tensor) -> list[Tensor]:
        """What each of the 14 blocks puts out for such chips: from ``B x 32 x 35 x 35`` to ``B x 256 x 2 x 2``."""
        mean = chips.new_tensor(MEAN_RGB)[:, None, None]
        normal = ((chips * 255.0 - mean) / 256.0).contiguous(memory_format=torch.channels_last)
        x = F.max_pool2d(convolve(self.stem, normal, relu=True), 3, 2)
        return list(accumulate(self.blocks, lambda before, block: block(before), initial=x))[1:]

    def describe(self, maps: Sequence[Tensor]) -> Tensor:
        """``B x 128`` descriptors of what :meth:`maps` gave."""
        return self.output(maps[-1].mean((2, 3)))


def load_dlib_resnet(path: str | Path) -> DlibResNet:
    """The descriptor network of ``dlib_face_recognition_resnet_model_v1.dat``, ready for inference.

    Raises:
        WeightsError: the file is not that network.
    """
    layers = read_dlib_layers(path)
    try:
        model = DlibResNet(layers)
    except (RuntimeError, ValueError, IndexError) as error:
        raise WeightsError(f"{path} holds another network than dlib's face descriptor ({error}); fetch the file again") from error
    # channels_last: a third off the time of a face on a CPU
    return model.to(memory_format=torch.channels_last).eval().requires_grad_(False)
