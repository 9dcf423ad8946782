"""What a landmark network has to put up with: loose boxes, turned heads, hands, dark glasses, few pixels, bad light; and no face at all."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from fo_faceanon.landmarks.drawing import MIRROR_68
from fo_faceanon.networks.landmark_net import CROP_SIDE, FACE_SIDE

_BORDERS = (cv2.BORDER_REPLICATE, cv2.BORDER_REFLECT_101, cv2.BORDER_CONSTANT)
#: Fraction of crops that show no face.
NOTHING = 0.07


def crop_frame(points: np.ndarray, angle: float = 0.0, scale: float = 1.0, shift: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """``2 x 3`` from picture pixels to crop pixels: the box of the turned points in the middle, its longer side as it should be.

    Args:
        points: ``68 x 2``.
        angle: radians by which the picture is turned clockwise.
        scale: magnification beyond that of a crop as it should be.
        shift: move of the face, crop pixels.
    """
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, -sin], [sin, cos]])
    turned = points @ turn.T
    low, high = turned.min(0), turned.max(0)
    factor = scale * FACE_SIDE / max(float((high - low).max()), 1e-3)
    offset = (CROP_SIDE - 1) / 2 + np.asarray(shift) - factor * (low + high) / 2
    return np.concatenate([turn * factor, offset[:, None]], 1)


def roll_of(points: np.ndarray) -> float:
    """Radians by which a face is turned clockwise: from the middle of the eyes to the mouth's corners."""
    down = points[[48, 54]].mean(0) - points[36:48].mean(0)
    return float(np.arctan2(-down[0], down[1]))


def augment(crop: np.ndarray, points: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A network input and its landmarks out of a stored crop and its landmarks."""
    if random.random() < 0.5:
        crop = crop[:, ::-1]
        points = (points * [-1, 1] + [crop.shape[1] - 1, 0])[list(MIRROR_68)]
    if random.random() < 0.5:  # a first pass, from a detector's box
        angle = np.radians(np.clip(random.normal(0, 18), -45, 45))
        frame = crop_frame(points, angle, float(np.exp(random.normal(0, 0.17))), tuple(random.normal(0, 5.5, 2)))
    else:  # a second pass, from the first one's points
        angle = np.radians(random.normal(0, 7)) - roll_of(points)
        frame = crop_frame(points, angle, float(np.exp(random.normal(0, 0.06))), tuple(random.normal(0, 2.0, 2)))
    points = points @ frame[:, :2].T + frame[:, 2]
    crop = np.ascontiguousarray(crop)
    if random.random() < 0.08:
        crop, frame = _cut_off(crop, frame, random)
    border = _BORDERS[random.choice(3, p=(0.7, 0.15, 0.15))]
    image = cv2.warpAffine(crop, frame, (CROP_SIDE, CROP_SIDE), flags=cv2.INTER_LINEAR, borderMode=border)
    for chance, change in _COVERS:
        if random.random() < chance:
            image = change(image, points, random)
    return recolour(reduce(image, random), random), points.astype(np.float32)


def _cut_off(crop: np.ndarray, frame: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The picture ends inside the face, as at the border of a photograph; beyond it, its edge is repeated or nothing is."""
    keep = int(crop.shape[0] * random.uniform(0.4, 0.7))
    side = random.integers(4)
    crop = crop.copy()
    part = (crop[keep:], crop[: len(crop) - keep], crop[:, keep:], crop[:, : len(crop) - keep])[side]
    edge = (crop[keep - 1 : keep], crop[len(crop) - keep :][:1], crop[:, keep - 1 : keep], crop[:, len(crop) - keep :][:, :1])[side]
    part[:] = edge if random.random() < 0.7 else 0
    return crop, frame


def _patch(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Something to cover with: a plain colour, noise, or another part of the same picture (skin and hair among it)."""
    kind = random.random()
    if kind < 0.4:
        return np.full_like(image, random.integers(0, 256, 3))
    if kind < 0.5:
        coarse = random.integers(0, 256, (random.integers(2, 30), random.integers(2, 30), 3), dtype=np.uint8)
        return cv2.resize(coarse, (CROP_SIDE, CROP_SIDE), interpolation=cv2.INTER_LINEAR)
    return np.roll(image, tuple(random.integers(22, 75, 2)), (0, 1))


def _blob(centre: np.ndarray, radius: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A mask of a turned ellipse with a bumpy edge, about as a hand or a scarf."""
    steps = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    bumps = 1 + 0.25 * np.sin(steps * random.integers(2, 6) + random.uniform(0, 6)) * random.random()
    shape = np.stack([np.cos(steps), np.sin(steps)], 1) * radius * bumps[:, None]
    angle = random.uniform(0, np.pi)
    shape = shape @ np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    mask = np.zeros((CROP_SIDE, CROP_SIDE), np.uint8)
    return cv2.fillPoly(mask, [np.rint((shape + centre) * 16).astype(np.int32)], 1, shift=4)


def _hide_blob(image: np.ndarray, points: np.ndarray, random: np.random.Generator) -> np.ndarray:
    mask = _blob(points[random.integers(68)] + random.normal(0, 5, 2), random.uniform(5, 24, 2), random)
    return np.where(mask[..., None] > 0, _patch(image, random), image)


def _hide_rectangle(image: np.ndarray, points: np.ndarray, random: np.random.Generator) -> np.ndarray:
    low = (points[random.integers(68)] - random.uniform(4, 30, 2)).astype(int)
    high = low + random.integers(8, 50, 2)
    (x0, y0), (x1, y1) = np.clip(low, 0, CROP_SIDE), np.clip(high, 0, CROP_SIDE)
    image = image.copy()
    image[y0:y1, x0:x1] = _patch(image, random)[y0:y1, x0:x1]
    return image


def _hide_eyes(image: np.ndarray, points: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Dark glasses: two filled shapes and a bridge."""
    mask = np.zeros((CROP_SIDE, CROP_SIDE), np.uint8)
    unit = max(float(np.linalg.norm(points[36:42].mean(0) - points[42:48].mean(0))), 8.0)
    for eye, brow in ((points[36:42], points[17:22]), (points[42:48], points[22:27])):
        width = max(float(np.ptp(eye[:, 0])) * random.uniform(0.8, 1.1), 3.0)
        centre = eye.mean(0) + np.array([0, 0.05 * unit])
        axes = int(width), int(max(abs(eye.mean(0)[1] - brow.mean(0)[1]) * random.uniform(0.7, 1.2), 4))
        cv2.ellipse(mask, tuple(int(v) for v in centre), axes, 0, 0, 360, 1, -1)
    cv2.line(mask, *(tuple(int(v) for v in points[i]) for i in (39, 42)), 1, 2)  # type: ignore[call-overload]
    colour = random.integers(0, 70, 3)
    clear = random.uniform(0, 0.5) * (random.random() < 0.5)
    return np.where(mask[..., None] > 0, (image * clear + colour * (1 - clear)).astype(np.uint8), image)


def _hide_mouth(image: np.ndarray, points: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A mask or a scarf over nose, mouth and chin."""
    top = random.choice([28, 29, 30, 33])
    outline = np.concatenate([points[1:16], points[[top]]])
    mask = np.zeros((CROP_SIDE, CROP_SIDE), np.uint8)
    cv2.fillPoly(mask, [np.rint(cv2.convexHull(outline.astype(np.float32))[:, 0] * 16).astype(np.int32)], 1, shift=4)
    return np.where(mask[..., None] > 0, _patch(image, random), image)


def _hide_forehead(image: np.ndarray, points: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A hat or hair down to the brows or the eyes."""
    down = points[8] - points[27]
    edge = points[17:27].mean(0) + down * random.uniform(-0.2, 0.2)
    rows, columns = np.mgrid[:CROP_SIDE, :CROP_SIDE]
    above = (columns - edge[0]) * down[0] + (rows - edge[1]) * down[1] < 0
    return np.where(above[..., None], _patch(image, random), image)


_COVERS: tuple[tuple[float, Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]], ...] = (
    (0.15, _hide_blob), (0.08, _hide_rectangle), (0.06, _hide_eyes), (0.06, _hide_mouth), (0.04, _hide_forehead),
)  # fmt: skip


def reduce(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Fewer pixels, out of focus, in motion, or compressed; one or two of them, or none."""
    kind = random.random()
    if kind < 0.3:
        side = int(np.exp(random.uniform(np.log(17), np.log(70))))  # the crop's; a face is about 0.65 of it
        small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
        image = cv2.resize(small, (CROP_SIDE, CROP_SIDE), interpolation=cv2.INTER_LINEAR)
    elif kind < 0.4:
        image = cv2.GaussianBlur(image, (0, 0), random.uniform(0.5, 4))
    elif kind < 0.45:
        length = int(random.integers(3, 12))
        image = cv2.blur(image, (length, 1) if random.random() < 0.7 else (1, length))
    if random.random() < 0.15:
        quality = int(random.integers(8, 60))
        packed = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        image = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR))
    return image


def recolour(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Exposure, gamma, tint, light from one side, grey and noise."""
    value = image.astype(np.float32) * (1 / 255)
    if random.random() < 0.3:
        value = np.power(value, np.float32(np.exp(random.normal(0.1, 0.4))))
    gain = np.exp(random.normal(0, 0.2)) * np.exp(random.normal(0, 0.06, 3))
    if random.random() < 0.12:
        gain = gain * random.uniform(0.12, 0.6)
    value = value * gain.astype(np.float32) + np.float32(random.normal(0, 0.05))
    if random.random() < 0.12:
        ramp = np.linspace(random.uniform(0.2, 1), random.uniform(0.6, 1.4), CROP_SIDE, dtype=np.float32)
        value = value * (ramp[None, :, None] if random.random() < 0.7 else ramp[:, None, None])
    if random.random() < 0.15:
        value = np.repeat(value.mean(-1, keepdims=True), 3, -1)
    if random.random() < 0.25:
        value = value + random.standard_normal(value.shape, np.float32) * np.float32(random.uniform(0, 0.08))
    return (value.clip(0, 1) * 255).astype(np.uint8)


def no_face(crop: np.ndarray, points: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A network input without a face: background, hair or clothes beside one, a face in shuffled tiles, or noise."""
    kind = random.random()
    if kind < 0.6:
        return recolour(reduce(_beside(crop, points, random), random), random)
    if kind < 0.9:
        count = int(random.choice([4, 6]))
        side = CROP_SIDE // count
        face = cv2.warpAffine(crop, crop_frame(points), (CROP_SIDE, CROP_SIDE), borderMode=cv2.BORDER_REPLICATE)
        tiles = face.reshape(count, side, count, side, 3).swapaxes(1, 2).reshape(-1, side, side, 3)
        tiles = tiles[random.permutation(len(tiles))].reshape(count, count, side, side, 3).swapaxes(1, 2)
        return recolour(reduce(tiles.reshape(CROP_SIDE, CROP_SIDE, 3), random), random)
    return recolour(_patch(np.full((CROP_SIDE, CROP_SIDE, 3), 128, np.uint8), random), random)


def _beside(crop: np.ndarray, points: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A square of the stored crop that touches the face's box with at most a corner of it."""
    low, high = points.min(0), points.max(0)
    size = crop.shape[0]
    for _ in range(20):
        side = int(random.integers(24, 80))
        x, y = random.integers(0, size - side, 2)
        inside = np.clip(np.minimum([x + side, y + side], high) - np.maximum([x, y], low), 0, None).prod()
        if inside < 0.06 * side * side:
            break
    else:
        x, y, side = 0, 0, 30
    square = np.ascontiguousarray(np.rot90(crop[y : y + side, x : x + side], int(random.integers(4)) if random.random() < 0.3 else 0))
    return cv2.resize(square, (CROP_SIDE, CROP_SIDE), interpolation=cv2.INTER_LINEAR)
