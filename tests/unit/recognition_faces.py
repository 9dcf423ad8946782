"""The two real photographs that installed packages carry, with landmarks by dlib, for the tests of recognition."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from fo_faceanon.weights import require_weight


@dataclass(frozen=True)
class Portrait:
    """A photograph and the 68 landmarks of its face."""

    image: np.ndarray
    landmarks: np.ndarray


@cache
def portraits() -> tuple[Portrait, Portrait]:
    """Eileen Collins and Grace Hopper."""
    import dlib
    import matplotlib
    import skimage.data

    hopper = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    images = [skimage.data.astronaut(), np.array(Image.open(hopper).convert("RGB"))]
    detector = dlib.get_frontal_face_detector()
    predictor = dlib.shape_predictor(str(require_weight("dlib-landmarks", "shape_predictor_68_face_landmarks.dat")))
    found = []
    for image in images:
        shape = predictor(image, max(detector(image, 1), key=lambda box: box.area()))
        found.append(Portrait(image, np.array([(p.x, p.y) for p in shape.parts()], np.float32)))
    return found[0], found[1]
