"""Cutting faces out of images as batched windows, and putting generated windows back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from fo_faceanon.faces import CROP_SIDES, CropBatch, Face, apply_affine, invert_affine
from fo_faceanon.landmarks.canonical import canonical_frame


@dataclass(frozen=True, slots=True)
class Window:
    """A square of one image: ``origin`` (x, y) may be negative, ``side`` is in image pixels, ``size`` in worked pixels."""

    origin: tuple[int, int]
    side: int
    size: int


def window_of(face: Face, surroundings: bool = False) -> Window:
    """The window that holds a face, its forehead and the soft edge around it; on demand all of its canonical crop."""
    x0, y0, x1, y1 = face.box
    if face.landmarks is not None:
        x0, y0 = face.landmarks.min(0).tolist()
        x1, y1 = face.landmarks.max(0).tolist()
        size = max(x1 - x0, y1 - y0)
        x0, y0, x1, y1 = x0 - 0.16 * size, y0 - 0.42 * size, x1 + 0.16 * size, y1 + 0.16 * size
        if surroundings:
            (left, top), (right, bottom) = crop_extent(face.landmarks)
            x0, y0, x1, y1 = min(x0, left), min(y0, top), max(x1, right), max(y1, bottom)
    else:
        wide, high = (x1 - x0) * 0.2, (y1 - y0) * 0.2
        x0, y0, x1, y1 = x0 - wide, y0 - high, x1 + wide, y1 + high
    need = max(x1 - x0, y1 - y0, 8.0)
    size = next((side for side in CROP_SIDES if side >= need), CROP_SIDES[-1])
    side = max(size, int(np.ceil(need)))
    return Window((round((x0 + x1 - side) / 2), round((y0 + y1 - side) / 2)), side, size)


def crop_extent(landmarks: np.ndarray) -> list[list[float]]:
    """Corners ``[[x0, y0], [x1, y1]]`` of the box around the canonical crop of ``68 x 2`` landmarks, in image pixels."""
    frame = canonical_frame(torch.from_numpy(landmarks)[None].float(), 1)  # a crop of one pixel, from -0.5 to 0.5
    corners = torch.tensor([[[-0.5, -0.5], [0.5, -0.5], [-0.5, 0.5], [0.5, 0.5]]])
    placed = apply_affine(invert_affine(frame), corners)[0]
    return torch.stack([placed.amin(0), placed.amax(0)]).tolist()


def cut_windows(
    images: Sequence[np.ndarray],
    faces: Sequence[Face],
    windows: Sequence[Window],
    seeds: list[int],
    persons: list[str | None],
    device: torch.device | str,
) -> CropBatch:
    """A batch of windows of one worked size.

    Args:
        images: per face, the ``H x W x 3`` uint8 image that it is in.
        faces: the faces.
        windows: of the faces; all of one ``size``.
        seeds: one per face.
        persons: one per face.
        device: where the batch goes.
    """
    size = windows[0].size
    pixels, landmarks, boxes = [], [], []
    for image, face, window in zip(images, faces, windows, strict=True):
        pixels.append(_cut(image, window))
        scale = size / window.side
        shift = np.asarray(window.origin, np.float32) + (0.5 / scale - 0.5)  # pixel centres are at integers
        points = face.landmarks if face.landmarks is not None else np.full((68, 2), np.nan, np.float32)
        landmarks.append((points - shift) * scale)
        boxes.append((np.asarray(face.box, np.float32).reshape(2, 2) - shift) * scale)
    return CropBatch(
        pixels=torch.cat(pixels).to(device),
        landmarks=torch.from_numpy(np.stack(landmarks).astype(np.float32)).to(device),
        boxes=torch.from_numpy(np.stack(boxes).reshape(-1, 4).astype(np.float32)).to(device),
        seeds=seeds,
        persons=persons,
    )


def _cut(image: np.ndarray, window: Window) -> Tensor:
    height, width = image.shape[:2]
    (x, y), side = window.origin, window.side
    if x >= 0 and y >= 0 and x + side <= width and y + side <= height:
        square = image[y : y + side, x : x + side]
    else:
        columns = np.clip(np.arange(x, x + side), 0, width - 1)
        rows = np.clip(np.arange(y, y + side), 0, height - 1)
        square = np.take(np.take(image, rows, 0), columns, 1)
    # planes, as all that is computed from them is: a mix of layouts costs every later pass over the pixels
    cut = torch.from_numpy(np.ascontiguousarray(square.transpose(2, 0, 1)))[None].float() / 255
    if window.side != window.size:
        cut = F.interpolate(cut, size=(window.size, window.size), mode="bilinear", antialias=True, align_corners=False)
    return cut


def paste_window(canvas: np.ndarray, changed: np.ndarray, window: Window, pixels: Tensor, alpha: Tensor) -> None:
    """Blends a generated window into an image, in place; pixels where alpha is 0 are not touched.

    Args:
        canvas: ``H x W x 3`` uint8.
        changed: ``H x W`` bool; set where alpha is above 0.
        window: where it belongs.
        pixels: ``3 x size x size`` in ``[0, 1]``.
        alpha: ``1 x size x size`` in ``[0, 1]``.
    """
    if window.side != window.size:
        target = (window.side, window.side)
        pixels = F.interpolate(pixels[None], size=target, mode="bicubic", align_corners=False)[0].clamp(0, 1)
        alpha = F.interpolate(alpha[None], size=target, mode="bilinear", align_corners=False)[0]
    height, width = canvas.shape[:2]
    x, y = window.origin
    left, top, right, bottom = max(x, 0), max(y, 0), min(x + window.side, width), min(y + window.side, height)
    if left >= right or top >= bottom:
        return
    inside = (slice(top - y, bottom - y), slice(left - x, right - x))
    a = alpha[0][inside].cpu()
    new = pixels[:, inside[0], inside[1]].cpu() * 255
    region = torch.from_numpy(np.ascontiguousarray(canvas[top:bottom, left:right].transpose(2, 0, 1)))
    # where alpha is 0 this is the region itself, bit for bit
    blended = (region * (1 - a) + new * a).round_().clamp_(0, 255).to(torch.uint8)
    canvas[top:bottom, left:right] = blended.permute(1, 2, 0).numpy()
    changed[top:bottom, left:right] |= (a > 0).numpy()
