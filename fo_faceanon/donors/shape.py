"""What of a face's shape is pose and expression, and the shape that a replaced face gets."""

from __future__ import annotations

import torch
from torch import Tensor

from fo_faceanon.donors.describe import Description, eye_centres, spread_of
from fo_faceanon.donors.ridge import ridge_slope
from fo_faceanon.faces import apply_affine, estimate_similarity

#: Ridge of the regression, in rows of the bank.
_RIDGE = 5.0
#: How much of the difference that pose and expression explain is taken over: what is measured of them is noisy on both sides.
_TRUST = 0.6
#: The jaw's share of the dial: the replaced region ends there, and its outline is the original's in any case.
_JAW_SHARE = 0.3
#: Mean distance of donors' landmarks from the targets', in inter-ocular distances: the dial's value is meant for such a donor.
_TYPICAL = 0.0257


class ExplainedShape:
    """The part of a face's landmarks that its pose and expression explain, by ridge regression on a bank.

    A recogniser looks past pose and expression; a viewer does not. So a donor's difference from the target in these is
    undone whatever the dial says, and the dial is about the rest: the shape that is the person's.

    Args:
        bank: description of the faces that the regression is fitted on.
    """

    def __init__(self, bank: Description) -> None:
        self._slope = ridge_slope(_columns(bank), bank.shape, _RIDGE)

    def __call__(self, description: Description) -> Tensor:
        """``B x 68 x 2`` in the units of :attr:`Description.shape`."""
        return (_columns(description) @ self._slope).reshape(-1, 68, 2)


def _columns(d: Description) -> Tensor:
    pose = d.pose / 20
    yaw, pitch, roll = pose.split(1, 1)
    return torch.cat([torch.ones_like(yaw), pose, pose.square(), yaw * pitch, yaw * roll, yaw**3, d.expression], 1)


def blend_shapes(target: Tensor, donor: Tensor, amount: float, explained: Tensor | None = None) -> Tensor:
    """The landmark shape that the result gets.

    Args:
        target: ``B x 68 x 2``, where the face is.
        donor: ``B x 68 x 2``, in any frame; brought onto the target by a similarity transform first.
        amount: 0 keeps the target's shape, 1 goes as far as the donor's own. A donor that lies farther from its target than
            is usual gives up more of its own shape, a nearer one less, so that results differ from their targets alike.
        explained: ``B x 68 x 2`` :class:`ExplainedShape` of the donor less that of the target; not counted as the donor's own.
    """
    own = apply_affine(estimate_similarity(donor, target), donor) - target
    if explained is not None:
        own = own - _TRUST * apply_affine(_to_window(target), explained)
    share = own.new_ones(68, 1)
    share[:17] = _JAW_SHARE
    own = own * share
    distance = own.abs().mean((1, 2)) / _inter_ocular(target)
    return target + (amount * _TYPICAL / distance.clamp_min(1e-6)).clamp(max=1.0)[:, None, None] * own


def _inter_ocular(landmarks: Tensor) -> Tensor:
    """``B``; of a turned head at least what its size makes likely."""
    eyes = eye_centres(landmarks)
    return torch.maximum((eyes[:, 1] - eyes[:, 0]).norm(dim=1), 0.6 * spread_of(landmarks)).clamp_min(1e-3)


def _to_window(landmarks: Tensor) -> Tensor:
    """``B x 2 x 3``: turns and scales differences of normalised shapes into window pixels."""
    eyes = eye_centres(landmarks)
    direction = eyes[:, 1] - eyes[:, 0]
    direction = direction / direction.norm(dim=1, keepdim=True).clamp_min(1e-3) * spread_of(landmarks)[:, None]
    cos, sin = direction.unbind(1)
    zero = torch.zeros_like(cos)
    return torch.stack([torch.stack([cos, -sin, zero], -1), torch.stack([sin, cos, zero], -1)], 1)
