"""Light and colour inside the original's face, before and after."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from fo_faceanon.metrics.colour import colour_metrics
from fo_faceanon.metrics.lighting import si_l2, si_mse, si_sine
from fo_faceanon.photometry.color import linear_to_srgb
from fo_faceanon.photometry.intrinsic import decompose
from fo_faceanon.photometry.skin import face_masks, face_size
from fo_faceanon.recognition import crops_of

#: Windows are reduced to at most so many pixels a side: faces are then at most 175 px high.
_MAX_SIDE = 384
_COLOUR = {"delta_l": "delta_l", "delta_c": "delta_c", "delta_h": "delta_h", "delta_e_2000": "delta_e"}


@torch.inference_mode()
def light_and_colour(
    original: np.ndarray, anonymized: np.ndarray, landmarks: Sequence[np.ndarray], device: str = "cpu"
) -> list[dict[str, float]]:
    """Every lighting and colour figure of each face, and ``ita``, the typology angle of the original's skin in degrees.

    Measured where the original's face is, whether or not one was found on the anonymized picture: lighting in the hull of the
    face, colour on its skin. The albedo is our own decomposition's, under the mean of the original's shading, so that both are
    compared at one brightness.

    Args:
        original: ``H x W x 3`` uint8.
        anonymized: the same size.
        landmarks: ``68 x 2`` per face of the original.
        device: where it is computed.
    """
    rows: list[dict[str, float]] = [{} for _ in landmarks]
    marks = list(landmarks)
    pairs = zip(crops_of([original] * len(marks), marks, batch=1), crops_of([anonymized] * len(marks), marks, batch=1), strict=True)
    for ((row,), target, points), (_, preds, _) in pairs:
        target, preds, points = _reduced(target.to(device), preds.to(device), points.to(device))
        rows[row] = {name: float(value) for name, value in _measure(preds, target, points).items()}
    return rows


def _reduced(target: Tensor, preds: Tensor, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    factor = -(-target.shape[-1] // _MAX_SIDE)
    if factor == 1:
        return target, preds, points
    return F.avg_pool2d(target, factor), F.avg_pool2d(preds, factor), (points + 0.5) / factor - 0.5


def _measure(preds: Tensor, target: Tensor, points: Tensor) -> dict[str, Tensor]:
    masks, size = face_masks(points, target.shape[2], target.shape[3]), face_size(points)
    (albedo_p, shading_p), (albedo_t, shading_t) = (decompose(image, masks.hull, size) for image in (preds, target))
    level = ((shading_t * masks.skin).sum((1, 2, 3)) / masks.skin.sum((1, 2, 3)).clamp_min(1e-6))[:, None, None, None]
    colour = colour_metrics(preds, target, masks.skin)
    albedo = colour_metrics(linear_to_srgb(albedo_p * level), linear_to_srgb(albedo_t * level), masks.skin)
    return {
        "si_mse": si_mse(albedo_p * shading_p, albedo_t * shading_t, masks.hull),
        "si_mse_encoded": si_mse(preds, target, masks.hull),
        "si_l2": si_l2(shading_p, shading_t, masks.hull),
        "shading_sine": si_sine(shading_p, shading_t, masks.hull),
        **{name: colour[key] for key, name in _COLOUR.items()},
        **{f"albedo_{name}": albedo[key] for key, name in _COLOUR.items()},
        "tone_delta_e": colour["tone_delta_e"],
        "ita": colour["ita_target"],
    }
