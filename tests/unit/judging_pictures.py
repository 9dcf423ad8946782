"""Pictures for the tests of judging and evaluation: portraits of nobody that ship in the package."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

import fo_faceanon

_DEMO = Path(fo_faceanon.__file__).parent / "data" / "demo"


@cache
def portrait(number: int = 0, side: int = 256) -> np.ndarray:
    """``side x side x 3`` uint8."""
    picture = Image.open(_DEMO / f"portrait_{number:02}.jpg").convert("RGB").resize((side, side), Image.Resampling.LANCZOS)
    return np.asarray(picture).copy()


def save(path: Path, pixels: np.ndarray) -> Path:
    """Writes pixels without loss, making folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path
