"""The square crop that generators see: one similarity transform from 68 landmarks, the same in training and in use."""

from __future__ import annotations

import torch
from torch import Tensor

from fo_faceanon.photometry.skin import check_landmarks, forehead_points

#: The longer side of the face with its forehead, as a fraction of the crop's side: as much context again lies around it.
FACE_FRACTION = 0.58
#: How high the forehead is counted, in eye-to-mouth distances above the brows: as high as a replacement reaches.
FOREHEAD_HEIGHT = 0.75
#: Pixels: a face is never taken for smaller, so that coincident landmarks give a finite frame.
_SMALLEST = 4.0


def canonical_frame(landmarks: Tensor, size: int) -> Tensor:
    """Similarity transforms (rotation, scale, shift; no reflection) from window pixels to canonical crops.

    The crop is turned as FFHQ turns its pictures (Karras et al. 2019, appendix A): by the eyes' line and the line from eyes to
    mouth together, so that profiles, whose eyes lie close together, stay upright. The box of face and forehead in the turned
    frame fills :data:`FACE_FRACTION` of the crop and lies at its middle, so all of the face and context on every side are seen.

    Args:
        landmarks: ``B x 68 x 2`` in window pixels (iBUG order). Unknown ones (NaN) are read as 0, coincident ones as a face of
            a few pixels: the frame is finite then, though of no use.
        size: side of the crop, in pixels.

    Returns:
        ``B x 2 x 3``, so that ``crop = matrix[:, :, :2] @ window + matrix[:, :, 2]``; pixel centres are at integers.

    Raises:
        InputError: the landmarks have another shape.
    """
    check_landmarks(landmarks)
    points = torch.nan_to_num(landmarks.float())
    axis = _horizontal(points)
    turn = torch.stack([axis, torch.stack([-axis[:, 1], axis[:, 0]], -1)], 1)  # rows: the crop's x and y in the window
    outline = torch.cat([points, forehead_points(points, FOREHEAD_HEIGHT)], 1) @ turn.transpose(1, 2)
    low, high = outline.amin(1), outline.amax(1)
    scale = FACE_FRACTION * size / (high - low).amax(-1).clamp_min(_SMALLEST)
    shift = (size - 1) / 2 - scale[:, None] * (low + high) / 2
    return torch.cat([turn * scale[:, None, None], shift[..., None]], -1)


def _horizontal(points: Tensor) -> Tensor:
    """``B x 2`` unit vectors along the face's horizontal, to the image's right for an upright face."""
    right, left = points[:, 36:42].mean(1), points[:, 42:48].mean(1)
    down = (points[:, 48] + points[:, 54]) / 2 - (right + left) / 2
    axis = (left - right) + torch.stack([down[:, 1], -down[:, 0]], -1)
    length = axis.norm(dim=-1, keepdim=True)
    upright = torch.tensor([1.0, 0.0], device=points.device).expand_as(axis)
    return torch.where(length > 1e-3, axis / length.clamp_min(1e-3), upright)
