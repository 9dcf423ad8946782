"""Square windows around faces, batched for recognisers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from fo_faceanon.errors import InputError
from fo_faceanon.faces import CROP_SIDES

#: Side of the window in units of the landmarks' larger extent: holds every recogniser's chip at any rotation in the plane.
_REACH = 2.2
#: Windows are reduced by whole factors until they are no larger; every recogniser needs far less.
_MAX_SIDE = 768
#: Rows and columns of the picture that one pixel of a reduced window averages at most: bounds memory, however large a face is said to be.
_MAX_SAMPLES = 4


def _window(image: np.ndarray, landmarks: np.ndarray, side: int) -> tuple[Tensor, Tensor]:
    """A ``3 x side x side`` window in ``[0, 1]`` with replicated borders, and the landmarks in it."""
    low, high = landmarks.min(0), landmarks.max(0)
    factor = max(1, int(np.ceil((high - low).max() * _REACH / _MAX_SIDE)))
    samples = min(factor, _MAX_SAMPLES)
    origin = np.round((low + high) / 2 - side * factor / 2)
    steps = (np.arange(side * samples) + 0.5) * factor / samples - 0.5
    xs, ys = (np.clip(np.round(o + steps), 0, n - 1).astype(int) for o, n in zip(origin, image.shape[1::-1], strict=True))
    pixels = image[ys[:, None], xs].reshape(side, samples, side, samples, 3).mean((1, 3), dtype=np.float32)
    points = (landmarks - origin + 0.5) / factor - 0.5
    return torch.from_numpy(pixels).permute(2, 0, 1) / 255, torch.from_numpy(points.astype(np.float32))


def _side(landmarks: np.ndarray) -> int:
    extent = min(float(np.ptp(landmarks, axis=0).max()) * _REACH, _MAX_SIDE)
    return next(side for side in CROP_SIDES if side >= extent)


def crops_of(
    images: Sequence[np.ndarray], landmarks: Sequence[np.ndarray | None], batch: int = 32
) -> Iterator[tuple[list[int], Tensor, Tensor]]:
    """Windows around one face per image, in batches of equal size.

    Args:
        images: ``H x W x 3`` uint8 RGB; the same array may occur several times.
        landmarks: ``68 x 2`` pixel positions of one face in each image; faces with None or NaN are left out.
        batch: most faces in a batch.

    Yields:
        ``(indices, crops, landmarks)``: positions in ``images``, ``B x 3 x S x S`` float32 in ``[0, 1]`` and ``B x 68 x 2``
        float32 in pixels of the crops.

    Raises:
        InputError: an image or a set of landmarks has another shape.
    """
    if len(images) != len(landmarks):
        raise InputError(f"crops_of needs one set of landmarks per image, but got {len(images)} images and {len(landmarks)} sets")
    groups: dict[int, list[int]] = {}
    for i, (image, points) in enumerate(zip(images, landmarks, strict=True)):
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise InputError(f"image {i} must be H x W x 3 uint8, but is {image.shape} {image.dtype}")
        if points is None:
            continue
        if points.shape != (68, 2):
            raise InputError(f"landmarks {i} must have shape (68, 2), but got {points.shape}")
        if np.isfinite(points).all():
            groups.setdefault(_side(points), []).append(i)
    for side, members in sorted(groups.items()):
        for start in range(0, len(members), batch):
            chosen = members[start : start + batch]
            windows = [_window(images[i], np.asarray(landmarks[i], np.float64), side) for i in chosen]
            yield chosen, torch.stack([pixels for pixels, _ in windows]), torch.stack([placed for _, placed in windows])
