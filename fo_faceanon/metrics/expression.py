"""How well expression is preserved: agreement and distance of emotion probabilities, and of blendshapes; batched torch."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fo_faceanon.errors import InputError


def emotion_kept(preds: Tensor, target: Tensor) -> Tensor:
    """Whether the most probable class is the same, ``B``: 1 or 0.

    Args:
        preds: ``B x C`` probabilities of the anonymized faces; a NaN row (undetected) does not keep it.
        target: the same, of the originals; NaN there gives NaN.
    """
    _check(preds, target)
    same = (preds.nan_to_num(-1).argmax(1) == target.nan_to_num(-1).argmax(1)) & preds.isfinite().all(1)
    return torch.where(target.isfinite().all(1), same.to(preds.dtype), torch.nan)


def emotion_distance(preds: Tensor, target: Tensor) -> Tensor:
    """Jensen-Shannon distance (base 2) of probabilities, ``B`` in ``[0, 1]`` (Endres and Schindelin 2003): the root of the divergence.

    Args:
        preds: ``B x C`` probabilities; NaN rows give NaN.
        target: the same.
    """
    _check(preds, target)
    p, q = preds.double(), target.double()
    middle = (p + q) / 2
    divergence = (_entropy(middle) - (_entropy(p) + _entropy(q)) / 2) / math.log(2)
    return divergence.clamp_min(0).sqrt().to(preds.dtype)


def _entropy(p: Tensor) -> Tensor:
    return -torch.special.xlogy(p, p).sum(1)


def blendshape_error(preds: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of ``B x 52`` blendshapes, ``B`` in ``[0, 1]``; NaN rows give NaN."""
    _check(preds, target)
    return (preds - target).abs().mean(1)


def confusion(preds: Tensor, target: Tensor) -> Tensor:
    """``C x C`` counts of faces by most probable class: rows the originals', columns the anonymized ones'; NaN rows are left out."""
    _check(preds, target)
    known = preds.isfinite().all(1) & target.isfinite().all(1)
    classes = target.shape[1]
    cells = target[known].argmax(1) * classes + preds[known].argmax(1)
    return torch.bincount(cells, minlength=classes * classes).view(classes, classes)


def _check(preds: Tensor, target: Tensor) -> None:
    if preds.shape != target.shape or preds.ndim != 2:
        raise InputError(f"expected `preds` and `target` to have one shape B x C, but got {tuple(preds.shape)} and {tuple(target.shape)}")
