"""What the tests of the host share: small pictures, datasets of them, and an anonymizer that needs no network."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fiftyone as fo
import numpy as np
from PIL import Image

from fo_faceanon.faces import AddedFaces, Face
from fo_faceanon.records import FaceRecord

#: Settings of a run that takes milliseconds, in this process.
FAST: dict[str, Any] = {"method": "mask", "factory": "host_tools:FillAnonymizer", "workers": 1, "progress": False}
#: Where the fake finds a face in every picture that has red in its first pixel.
BOX = (10.0, 8.0, 40.0, 44.0)


@dataclass
class Filled:
    """What the engine needs of an outcome; the real class would load every network."""

    pixels: np.ndarray
    mask: np.ndarray
    faces: list[FaceRecord]
    error: str | None


class FillAnonymizer:
    """Fills each face with one grey; a picture whose first pixel is blue has no face, a green one cannot be done."""

    def __init__(self, method: str, *, seed: int = 0, **_: Any) -> None:
        self._grey = 10 + seed % 200

    def __call__(self, images: Sequence[np.ndarray], faces: Sequence[Sequence[Face] | None] | None = None) -> list[Filled]:
        given = faces or [None] * len(images)
        return [self._one(image, entry) for image, entry in zip(images, given, strict=True)]

    def _one(self, image: np.ndarray, faces: Sequence[Face] | None) -> Filled:
        red, green, blue = (int(value) for value in image[0, 0])
        if faces is None or isinstance(faces, AddedFaces):
            faces = (*(() if blue > red else (Face(BOX, detector="fake"),)), *(faces or ()))
        pixels, mask = image.copy(), np.zeros(image.shape[:2], bool)
        for face in faces:
            if not face.keep:
                x0, y0, x1, y1 = (round(value) for value in face.box)
                inside = (slice(max(y0, 0), y1), slice(max(x0, 0), x1))
                mask[inside] = True
                pixels[inside] = self._grey if face.seed is None else 10 + face.seed % 200
        error = "the face cannot be done" if green > 200 else None
        return Filled(pixels, mask, [self._record(face) for face in faces], error)

    def _record(self, face: Face) -> FaceRecord:
        marks = None if face.keep else np.linspace(face.box[:2], face.box[2:], 68).tolist()
        action = "kept" if face.keep else "generated"
        return FaceRecord(
            face.box,
            face.score,
            face.detector,
            action,
            face.method or "mask",
            7,
            key=face.key,
            identity_similarity=0.1,
            reidentified=False,
            landmarks=marks,
        )


class SlowAnonymizer(FillAnonymizer):
    """Takes its time, so that it can be killed half way."""

    def __call__(self, images: Sequence[np.ndarray], faces: Sequence[Sequence[Face] | None] | None = None) -> list[Filled]:
        time.sleep(0.5)
        return super().__call__(images, faces)


def picture(seed: int, kind: str = "face", size: tuple[int, int] = (64, 56)) -> Image.Image:
    """A smooth random picture, width x height, whose first pixel says what the fake shall do with it."""
    noise = np.random.default_rng(seed).integers(40, 180, (5, 5, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)
    marker = {"face": (220, 0, 0), "empty": (0, 0, 220), "bad": (0, 255, 0)}[kind]
    image.paste(marker, (0, 0, 4, 4))
    return image


def make_dataset(folder: Path, kinds: Iterable[str] = ("face", "face", "empty"), suffix: str = ".png") -> fo.Dataset:
    """A dataset of pictures ``person-0000.png``, ... in ``folder``; kind ``broken`` is no image at all."""
    folder.mkdir(parents=True, exist_ok=True)
    samples = []
    for number, kind in enumerate(kinds):
        path = folder / f"person-{number:04d}{suffix}"
        if kind == "broken":
            path.write_bytes(b"not an image")
        else:
            picture(number, kind).save(path)
        samples.append(fo.Sample(filepath=str(path)))
    dataset = fo.Dataset(f"test-{secrets.token_hex(6)}")
    dataset.add_samples(samples, progress=False)
    return dataset
