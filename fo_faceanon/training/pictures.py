"""PNG files and sheets of pictures, without an image library."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


def write_png(path: Path, pixels: np.ndarray) -> None:
    """Writes ``H x W x 3`` uint8 RGB."""
    height, width, _ = pixels.shape
    rows = np.zeros((height, 1 + 3 * width), np.uint8)  # each row begins with its filter: none
    rows[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 6)), (b"IEND", b""))
    body = b"".join(struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks)
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    part.replace(path)


def sheet(columns: Sequence[Tensor], faces_per_row: int) -> np.ndarray:
    """Pictures side by side: for each face, one from each of ``columns``.

    Args:
        columns: each ``N x 3 x S x S`` in ``[-1, 1]``.
        faces_per_row: how many faces stand in a row.

    Returns:
        ``H x W x 3`` uint8.
    """
    count = len(columns[0]) // faces_per_row * faces_per_row
    tiles = torch.stack([column[:count].float().cpu() for column in columns], 1)  # N x columns x 3 x S x S
    size = tiles.shape[-1]
    rows = tiles.reshape(-1, faces_per_row * len(columns), 3, size, size).permute(0, 3, 1, 4, 2)
    pixels = ((rows.clamp(-1, 1) + 1) * 127.5).round().byte().numpy()
    return pixels.reshape(rows.shape[0] * size, -1, 3)
