"""How well light is preserved: scale-invariant distances between images, shadings and albedos.

The paper's equation for Si-L2 has its scale outside of the root and no minimum; these are the corrected forms (Grosse et al. 2009,
equation 7; Barron and Malik 2015).
"""

from __future__ import annotations

import torch
from torch import Tensor

from fo_faceanon.errors import InputError
from fo_faceanon.photometry.intrinsic import decompose


def check_images(preds: Tensor, target: Tensor, mask: Tensor, channels: int | None = None) -> None:
    """Raises InputError unless both are ``B x C x H x W`` of one shape and the mask is ``B x 1 x H x W``."""
    if preds.shape != target.shape:
        raise InputError(f"expected `preds` and `target` to have the same shape, but got {tuple(preds.shape)} and {tuple(target.shape)}")
    if preds.ndim != 4 or (channels is not None and preds.shape[1] != channels):
        raise InputError(f"expected `preds` and `target` to have B x {channels or 'C'} x H x W shape, but got {tuple(preds.shape)}")
    if tuple(mask.shape) != (preds.shape[0], 1, *preds.shape[2:]):
        expected = (preds.shape[0], 1, *preds.shape[2:])
        raise InputError(f"expected `mask` to have shape {expected}, but got {tuple(mask.shape)}")


def _products(preds: Tensor, target: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """``<t, t>``, ``<t, p>``, ``<p, p>`` and the number of values, over the mask, in double precision."""
    check_images(preds, target, mask)
    p, t, m = preds.double(), target.double(), mask.double()
    count = m.sum((1, 2, 3)) * preds.shape[1]
    return (t * t * m).sum((1, 2, 3)), (t * p * m).sum((1, 2, 3)), (p * p * m).sum((1, 2, 3)), count


def _nan_where_empty(value: Tensor, count: Tensor) -> Tensor:
    return torch.where(count > 0, value, torch.full_like(value, torch.nan)).float()


def si_mse(preds: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """``min_a ||target - a preds||^2 / N``, ``B``; 0 is best. Not symmetric: the original is the target.

    Args:
        preds: ``B x C x H x W``, of the anonymized face.
        target: the same, of the original.
        mask: ``B x 1 x H x W`` weights in ``[0, 1]``; N counts them, in every channel.

    Returns:
        One value per face; NaN for an empty mask.

    Raises:
        InputError: shapes do not fit.
    """
    tt, tp, pp, count = _products(preds, target, mask)
    rest = tt - torch.where(pp > 1e-12, tp * tp / pp.clamp_min(1e-12), torch.zeros_like(pp))
    return _nan_where_empty(rest.clamp_min(0) / count.clamp_min(1e-12), count)


def si_l2(preds: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """``sqrt(min_a ||target - a preds||^2 / N)``, ``B``: the root of `si_mse`, with its arguments and errors."""
    return si_mse(preds, target, mask).sqrt()


def si_sine(preds: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """The sine of the angle between two images as vectors, ``B`` in ``[0, 1]``: symmetric, and free of either's brightness.

    ``si_mse = ||target||^2 sin^2 / N``. Arguments and errors as for `si_mse`; 1 where exactly one image is black, 0 where both are.
    """
    tt, tp, pp, count = _products(preds, target, mask)
    both = tt * pp
    squared = torch.where(both > 1e-24, 1 - tp * tp / both.clamp_min(1e-24), ((tt > 1e-12) ^ (pp > 1e-12)).double())
    return _nan_where_empty(squared.clamp(0, 1).sqrt(), count)


def lighting_metrics(preds: Tensor, target: Tensor, mask: Tensor, face_size: Tensor) -> dict[str, Tensor]:
    """Si-MSE on pixels, Si-L2 and the sine on shadings, and Si-MSE on albedos, of our own decomposition.

    Args:
        preds: ``B x 3 x H x W`` gamma-encoded sRGB in ``[0, 1]``, the anonymized faces.
        target: the same, the originals.
        mask: ``B x 1 x H x W``: the face, or its skin.
        face_size: ``B``, in pixels.

    Returns:
        ``si_mse``, ``shading_si_l2``, ``shading_sine`` and ``albedo_si_mse``, each ``B``. ``si_mse`` is on linear light.
    """
    check_images(preds, target, mask, channels=3)
    (albedo_p, shading_p), (albedo_t, shading_t) = (decompose(image, mask, face_size) for image in (preds, target))
    return {
        "si_mse": si_mse(albedo_p * shading_p, albedo_t * shading_t, mask),
        "shading_si_l2": si_l2(shading_p, shading_t, mask),
        "shading_sine": si_sine(shading_p, shading_t, mask),
        "albedo_si_mse": si_mse(albedo_p, albedo_t, mask),
    }
