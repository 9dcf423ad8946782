"""A stand-in for the anonymizer: fills given boxes, or the middle of the image, and misbehaves where its method says so."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fo_faceanon.records import FaceRecord

FACTORY = "engine_fakes:FakeAnonymizer"
MARK = 201  # the red value of the first pixel of images that faults strike


@dataclass
class FakeImage:
    pixels: np.ndarray
    mask: np.ndarray
    faces: list[FaceRecord] = field(default_factory=list)
    error: str | None = None


class FakeAnonymizer:
    """``method``: ``mask``, or the name of a fault: it then strikes marked images only."""

    def __init__(self, method: str, **options: Any) -> None:
        self.method = method
        self.options = options
        if method == "no-weights":
            from fo_faceanon.errors import WeightsError

            raise WeightsError("weights 'fake' are missing; get them: fo-faceanon weights get fake")
        if method == "die-at-start":
            os.kill(os.getpid(), signal.SIGKILL)

    def __call__(self, images: list[np.ndarray], faces: list[Any]) -> list[FakeImage]:
        marked = [int(image[0, 0, 0]) == MARK for image in images]
        if self.method == "die" and any(marked):
            os.kill(os.getpid(), signal.SIGKILL)
        if self.method == "raise" and any(marked):
            raise ValueError("boom")
        if self.method == "oom" and len(images) > 2:
            raise RuntimeError("CUDA out of memory")
        return [self._one(image, given, mark) for image, given, mark in zip(images, faces, marked, strict=True)]

    def _one(self, image: np.ndarray, given: Any, marked: bool) -> FakeImage:
        height, width = image.shape[:2]
        boxes = [face.box for face in given] if given is not None else [(width / 4, height / 4, width * 3 / 4, height * 3 / 4)]
        result = FakeImage(image.copy(), np.zeros((height, width), bool))
        for box in boxes:
            x0, y0, x1, y1 = (round(value) for value in box)
            result.mask[y0:y1, x0:x1] = True
            if not (marked and self.method == "unchanged"):
                result.pixels[y0:y1, x0:x1] = 255 - image[y0:y1, x0:x1].mean((0, 1)).astype(np.uint8)
            result.faces.append(FaceRecord(box, 1.0, "fake", "generated", "mask", 7, reidentified=False))
        if marked and self.method == "leak":
            result.pixels[0, 1] ^= 255
        if marked and self.method == "recognised":
            result.faces[0].reidentified = True
        if marked and self.method == "filled":
            result.faces[0].action = "filled"
        if marked and self.method == "error":
            result.error = "a face could not be replaced"
        return result


def write_images(folder: Path, count: int, marked: tuple[int, ...] = (), side: int = 48, suffix: str = ".png") -> list[Path]:
    """Small smooth pictures, each different."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    y, x = np.mgrid[0:side, 0:side]
    for i in range(count):
        pixels = np.stack([(x * 3 + i * 5) % 200, (y * 3) % 200, (x + y) * 2 % 200], -1).astype(np.uint8)
        pixels[0, 0] = MARK if i in marked else 0
        paths.append(folder / f"p{i:03d}{suffix}")
        Image.fromarray(pixels).save(paths[-1])
    return paths
