"""MediaPipe's face mesh and blendshape networks as batched torch modules, read from ``face_landmarker.task``.

Grishchenko et al. 2020, "Attention Mesh", arXiv:2006.10962, as Google released it in the face landmarker (Apache-2.0); blendshapes
after Grishchenko et al. 2023, "Blendshapes GHUM", arXiv:2309.05782: an MLP mixer over 146 of the points. MediaPipe itself needs
OpenCV's contrib build, which takes the place of FiftyOne's, and runs one face at a time; these modules need torch only.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fo_faceanon.errors import WeightsError
from fo_faceanon.networks.tflite import ADD, CONCATENATION, CONV_2D, DEPTHWISE_CONV_2D, MUL, PRELU, Operator, read_operators

#: Side of the crop that the mesh network takes, in pixels, and the number of its points.
CROP_SIDE, POINTS = 256, 478
_STAGES = (16, 32, 64, 128, 128, 128, 128)  # channels at 128, 64, ... 2 px
_REPEATS = 4  # residual blocks in a stage, after the one that halves
#: The points that the blendshape network reads (MediaPipe's face_blendshapes_graph.cc).
BLENDSHAPE_POINTS = (
    0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58, 61, 63, 65, 66, 67, 70, 78, 80, 81, 82, 84, 87, 88,
    91, 93, 95, 103, 105, 107, 109, 127, 132, 133, 136, 144, 145, 146, 148, 149, 150, 152, 153, 154, 155, 157, 158, 159, 160, 161, 162,
    163, 168, 172, 173, 176, 178, 181, 185, 191, 195, 197, 234, 246, 249, 251, 263, 267, 269, 270, 276, 282, 283, 284, 285, 288, 291,
    293, 295, 296, 297, 300, 308, 310, 311, 312, 314, 317, 318, 321, 323, 324, 332, 334, 336, 338, 356, 361, 362, 365, 373, 374, 375,
    377, 378, 379, 380, 381, 382, 384, 385, 386, 387, 388, 389, 390, 397, 398, 400, 402, 405, 409, 415, 454, 466, 468, 469, 470, 471,
    472, 473, 474, 475, 476, 477,
)  # fmt: skip


class _Block(nn.Module):
    """A residual bottleneck; ``halve`` makes its first convolution and its shortcut halve the picture."""

    def __init__(self, channels: int, out: int, halve: bool) -> None:
        super().__init__()
        inner = min(out // 2, 64)
        self.halve, self.widen = halve, out - channels
        self.reduce = nn.Conv2d(channels, inner, 2, 2) if halve else nn.Conv2d(channels, inner, 1)
        self.prelu_inner = nn.PReLU(inner)
        self.depthwise = nn.Conv2d(inner, inner, 3, padding=1, groups=inner)
        self.expand = nn.Conv2d(inner, out, 1)
        self.prelu = nn.PReLU(out)

    def forward(self, x: Tensor) -> Tensor:
        """``B x channels x H x W`` to ``B x out x H x W`` or half of it."""
        short = F.pad(F.max_pool2d(x, 2), (0, 0, 0, 0, 0, self.widen)) if self.halve else x
        return self.prelu(short + self.expand(self.depthwise(self.prelu_inner(self.reduce(x)))))


class FaceMeshNet(nn.Module):
    """478 points of a face crop."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, _STAGES[0], 3, 2)
        self.prelu = nn.PReLU(_STAGES[0])
        blocks = [_Block(_STAGES[0], _STAGES[0], False) for _ in range(_REPEATS)]
        for before, channels in pairwise(_STAGES):
            blocks += [_Block(before, channels, True), *(_Block(channels, channels, False) for _ in range(_REPEATS))]
        self.blocks = nn.Sequential(*blocks)
        self.tongue = nn.Conv2d(_STAGES[-1], 1, 2)  # in the file, and read by nobody
        self.presence = nn.Conv2d(_STAGES[-1], 1, 2)
        self.points = nn.Conv2d(_STAGES[-1], 3 * POINTS, 2)

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Marks upright crops.

        Args:
            crops: ``B x 3 x 256 x 256`` in ``[0, 1]``, RGB.

        Returns:
            ``B x 478 x 3`` positions in crop pixels (corner of the crop at 0, as MediaPipe counts; z in the same unit, smaller
            is nearer), and ``B`` probabilities that there is a face.
        """
        x = self.blocks(self.prelu(self.stem(F.pad(crops, (0, 1, 0, 1)))))
        return self.points(x).reshape(-1, POINTS, 3), self.presence(x).flatten().sigmoid()


class _Mixer(nn.Module):
    """One block of an MLP mixer (Tolstikhin et al. 2021): across tokens, then across channels."""

    def __init__(self, tokens: int, channels: int) -> None:
        super().__init__()
        self.norm_tokens = nn.LayerNorm(channels, eps=1e-6, bias=False)
        self.tokens = nn.Sequential(nn.Linear(tokens, 384), nn.ReLU(), nn.Linear(384, tokens))
        self.norm_channels = nn.LayerNorm(channels, eps=1e-6, bias=False)
        self.channels = nn.Sequential(nn.Linear(channels, 256), nn.ReLU(), nn.Linear(256, channels))

    def forward(self, x: Tensor) -> Tensor:
        """``B x tokens x channels``, kept."""
        x = x + self.tokens(self.norm_tokens(x).transpose(1, 2)).transpose(1, 2)
        return x + self.channels(self.norm_channels(x))


class _Token(nn.Module):
    """A learned token before the others."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.zeros(1, 1, channels))

    def forward(self, x: Tensor) -> Tensor:
        """``B x tokens x channels`` to one token more."""
        return torch.cat([self.value.expand(len(x), -1, -1), x], 1)


class BlendshapeNet(nn.Module):
    """52 blendshapes of a mesh."""

    def __init__(self) -> None:
        super().__init__()
        self.mix_points = nn.Linear(len(BLENDSHAPE_POINTS), 96)
        self.embed = nn.Linear(2, 64)
        self.token = _Token(64)
        self.blocks = nn.Sequential(*(_Mixer(97, 64) for _ in range(4)))
        self.head = nn.Linear(64, 52)

    def forward(self, points: Tensor) -> Tensor:
        """``B x 478 x 2`` (or 3) positions in any unit and place to ``B x 52`` in ``[0, 1]`` (`attributes.BLENDSHAPES`)."""
        x = points[:, list(BLENDSHAPE_POINTS), :2]
        x = x - x.mean(1, keepdim=True)
        x = 0.5 * x / x.norm(dim=-1, keepdim=True).mean(1, keepdim=True).clamp_min(1e-6)
        x = self.embed(self.mix_points(x.transpose(1, 2)).transpose(1, 2))
        x = self.blocks(self.token(x))
        return self.head(x[:, 0]).sigmoid()


def load_face_landmarker(path: Path) -> tuple[FaceMeshNet, BlendshapeNet, bytes]:
    """Both networks, and the data of the canonical face (`landmarks.head_pose`), from ``face_landmarker.task``.

    Raises:
        WeightsError: the file is not the face landmarker of 2023.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            mesh, blendshapes = (archive.read(f"face_{name}.tflite") for name in ("landmarks_detector", "blendshapes"))
            geometry = archive.read("geometry_pipeline_metadata_landmarks.binarypb")
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise WeightsError(f"{path} is not MediaPipe's face_landmarker.task: {error}") from error
    networks = FaceMeshNet().eval(), BlendshapeNet().eval()
    for network, data in zip(networks, (mesh, blendshapes), strict=True):
        _copy_weights(network, read_operators(data, str(path)), str(path))
    return *networks, geometry


def _copy_weights(network: nn.Module, operators: list[Operator], name: str) -> None:
    """Modules hold their parameters in the order in which the file's operators use them."""
    try:
        with torch.no_grad():
            for parameter, value in zip(network.parameters(), _weights(operators), strict=True):
                parameter.copy_(torch.from_numpy(value).reshape(parameter.shape))
    except (RuntimeError, ValueError) as error:
        raise WeightsError(f"{name} holds another network than expected: {error}") from error
    network.requires_grad_(False)


def _weights(operators: list[Operator]) -> Iterator[np.ndarray]:
    """Convolutions' kernels in torch's order and their biases, slopes, scales of normalizations and learned tokens."""
    for operator in operators:
        if operator.code == CONV_2D:
            kernel, bias = operator.constants
            yield from (kernel.transpose(0, 3, 1, 2), bias)
        elif operator.code == DEPTHWISE_CONV_2D:
            kernel, bias = operator.constants
            yield from (kernel.transpose(3, 0, 1, 2), bias)
        elif operator.code in (PRELU, CONCATENATION) or (operator.code == MUL and operator.constants):
            if operator.constants[0].size > 1:
                yield operator.constants[0]
        elif operator.code == ADD and any(c.size > 1 for c in operator.constants):
            raise ValueError("an addition of learned numbers")
