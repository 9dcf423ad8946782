"""The two things that generators learn here: to fill a hidden face, and to draw one from mesh dots."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from fo_faceanon.landmarks.drawing import draw_mesh, sparse7
from fo_faceanon.networks.inpainting import InpaintingConfig, InpaintingGenerator
from fo_faceanon.networks.mesh_generator import MeshConfig, MeshGenerator
from fo_faceanon.training.batches import Batch
from fo_faceanon.training.config import TrainConfig
from fo_faceanon.training.masks import hidden_region, narrow_context

#: A generator, or one of its ways of being called.
Network = Callable[..., Tensor]


@dataclass
class Case:
    """What a generator is given, and what it is compared with.

    Args:
        real: ``B x 3 x S x S``, the original.
        region: ``B x 1 x S x S``, 1 where the generator's picture is used.
        shown: ``B x 1 x S x S``, what the discriminator is told beside the picture.
        points: ``B x K x 2``, the landmarks that both are told; ``K`` may be 0.
    """

    real: Tensor
    region: Tensor
    shown: Tensor
    points: Tensor


class Task(Protocol):
    """How a generator is fed, and what the discriminator sees of its pictures."""

    kind: str
    noise: int
    points: int

    def case(self, batch: Batch, random: torch.Generator) -> Case:
        """What to do with these faces."""
        ...

    def make(self, network: Network, case: Case, noise: Tensor) -> Tensor:
        """The generator's pictures."""
        ...

    def judged(self, picture: Tensor, case: Case) -> Tensor:
        """``B x C x S x S`` for the discriminator, colours first."""
        ...


class Inpainting:
    """Fill the hidden region; judged with its surroundings."""

    kind = "inpainting"

    def __init__(self, config: TrainConfig, network: InpaintingConfig) -> None:
        self.points, self.noise = network.points, network.noise
        self._config = config

    def case(self, batch: Batch, random: torch.Generator) -> Case:
        """See :class:`Task`."""
        real = narrow_context(batch.pictures, batch.landmarks, self._config.narrow, random)
        region = hidden_region(batch.landmarks, batch.hairline, real.shape[-1], self._config, random)
        return Case(real, region, region, sparse7(batch.landmarks) if self.points == 7 else batch.landmarks)

    def make(self, network: Network, case: Case, noise: Tensor) -> Tensor:
        """See :class:`Task`."""
        return network(case.real, case.region, case.points, noise)

    def judged(self, picture: Tensor, case: Case) -> Tensor:
        """See :class:`Task`."""
        return torch.cat([picture, case.shown], 1)


class Mesh:
    """Draw a face from dots; judged without surroundings, of which dots say nothing."""

    kind = "mesh"
    noise, points = 0, 0

    def __init__(self, config: TrainConfig) -> None:
        self._config = config

    def case(self, batch: Batch, random: torch.Generator) -> Case:
        """See :class:`Task`."""
        assert batch.mesh is not None
        size = batch.pictures.shape[-1]
        region = hidden_region(batch.landmarks, batch.hairline, size, self._config, random)
        drawing = draw_mesh(batch.mesh, size)
        return Case(batch.pictures, region, drawing, drawing.new_zeros(len(drawing), 0, 2))

    def make(self, network: Network, case: Case, noise: Tensor) -> Tensor:
        """See :class:`Task`."""
        return network(case.shown)

    def judged(self, picture: Tensor, case: Case) -> Tensor:
        """See :class:`Task`."""
        return torch.cat([picture * case.region, case.shown], 1)


def create_task(config: TrainConfig, size: int) -> tuple[Task, nn.Module]:
    """The task of a configuration and its untrained generator, for crops of ``size`` pixels."""
    if config.kind == "mesh":
        return Mesh(config), MeshGenerator(MeshConfig(**{**config.network, "size": size}))
    network = InpaintingConfig(**{**config.network, "size": size})
    return Inpainting(config, network), InpaintingGenerator(network)
