"""What faces a bank is wanted for: cheap features of real faces, comparable with those of candidates."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from fo_faceanon.attributes import FaceAttributes
from fo_faceanon.detection import create_detector
from fo_faceanon.donors.consensus import log_age
from fo_faceanon.donors.describe import FaceDescriber, light_grid, normalised_shape
from fo_faceanon.errors import FaceAnonError, InputError
from fo_faceanon.images import decode_image
from fo_faceanon.landmarks.landmarks68 import Landmarks68
from fo_faceanon.windows import cut_windows, window_of


def features_of(found: FaceAttributes, landmarks: Tensor, light: Tensor, skin: Tensor) -> Tensor:
    """``B x D`` features whose Euclidean distance is unlikeness, cheap enough for every candidate."""
    single = torch.stack([log_age(found.age) * 2.5, found.male * 1.5, found.glasses * 2, found.beard * 1.5], 1)
    parts = [normalised_shape(landmarks) * 2, found.expression * 0.4, found.pose / 12, single, skin / 12, light / 60]
    return torch.cat(parts, 1)


def wanted_features(folder: Path | str, describer: FaceDescriber, progress: Callable[[int, int, str], None]) -> Tensor:
    """``Q x D`` features of the main face of every photograph in a folder that shows one.

    Raises:
        InputError: there is none.
    """
    detector, landmarker = create_detector("mtcnn", device="cpu", min_face=40), Landmarks68()
    paths = [path for path in sorted(Path(folder).rglob("*")) if path.is_file()]
    rows = []
    for number, path in enumerate(paths):
        progress(number, len(paths), "looking at faces")
        try:
            image = decode_image(path).pixels
        except FaceAnonError:
            continue
        faces = sorted(detector([image])[0], key=lambda face: face.box[0] - face.box[2])[:1]
        marks = [points for points in landmarker(image, faces) if points is not None]
        if not marks:
            continue
        face = faces[0].with_landmarks(marks[0])
        batch = cut_windows([image], [face], [window_of(face)], [0], [None], "cpu")
        pixels, points = batch.reduce(batch.pixels), batch.reduced_landmarks
        with torch.inference_mode():
            rows.append(features_of(describer.attributes(pixels, points), points, *light_grid(pixels, points)))
    progress(len(paths), len(paths), "looking at faces")
    if not rows:
        raise InputError(f"no face was found in the {len(paths)} pictures of {folder}: name a folder of photographs of faces")
    return torch.cat(rows)
