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
        columns: square pairs that a row has room for; wide pictures take more.
        height: of each picture on the sheet, in pixels.

    Raises:
        OutputError: there is nothing to show, or the file cannot be written.
    """
    if not pairs:
        raise OutputError("a contact sheet needs at least one pair of pictures")
    limit = columns * 2 * (height + _GAP)
    rows: list[list[np.ndarray]] = [[]]
    for a, b in pairs:
        tile = _framed(np.concatenate([_fit(a, height), _fit(b, height)], 1))
        if rows[-1] and sum(t.shape[1] for t in rows[-1]) + tile.shape[1] > limit:
            rows.append([])
        rows[-1].append(tile)
    lines = [np.concatenate(row, 1) for row in rows]
    width = max(line.shape[1] for line in lines)
    sheet = np.concatenate([np.pad(line, ((0, 0), (0, width - line.shape[1]), (0, 0)), constant_values=_PAPER) for line in lines])
    write_atomic(path, encode_image(sheet, format="PNG"))
    return path


def _fit(picture: np.ndarray, height: int) -> np.ndarray:
    width = min(max(round(picture.shape[1] * height / picture.shape[0]), 1), 2 * height)
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)


def _framed(tile: np.ndarray) -> np.ndarray:
    return np.pad(tile, ((0, _GAP), (0, _GAP), (0, 0)), constant_values=_PAPER)
