"""Aligned face chips as recognisers expect them, cut from windows by 68 landmarks."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import roi_align

from fo_faceanon.faces import estimate_similarity, invert_affine, warp_affine

#: The five points of the ArcFace alignment at 112 px (Deng et al. 2019): eye centres, nose tip, corners of the mouth.
_ARCFACE = ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))

#: Landmarks that steer dlib's chip: all but the jaw, the brows and the lower lip.
_DLIB_INDICES = (*range(27, 55), *range(60, 65))
#: Where dlib's 150 px chip (padding 0.25) has them. Found by regression: dlib cut chips out of pictures that hold their own
#: coordinates, for 1,665 random faces; the fit leaves 0.0003 in the linear part and 0.001 px in the centre.
_DLIB = (
    (73.53, 44.80), (73.53, 55.16), (73.51, 65.44), (73.49, 76.05), (61.15, 83.18), (67.07, 85.40), (73.49, 87.31),
    (79.93, 85.41), (85.85, 83.26), (36.72, 46.14), (43.22, 42.37), (51.09, 42.48), (57.97, 47.64), (50.57, 48.94),
    (42.75, 48.88), (89.08, 47.64), (95.93, 42.42), (103.81, 42.35), (110.35, 46.11), (104.25, 48.84), (96.44, 48.97),
    (49.91, 102.63), (58.64, 99.07), (67.38, 97.27), (73.55, 98.80), (79.62, 97.28), (88.38, 99.09), (97.09, 102.61),
    (53.58, 103.04), (67.33, 102.40), (73.53, 103.06), (79.70, 102.43), (93.46, 103.03),
)  # fmt: skip

#: Samples per chip pixel along each axis at most; what is reduced further is filtered before.
_MAX_FINER = 8

#: MTCNN's box in units of the landmarks' extent: how far its left, top, right and bottom lie from theirs
#: (mean over 80 photographs of LFW that both MTCNN and dlib find).
_MTCNN_BOX = (0.012, -0.337, -0.033, -0.034)


def five_points(landmarks: Tensor) -> Tensor:
    """``B x 5 x 2``: centres of the eyes, tip of the nose and corners of the mouth of ``B x 68 x 2`` landmarks."""
    eyes = [landmarks[:, 36:42].mean(1), landmarks[:, 42:48].mean(1)]
    return torch.stack([*eyes, landmarks[:, 30], landmarks[:, 48], landmarks[:, 54]], 1)


def _warp_each(crops: Tensor, matrix: Tensor, size: int) -> Tensor:
    """:func:`warp_affine`, finely sampled per face: a chip depends neither on the rest of the batch nor on the window's origin."""
    inverse = invert_affine(matrix)
    step = inverse[:, :, :2].square().sum(1).sqrt().amax(-1)  # crop pixels per chip pixel
    finer = step.clamp(1, _MAX_FINER).ceil().int()
    chips = crops.new_empty(len(crops), crops.shape[1], size, size)
    for k in finer.unique().tolist():
        rows = (finer == k).nonzero()[:, 0]
        some = crops if len(rows) == len(crops) else crops[rows]
        chips[rows] = _warp_finely(some, matrix[rows], inverse[rows], size, k)
    return chips


def _warp_finely(crops: Tensor, matrix: Tensor, inverse: Tensor, size: int, finer: int) -> Tensor:
    """The mean of ``finer x finer`` samples in each chip pixel."""
    if finer == _MAX_FINER:
        scaled = torch.cat([matrix[:, :, :2] * finer, (matrix[:, :, 2:] + 0.5) * finer - 0.5], -1)
        return F.avg_pool2d(warp_affine(crops, scaled, size * finer), finer)
    unit = 2.0 / crops.new_tensor(crops.shape[:1:-1])  # grid_sample's units: from -1 to 1 between the edges of the picture
    across, down, shift = (inverse[:, :, column, None] * unit[:, None] for column in range(3))
    shift = shift + 0.5 * unit[:, None] - 1.0
    places = [(torch.arange(size, device=crops.device, dtype=crops.dtype) + ((i + 0.5) / finer - 0.5)) for i in range(finer)]
    total = crops.new_zeros(len(crops), crops.shape[1], size, size)
    for y in places:
        rows = (down * y + shift).transpose(1, 2)[:, :, None]
        for x in places:
            grid = rows + (across * x).transpose(1, 2)[:, None]
            total += F.grid_sample(crops, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return total.div_(finer * finer)


def arcface_chips(crops: Tensor, landmarks: Tensor) -> Tensor:
    """``B x 3 x 112 x 112`` chips by the five-point alignment of ArcFace; shapes as in :func:`dlib_chips`."""
    matrix = estimate_similarity(five_points(landmarks), crops.new_tensor(_ARCFACE))
    return _warp_each(crops, matrix, 112)


def dlib_chips(crops: Tensor, landmarks: Tensor) -> Tensor:
    """dlib's face chips: size 150, padding 0.25.

    Args:
        crops: ``B x 3 x S x S``.
        landmarks: ``B x 68 x 2`` finite pixel positions in the crops.

    Returns:
        ``B x 3 x 150 x 150``. dlib fits the template to the landmarks, not the landmarks to the template, and so does this.
    """
    points = landmarks[:, list(_DLIB_INDICES)]
    template = crops.new_tensor(_DLIB).expand_as(points)
    return _warp_each(crops, invert_affine(estimate_similarity(template, points)), 150)


def mtcnn_boxes(landmarks: Tensor) -> Tensor:
    """``B x 4`` boxes ``(x0, y0, x1, y1)`` such as MTCNN finds around faces with these ``B x 68 x 2`` landmarks."""
    low, high = landmarks.amin(1), landmarks.amax(1)
    offsets = landmarks.new_tensor(_MTCNN_BOX).reshape(2, 2)
    extent = (high - low)[:, None]
    return (torch.stack([low, high], 1) + offsets * extent).reshape(-1, 4)


def facenet_chips(crops: Tensor, landmarks: Tensor) -> Tensor:
    """``B x 3 x 160 x 160``: MTCNN's box with a margin of 32 of 160 px, stretched to a square as FaceNet was trained.

    Shapes as in :func:`dlib_chips`.
    """
    box = mtcnn_boxes(landmarks)
    margin = 160 / (160 - 32)
    centre, half = (box[:, 2:] + box[:, :2]) / 2, (box[:, 2:] - box[:, :2]).clamp_min(1) / 2 * margin
    boxes = torch.cat([centre - half, centre + half], 1) + 0.5  # roi_align counts from the edge of the first pixel
    side = crops.shape[-1]
    boxes = boxes.clamp(-side, 2 * side)  # roi_align takes time by the area, and landmarks can be anywhere
    index = torch.arange(len(crops), device=crops.device, dtype=crops.dtype)[:, None]
    return roi_align(crops, torch.cat([index, boxes], 1), 160, aligned=True)
