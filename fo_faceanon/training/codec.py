"""Compact storage of training pictures that needs nothing but numpy and torch to read: JPEG's transform and tables, LZMA's coding.

A machine that trains may have no image decoder, and only so many bytes travel to it at a time. As in JPEG (ITU-T T.81), pictures
become YCbCr with halved chroma, blocks of 8 x 8 are cosine transformed and divided by the standard's tables; the quantised
values, sorted by frequency, are then compressed as one stream. Decoding runs on any device, thousands of pictures a second.
"""

from __future__ import annotations

import lzma

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from fo_faceanon.errors import InputError

# Annex K of the standard, at quality 50.
_LUMA = (
    "16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87 80 62 "
    "18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101 72 92 95 98 112 100 103 99"
)
_CHROMA = (
    "17 18 24 47 99 99 99 99 18 21 26 66 99 99 99 99 24 26 56 99 99 99 99 99 47 66 99 99 99 99 99 99 "
    "99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99"
)
#: RGB in ``[0, 255]`` to YCbCr around zero (JFIF).
_TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 6, "lc": 0, "lp": 0, "pb": 0}]
#: Pictures decoded at a time: bounds the memory that single precision takes.
_AT_ONCE = 512


def encode_pictures(pictures: np.ndarray, quality: int = 90) -> bytes:
    """Compresses pictures; what is lost is what a JPEG of that quality loses.

    Args:
        pictures: ``N x S x S x 3`` uint8 RGB, ``S`` a multiple of 16.
        quality: 1 to 100, JPEG's scale.

    Raises:
        InputError: the pictures have another type or shape.
    """
    if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[3] != 3 or pictures.shape[1] % 16 or pictures.shape[2] % 16:
        raise InputError(f"pictures must be N x S x S x 3 uint8 with S a multiple of 16, but got {pictures.dtype} {pictures.shape}")
    rgb = torch.from_numpy(pictures).permute(0, 3, 1, 2).float()
    ycc = torch.einsum("ij,njhw->nihw", torch.tensor(_TO_YCC), rgb)
    planes = [ycc[:, :1] - 128, F.avg_pool2d(ycc[:, 1:], 2)]
    return b"".join(_pack(_blocks(plane), _table(name, quality)) for plane, name in zip(planes, (_LUMA, _CHROMA), strict=True))


def decode_pictures(data: bytes, count: int, size: int, quality: int = 90, device: torch.device | str = "cpu") -> Tensor:
    """The pictures that :func:`encode_pictures` wrote.

    Args:
        data: its result.
        count: how many pictures.
        size: their side in pixels.
        quality: as they were written with.
        device: where they go.

    Returns:
        ``N x 3 x S x S`` uint8.

    Raises:
        InputError: the data are not those of such pictures.
    """
    half = size // 2
    luma, rest = _unpack(data, (64, count, (size // 8) ** 2))
    chroma, _ = _unpack(rest, (64, 2 * count, (half // 8) ** 2))
    out = torch.empty(count, 3, size, size, dtype=torch.uint8, device=device)
    back = torch.linalg.inv(torch.tensor(_TO_YCC, dtype=torch.float64)).float().to(device)
    for start in range(0, count, _AT_ONCE):
        part = slice(start, min(start + _AT_ONCE, count))
        y = _picture(luma[:, part], _table(_LUMA, quality), device).view(-1, 1, size, size) + 128
        cc = _picture(chroma[:, 2 * part.start : 2 * part.stop], _table(_CHROMA, quality), device).view(-1, 2, half, half)
        ycc = torch.cat([y, F.interpolate(cc, scale_factor=2, mode="bilinear", align_corners=False)], 1)
        out[part] = torch.einsum("ij,njhw->nihw", back, ycc).round().clamp(0, 255).byte()
    return out


def _table(name: str, quality: int) -> Tensor:
    """``64``, scaled as libjpeg scales it."""
    percent = 5000 / quality if quality < 50 else 200 - 2 * quality
    base = torch.tensor([float(v) for v in name.split()])
    return ((base * percent + 50) / 100).floor().clamp(1, 255)


def _basis(device: torch.device | str = "cpu") -> Tensor:
    """``8 x 8`` orthonormal cosine transform; rows are frequencies."""
    k, n = torch.arange(8.0)[:, None], torch.arange(8.0)[None]
    basis = 0.5 * torch.cos((2 * n + 1) * k * torch.pi / 16)
    basis[0] *= 0.5**0.5
    return basis.to(device)


def _blocks(planes: Tensor) -> Tensor:
    """``N x C x H x W`` to ``64 x N C x blocks`` cosine coefficients."""
    n, c, h, w = planes.shape
    cells = planes.reshape(n * c, h // 8, 8, w // 8, 8).permute(0, 1, 3, 2, 4)
    basis = _basis()
    return (basis @ cells @ basis.T).reshape(n * c, -1, 64).permute(2, 0, 1)


def _picture(coefficients: np.ndarray, table: Tensor, device: torch.device | str) -> Tensor:
    """``64 x N x blocks`` quantised values to ``N x H x W``."""
    values = torch.from_numpy(np.ascontiguousarray(coefficients)).to(device).float() * table.to(device)[:, None, None]
    n, blocks = values.shape[1:]
    side = round(blocks**0.5)
    cells = values.permute(1, 2, 0).reshape(n, side, side, 8, 8)
    basis = _basis(device)
    return (basis.T @ cells @ basis).permute(0, 1, 3, 2, 4).reshape(n, side * 8, side * 8)


def _pack(coefficients: Tensor, table: Tensor) -> bytes:
    """Quantised values as two streams of bytes, the low and the (nearly empty) high ones, each compressed."""
    values = (coefficients / table[:, None, None]).round().short().numpy()
    values[0] = np.diff(values[0], axis=1, prepend=np.int16(0))  # neighbouring blocks are about as bright
    coded = ((values << 1) ^ (values >> 15)).astype(np.uint16)  # zigzag: small numbers of either sign are small
    streams = [
        lzma.compress(part.tobytes(), lzma.FORMAT_XZ, filters=_FILTERS)
        for part in ((coded & 255).astype(np.uint8), (coded >> 8).astype(np.uint8))
    ]
    return b"".join(len(s).to_bytes(8, "little") + s for s in streams)


def _unpack(data: bytes, shape: tuple[int, ...]) -> tuple[np.ndarray, bytes]:
    """Quantised values of that shape, and the rest of the data."""
    parts = []
    for _ in range(2):
        length = int.from_bytes(data[:8], "little")
        try:
            stream = lzma.decompress(data[8 : 8 + length])
        except lzma.LZMAError as error:
            raise InputError(f"packed pictures are damaged: {error}; prepare or send them again") from error
        if len(stream) != int(np.prod(shape)):
            raise InputError(f"packed pictures are not what their header says: {len(stream)} values instead of {int(np.prod(shape))}")
        parts.append(np.frombuffer(stream, np.uint8).reshape(shape).astype(np.uint16))
        data = data[8 + length :]
    coded = parts[0] | parts[1] << 8
    values = (coded >> 1).astype(np.int16) ^ -(coded & 1).astype(np.int16)
    values[0] = np.cumsum(values[0], axis=1, dtype=np.int16)
    return values, data
