"""A detected face, and the geometry every stage shares: boxes, native crops, aligned crops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from fo_faceanon.errors import InputError

#: Side lengths of the square windows that faces are batched in, in pixels; larger faces are worked on at the largest.
CROP_SIDES = (48, 64, 80, 96, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768, 896, 1024, 1280, 1536, 2048)


@dataclass(frozen=True, slots=True)
class Face:
    """One face in one oriented image.

    Args:
        box: ``(x0, y0, x1, y1)`` in pixels of the oriented image; may leave the image.
        score: the detector's confidence in ``[0, 1]``.
        landmarks: ``68 x 2`` float32 pixel positions (iBUG order), or None where unknown.
        detector: who found it, for example ``mtcnn``, ``yunet`` or ``user``.
        key: the caller's name for this face (a FiftyOne label id), copied into its record.
        person: an identifier of the person, used only by the ``consistent`` identity mode.
        keep: true where a consent rule says that this face stays as it is.
        method: the method for this face alone; None for the anonymizer's.
        seed: the seed for this face alone; None for the anonymizer's.
    """

    box: tuple[float, float, float, float]
    score: float = 1.0
    landmarks: np.ndarray | None = field(default=None, compare=False)
    detector: str = "user"
    key: str | None = None
    person: str | None = None
    keep: bool = False
    method: str | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        if len(self.box) != 4 or not all(np.isfinite(self.box)):
            raise InputError(f"a face box must be four finite numbers x0, y0, x1, y1, but got {self.box!r}")
        if self.landmarks is not None and self.landmarks.shape != (68, 2):
            raise InputError(f"face landmarks must have shape (68, 2), but got {self.landmarks.shape}")

    @property
    def size(self) -> float:
        """The longer side of the box, in pixels."""
        return max(self.box[2] - self.box[0], self.box[3] - self.box[1])

    def with_landmarks(self, landmarks: np.ndarray | None) -> Face:
        """The same face with other landmarks."""
        return replace(self, landmarks=landmarks)


class AddedFaces(tuple[Face, ...]):
    """Faces that a person added: in a picture given with these, the others are detected as ever."""


def box_iou(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over union of two ``(x0, y0, x1, y1)`` boxes, in ``[0, 1]``."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    inter = width * height
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter
    return float(inter / union) if union > 0 else 0.0


@dataclass(slots=True)
class CropBatch:
    """Faces of like size as windows of their images: at native resolution, but for faces beyond the largest window.

    Args:
        pixels: ``B x 3 x S x S`` float32 in ``[0, 1]``, gamma-encoded sRGB, edge-replicated outside the image.
        landmarks: ``B x 68 x 2`` float32 in window pixels; NaN where a face has none.
        boxes: ``B x 4`` float32 in window pixels.
        seeds: one 63-bit seed per face.
        persons: one person identifier per face, or None.
        failed: how many results were rejected before, per face; None for none.
    """

    pixels: Tensor
    landmarks: Tensor
    boxes: Tensor
    seeds: list[int]
    persons: list[str | None]
    failed: list[int] | None = None

    def __len__(self) -> int:
        return self.pixels.shape[0]

    @property
    def reduction(self) -> int:
        """Block size of :meth:`reduce`, so that the networks that read faces get windows of about 256 px."""
        return max(self.pixels.shape[-1] // 224, 1)

    def reduce(self, pixels: Tensor) -> Tensor:
        """``B x 3 x S x S`` pictures of these windows, averaged over blocks."""
        return block_means(pixels, self.reduction)

    @property
    def reduced_landmarks(self) -> Tensor:
        """``B x 68 x 2`` in pixels of the reduced windows."""
        return (self.landmarks + 0.5) / self.reduction - 0.5


def estimate_similarity(source: Tensor, target: Tensor) -> Tensor:
    """Least-squares similarity transforms that take ``source`` points to ``target`` points.

    Args:
        source: ``B x N x 2``.
        target: ``B x N x 2`` or ``N x 2``.

    Returns:
        ``B x 2 x 3``, so that ``target = matrix[:, :, :2] @ source + matrix[:, :, 2]``. Umeyama 1991 without reflection,
        in closed form for two dimensions. Coincident source points give a finite matrix of scale zero.
    """
    target = target.expand_as(source)
    ms, mt = source.mean(1, keepdim=True), target.mean(1, keepdim=True)
    s, t = source - ms, target - mt
    norm = s.square().sum((1, 2)).clamp_min(1e-8)
    a = (s * t).sum((1, 2)) / norm
    b = (s[..., 0] * t[..., 1] - s[..., 1] * t[..., 0]).sum(1) / norm
    linear = torch.stack([torch.stack([a, -b], -1), torch.stack([b, a], -1)], -2)
    shift = mt[:, 0] - torch.einsum("bij,bj->bi", linear, ms[:, 0])
    return torch.cat([linear, shift[..., None]], -1)


def invert_affine(matrix: Tensor) -> Tensor:
    """Inverse of ``B x 2 x 3`` affine maps; a singular map inverts to a finite one."""
    a, b, c, d = matrix[:, 0, 0], matrix[:, 0, 1], matrix[:, 1, 0], matrix[:, 1, 1]
    det = a * d - b * c
    det = torch.where(det.abs() < 1e-12, torch.full_like(det, 1e-12), det)
    linear = torch.stack([torch.stack([d, -b], -1), torch.stack([-c, a], -1)], -2) / det[:, None, None]
    return torch.cat([linear, -torch.einsum("bij,bj->bi", linear, matrix[:, :, 2])[..., None]], -1)


def apply_affine(matrix: Tensor, points: Tensor) -> Tensor:
    """``B x N x 2`` points moved by ``B x 2 x 3`` affine maps."""
    return torch.einsum("bij,bnj->bni", matrix[:, :, :2], points) + matrix[:, None, :, 2]


def block_means(images: Tensor, factor: int) -> Tensor:
    """``B x C x H x W`` averaged over blocks of ``factor x factor``; the last ones average what there is of them."""
    if factor == 1:
        return images
    height, width = images.shape[-2:]
    if height % factor or width % factor or factor > 4:
        return F.avg_pool2d(images, factor, ceil_mode=True, count_include_pad=False)
    total: Tensor | None = None  # the pooling's sums, bit for bit; on a CPU in a part of its time
    for row in range(factor):
        for column in range(factor):
            part = images[..., row::factor, column::factor]
            total = part.clone() if total is None else total.add_(part)
    assert total is not None
    return total.div_(factor * factor)


def grid_sample_pixels(images: Tensor, positions: Tensor, mode: str = "bilinear") -> Tensor:
    """Samples ``B x C x H x W`` images at ``B x h x w x 2`` pixel positions (x, y); borders are replicated."""
    scale = positions.new_tensor([2.0 / images.shape[-1], 2.0 / images.shape[-2]])
    grid = (positions + 0.5) * scale - 1.0
    return F.grid_sample(images, grid, mode=mode, padding_mode="border", align_corners=False)


def warp_affine(images: Tensor, matrix: Tensor, size: int) -> Tensor:
    """Aligned crops, antialiased: each output pixel averages the area that it covers.

    Args:
        images: ``B x C x H x W``.
        matrix: ``B x 2 x 3``, image pixels to output pixels (pixel centres at integers).
        size: side of the square output, in pixels.

    Returns:
        ``B x C x size x size``.
    """
    inverse = invert_affine(matrix)
    steps = inverse[:, :, :2].square().sum(1).sqrt().amax(-1).clamp(1, 64)  # source pixels per output pixel
    factors = steps.int().tolist()
    if len(set(factors)) > 1:  # each face its own prefilter: a result never depends on the others in the batch
        return torch.cat([warp_affine(images[i : i + 1], matrix[i : i + 1], size) for i in range(len(factors))])
    factor = factors[0] if factors else 1
    if factor > 1:
        images = block_means(images, factor)
        scale = 1.0 / factor
        inverse = torch.cat([inverse[:, :, :2], (inverse[:, :, 2:] + 0.5) * scale - 0.5], -1)
        inverse[:, :, :2] *= scale
    axis = torch.arange(size, device=images.device, dtype=images.dtype)
    across, down, shift = (inverse[:, :, column, None] for column in range(3))
    planes = (across * axis)[:, :, None] + (down * axis + shift)[..., None]  # x and y as planes: cheap, and in place below
    return grid_sample_pixels(images, planes.permute(0, 2, 3, 1))
