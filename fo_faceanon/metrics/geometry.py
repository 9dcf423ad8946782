"""How well shape and pose are preserved: landmark errors and the angle between head poses; batched torch."""

from __future__ import annotations

import torch
from torch import Tensor

from fo_faceanon.errors import InputError

#: Corners of the right and of the left eye: by the 68 points of iBUG (whole contours), and by MediaPipe's 478.
_EYES = {68: (range(36, 42), range(42, 48)), 478: ((33, 133), (263, 362))}
#: Where the 51 points without the jaw line begin.
INNER = 17


def eye_distance(landmarks: Tensor) -> Tensor:
    """Distance of the eye centres, ``B``, of ``B x K x D`` landmarks with K 68 or 478 (its first two coordinates).

    Raises:
        InputError: there are other than 68 or 478 points.
    """
    if landmarks.ndim != 3 or landmarks.shape[1] not in _EYES:
        raise InputError(f"landmarks must have shape B x 68 x 2 or B x 478 x 2, but got {tuple(landmarks.shape)}")
    right, left = (landmarks[:, list(eye), :2].mean(1) for eye in _EYES[landmarks.shape[1]])
    return (right - left).norm(dim=1)


def landmark_error(preds: Tensor, target: Tensor, unit: Tensor) -> Tensor:
    """Mean absolute coordinate difference, ``B``, in the given unit; 0 is best (Celona et al. 2025, Table I; NaN for missing points).

    Args:
        preds: ``B x K x 2`` of the anonymized faces, in pixels.
        target: the same, of the originals.
        unit: ``B`` pixels: the originals' :func:`eye_distance`.

    Raises:
        InputError: the shapes differ.
    """
    if preds.shape != target.shape:
        raise InputError(f"expected `preds` and `target` to have the same shape, but got {tuple(preds.shape)} and {tuple(target.shape)}")
    return (preds - target).abs().mean((1, 2)) / unit.clamp_min(1e-6)


def rotation_angle(preds: Tensor, target: Tensor) -> Tensor:
    """The angle of the rotation that takes one head pose to the other, ``B`` degrees in 0 to 180.

    Args:
        preds: ``B x 4 x 4`` or ``B x 3 x 3`` whose linear part is a rotation times a positive scale.
        target: the same.

    Exact for small angles, where the arc cosine of the trace is not.
    """
    a, b = (matrix[:, :3, :3].double() for matrix in (preds, target))
    relative = _unscaled(a).transpose(1, 2) @ _unscaled(b)
    eye = torch.eye(3, dtype=relative.dtype, device=relative.device)
    sine = (relative - eye).square().sum((1, 2)).div(8).clamp(0, 1).sqrt()  # of half the angle: |R - 1|^2 = 8 sin^2(angle / 2)
    return torch.rad2deg(2 * torch.asin(sine)).to(preds.dtype)


def _unscaled(matrix: Tensor) -> Tensor:
    return matrix / torch.linalg.det(matrix).clamp_min(1e-12).pow(1 / 3)[:, None, None]
