"""One step of adversarial training: non-saturating loss, lazy R1, feature matching, a running average of the weights."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fo_faceanon.networks.discriminator import Discriminator
from fo_faceanon.networks.inpainting import InpaintingGenerator
from fo_faceanon.training.augment import Augmenter, apply_augmentation
from fo_faceanon.training.batches import Sampler
from fo_faceanon.training.config import TrainConfig
from fo_faceanon.training.growing import grow
from fo_faceanon.training.tasks import Case, create_task

#: What a step measures, in the order of :attr:`Trainer.sums`.
METRICS = ("generator", "discriminator", "matching", "pixel", "real_sign", "augment", "penalty")
#: Channels that pictures have.
_COLOURS = 3


class Trainer:
    """Both networks, their optimisers, and everything a checkpoint holds. No step waits for the device.

    Args:
        config: the run.
        size: of the crops, in pixels.
        device: where to train.
        half: whether networks compute in bfloat16.
        compiled: whether ``torch.compile`` is used; pays on a GPU after a minute.
    """

    def __init__(self, config: TrainConfig, size: int, device: torch.device, half: bool, compiled: bool = False) -> None:
        torch.manual_seed(config.seed)
        self.config, self.device, self.half = config, device, half
        self.task, generator = create_task(config, size)
        self.generator = generator.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.generator).eval().requires_grad_(False)
        widths = config.discriminator_width, config.discriminator_widest
        judge = Discriminator(size, _COLOURS + 1, self.task.points, *widths)
        self.judge = judge.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        options: dict[str, Any] = {"lr": config.rate, "betas": (0.0, 0.99), "eps": 1e-8, "foreach": True}
        self.generator_steps = torch.optim.Adam(self.generator.parameters(), **options)
        self.judge_steps = torch.optim.Adam(self.judge.parameters(), **options)
        self.images, self.steps, self.seconds = 0, 0, 0.0
        self.sums = torch.zeros(len(METRICS), device=device)
        self._fill: Callable[..., Tensor] = generator.fill if isinstance(generator, InpaintingGenerator) else generator
        self._look: Callable[..., tuple[Tensor, list[Tensor]]] = self.judge
        if compiled:
            self._fill, self._look = torch.compile(self._fill), torch.compile(self._look)
        self.random = torch.Generator(device=device).manual_seed(config.seed)
        self.augmenter = Augmenter(config.augment, config.overfit_target, self.random)

    def step(self, sampler: Sampler) -> None:
        """One step of each network on a fresh batch."""
        batch = sampler.draw(self.config.batch)
        case = self.task.case(batch, self.random)
        drawn = self.augmenter.draw(self.config.batch, case.real.shape[-1])
        self._judge_step(case, drawn)
        self._generator_step(case, drawn)
        self.images += self.config.batch
        self.steps += 1
        self._update_average()

    def state(self) -> dict[str, Any]:
        """Everything that a run goes on from."""
        parts = {name: getattr(self, name).state_dict() for name in _PARTS}
        return parts | {"images": self.images, "steps": self.steps, "seconds": self.seconds, "augment": self.augmenter.chance}

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from :meth:`state`."""
        for name in _PARTS:
            getattr(self, name).load_state_dict(state[name])
        self.images, self.steps, self.seconds = state["images"], state["steps"], state["seconds"]
        self.augmenter.chance.copy_(state["augment"])
        self.random.manual_seed(self.config.seed + self.images)  # not the draws that the run began with

    def grow_from(self, state: dict[str, Any]) -> None:
        """Takes over what a run at half the size has learnt (:func:`fo_faceanon.training.growing.grow`).

        Raises:
            InputError: that run's networks are no smaller versions of these.
        """
        for name in ("generator", "average", "judge"):
            grow(getattr(self, name), state[name])

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.device.type, dtype=torch.bfloat16) if self.half else nullcontext()

    def _noise(self, count: int) -> Tensor:
        return torch.randn(count, max(self.task.noise, 1), device=self.device, generator=self.random)

    def _make(self, case: Case) -> Tensor:
        with self._autocast():
            return self.task.make(self._fill, case, self._noise(len(case.real))).float()

    def _judge(self, picture: Tensor, case: Case, drawn: tuple[Tensor, Tensor]) -> tuple[Tensor, list[Tensor]]:
        seen, points = apply_augmentation(self.task.judged(picture, case), case.points, drawn)
        with self._autocast():
            return self._look(seen, points)

    def _judge_step(self, case: Case, drawn: tuple[Tensor, Tensor]) -> None:
        self.judge.requires_grad_(True)
        with torch.no_grad():
            made = self._make(case)
        fake, _ = self._judge(made, case, drawn)
        real, _ = self._judge(case.real, case, drawn)
        loss = F.softplus(fake).mean() + F.softplus(-real).mean()
        total = loss
        if self.steps % self.config.penalty_every == 0:
            penalty = self._penalty(case, drawn)
            total = loss + 0.5 * self.config.gamma * self.config.penalty_every * penalty
            self._note(penalty=penalty)
        self.judge_steps.zero_grad()
        total.backward()
        self.judge_steps.step()
        self.augmenter.steer(real)
        self._note(discriminator=loss, real_sign=real.sign().mean(), augment=self.augmenter.chance)

    def _penalty(self, case: Case, drawn: tuple[Tensor, Tensor]) -> Tensor:
        """R1: the squared gradient of the logits at training faces; in single precision, never compiled."""
        seen, points = apply_augmentation(self.task.judged(case.real, case), case.points, drawn)
        seen = seen.detach().requires_grad_(True)
        logits, _ = self.judge(seen, points)
        (gradient,) = torch.autograd.grad(logits.sum(), seen, create_graph=True)
        return gradient[:, :_COLOURS].square().sum((1, 2, 3)).mean()

    def _generator_step(self, case: Case, drawn: tuple[Tensor, Tensor]) -> None:
        self.judge.requires_grad_(False)
        done = self.config.progress(self.images)
        matching_weight = self.config.matching + (self.config.matching_end - self.config.matching) * done
        pixel_weight = self.config.pixel + (self.config.pixel_end - self.config.pixel) * done
        made = self._make(case)
        logits, features = self._judge(made, case, drawn)
        loss = F.softplus(-logits).mean()
        area = case.region.sum() * _COLOURS
        pixel = ((made - case.real).abs() * case.region).sum() / area
        total = loss + pixel_weight * pixel
        if matching_weight > 0:
            with torch.no_grad():
                _, wanted = self._judge(case.real, case, drawn)
            matching = matching_loss(features, wanted)
            total = total + matching_weight * matching
            self._note(matching=matching)
        self.generator_steps.zero_grad()
        total.backward()
        self.generator_steps.step()
        self._note(generator=loss, pixel=pixel)

    @torch.no_grad()
    def _note(self, **values: Tensor) -> None:
        for name, value in values.items():
            self.sums[METRICS.index(name)] += value.detach().float()

    @torch.no_grad()
    def _update_average(self) -> None:
        half_life = min(self.config.average_images, 0.05 * self.images)  # short at first: early weights are worth nothing
        weight = 1 - 0.5 ** (self.config.batch / max(half_life, 1e-8))
        pairs = list(zip(self.average.parameters(), self.generator.parameters(), strict=True))
        torch._foreach_lerp_([a for a, _ in pairs], [g for _, g in pairs], weight)


_PARTS = ("generator", "average", "judge", "generator_steps", "judge_steps")


def matching_loss(made: list[Tensor], wanted: list[Tensor]) -> Tensor:
    """Mean absolute difference of feature maps, each in units of its own mean size (Wang et al. 2018)."""
    parts = [(a.float() - b.float()).abs().mean() / b.float().abs().mean().clamp_min(1e-4) for a, b in zip(made, wanted, strict=True)]
    return torch.stack(parts).mean()


@torch.no_grad()
def sample_faces(trainer: Trainer, case: Case, seed: int, network: nn.Module | None = None) -> Tensor:
    """``B x 3 x S x S``: the averaged generator's pictures with noise of a seed, pasted into the originals."""
    random = torch.Generator(device=trainer.device).manual_seed(seed)
    noise = torch.randn(len(case.real), max(trainer.task.noise, 1), device=trainer.device, generator=random)
    made = trainer.task.make(network or trainer.average, case, noise)
    return torch.where(case.region > 0.5, made, case.real)
