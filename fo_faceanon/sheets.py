"""Contact sheets: original beside anonymized, as one PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from fo_faceanon.errors import OutputError
from fo_faceanon.images import encode_image, write_atomic

_GAP, _PAPER = 6, 255


def contact_sheet(pairs: Sequence[tuple[np.ndarray, np.ndarray]], path: Path, columns: int = 4, height: int = 256) -> Path:
    """Writes a sheet of pairs, original on the left of each.

    Args:
        pairs: ``H x W x 3`` uint8 pictures, the two of a pair of equal size; different pairs may differ.
        path: of the PNG.
        columns: pairs in a row.
        height: of each picture on the sheet, in pixels.

    Raises:
        OutputError: there is nothing to show, or the file cannot be written.
    """
    if not pairs:
        raise OutputError("a contact sheet needs at least one pair of pictures")
    tiles = [np.concatenate([_fit(a, height), _fit(b, height)], 1) for a, b in pairs]
    width = max(tile.shape[1] for tile in tiles)
    tiles = [_pad(tile, height, width) for tile in tiles]
    tiles += [np.full_like(tiles[0], _PAPER)] * (-len(tiles) % columns)
    rows = [np.concatenate(tiles[i : i + columns], 1) for i in range(0, len(tiles), columns)]
    write_atomic(path, encode_image(np.concatenate(rows), format="PNG"))
    return path


def _fit(picture: np.ndarray, height: int) -> np.ndarray:
    width = min(max(round(picture.shape[1] * height / picture.shape[0]), 1), 2 * height)
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)


def _pad(tile: np.ndarray, height: int, width: int) -> np.ndarray:
    padded = np.full((height + _GAP, width + _GAP, 3), _PAPER, np.uint8)
    left = (width - tile.shape[1]) // 2
    padded[:height, left : left + tile.shape[1]] = tile
    return padded
