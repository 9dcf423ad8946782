"""Adaptive augmentation of what the discriminator sees (Karras et al. 2020, "Training GANs with limited data").

Pictures, masks and landmarks move together. How often is steered so that the discriminator does not learn the training faces by
heart. All on the device: nothing here waits for a number.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fo_faceanon.faces import apply_affine, invert_affine
from fo_faceanon.training.masks import uniform

#: Faces shown until the chance of augmentation can go from 0 to 1.
_RAMP = 250_000
_MOST = 0.8
#: The most that a picture is moved (of its side), turned (radians) and scaled (natural logarithm).
_SHIFT, _TURN, _SCALE = 0.08, 0.25, 0.15


class Augmenter:
    """Moves, turns, scales and recolours.

    Args:
        enabled: false leaves everything as it is.
        target: the mean sign of logits on training faces that the chance is steered to.
        random: source of the draws; its device is where all happens.
    """

    def __init__(self, enabled: bool, target: float, random: torch.Generator) -> None:
        self.enabled = enabled
        self.target = target
        self.chance = torch.zeros((), device=random.device)
        self._random = random

    def steer(self, real_logits: Tensor) -> None:
        """Raises or lowers the chance after a look at one batch of training faces."""
        if self.enabled:
            step = real_logits.shape[0] / _RAMP
            self.chance.add_((real_logits.detach().sign().mean() - self.target).sign() * step).clamp_(0, _MOST)

    def draw(self, count: int, size: int) -> tuple[Tensor, Tensor]:
        """One augmentation per face: ``B x 2 x 3`` from augmented to original pixels, and ``B x 3 x 4`` of colours."""
        if not self.enabled:
            return _still(count, self.chance), _plain(count, self.chance)
        return self._motion(count, size), self._colours(count)

    def _chosen(self, count: int) -> Tensor:
        return (torch.rand(count, device=self.chance.device, generator=self._random) < self.chance).float()

    def _range(self, count: int, reach: float) -> Tensor:
        return uniform(count, (-reach, reach), self._random)

    def _motion(self, count: int, size: int) -> Tensor:
        turn = self._range(count, _TURN) * self._chosen(count)
        scale = torch.exp(self._range(count, _SCALE) * self._chosen(count))
        moved = self._chosen(count)
        shift = torch.stack([self._range(count, _SHIFT * size) * moved, self._range(count, _SHIFT * size) * moved], -1)
        a, b = scale * turn.cos(), scale * turn.sin()
        linear = torch.stack([torch.stack([a, -b], -1), torch.stack([b, a], -1)], -2)
        middle = torch.full((count, 2), (size - 1) / 2, device=turn.device)
        return torch.cat([linear, (middle + shift - torch.einsum("bij,bj->bi", linear, middle))[..., None]], -1)

    def _colours(self, count: int) -> Tensor:
        brightness = self._range(count, 0.3) * self._chosen(count)
        contrast = torch.exp(self._range(count, 0.4) * self._chosen(count))
        saturation = torch.exp(self._range(count, 0.7) * self._chosen(count))
        grey = torch.full((3, 3), 1 / 3, device=brightness.device)
        keep = torch.eye(3, device=brightness.device) - grey
        linear = contrast[:, None, None] * (grey + saturation[:, None, None] * keep)
        return torch.cat([linear, brightness[:, None, None].expand(-1, 3, 1)], -1)


def _still(count: int, like: Tensor) -> Tensor:
    return torch.eye(2, 3, device=like.device).expand(count, 2, 3)


def _plain(count: int, like: Tensor) -> Tensor:
    return torch.eye(3, 4, device=like.device).expand(count, 3, 4)


def apply_augmentation(x: Tensor, points: Tensor, drawn: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """``B x C x S x S`` (the first three channels are colours) and ``B x K x 2`` points, augmented alike."""
    motion, colours = drawn
    size = x.shape[-1]
    axis = torch.arange(size, device=x.device, dtype=motion.dtype)
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).reshape(1, -1, 2).expand(x.shape[0], -1, -1)
    places = (apply_affine(motion, grid) + 0.5) * (2 / size) - 1
    moved = torch.nn.functional.grid_sample(x, places.view(-1, size, size, 2), padding_mode="reflection", align_corners=False)
    recoloured = torch.einsum("bij,bjhw->bihw", colours[:, :, :3], moved[:, :3]) + colours[:, :, 3, None, None]
    return torch.cat([recoloured, moved[:, 3:]], 1), apply_affine(invert_affine(motion), points)
