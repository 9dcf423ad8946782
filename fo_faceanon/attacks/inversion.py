"""Inversion: a network learns to restore originals from anonymized faces of other people; what it restores is then recognised.

After "Fantômas" (arXiv 2210.10651) and "Revelio" (arXiv 2506.12344). Two steps, both fitted on pairs of other people: the linear filter
that restores best in the mean (Wiener), which undoes blur and brightness in closed form, applied where in the aligned frame it helps, and
a small U-Net (Ronneberger et al. 2015) that corrects what it leaves, by L1.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fo_faceanon.attacks.folds import fold_numbers

#: Parts that people are split into; each is restored by a network that learnt from the others.
FOLDS = 2
#: Faces below which nothing general can be learnt.
MIN_FACES = 40
_PAD = 16  # pixels mirrored around a frame, so that the filter does not wrap around
_DAMPING = 1e-4  # power of noise that the filter reckons with, in squared units of [0, 1] per frequency
_BATCH, _RATE = 8, 2e-3
#: Width of the network and steps at most: what a CPU can train in minutes, and a GPU.
_WIDTH, _STEPS = {"cpu": 24, "cuda": 64}, {"cpu": 3000, "cuda": 20_000}


class UNet(nn.Module):
    """``B x 6 x S x S`` (picture and its filtered version) to ``B x 3 x S x S`` corrections; S divisible by 8."""

    def __init__(self, width: int) -> None:
        super().__init__()
        w = width
        self.down = nn.ModuleList([_block(24, w), _block(w, 2 * w), _block(2 * w, 3 * w)])
        self.up = nn.ModuleList([_block(5 * w, 2 * w), _block(3 * w, w)])
        self.out = nn.Conv2d(w, 12, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        if self.out.bias is not None:
            nn.init.zeros_(self.out.bias)

    def forward(self, pictures: Tensor) -> Tensor:
        x = F.pixel_unshuffle(pictures, 2)
        fine = self.down[0](x)
        middle = self.down[1](F.avg_pool2d(fine, 2))
        coarse = self.down[2](F.avg_pool2d(middle, 2))
        middle = self.up[0](torch.cat([middle, F.interpolate(coarse, scale_factor=2, mode="nearest")], 1))
        fine = self.up[1](torch.cat([fine, F.interpolate(middle, scale_factor=2, mode="nearest")], 1))
        return F.pixel_shuffle(self.out(fine), 2)


def _block(inside: int, outside: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, padding=1), nn.SiLU(inplace=True), nn.Conv2d(outside, outside, 3, padding=1), nn.SiLU(inplace=True)
    )


@dataclass(slots=True)
class Filter:
    """The linear part: mean colours before and after, a frequency response ``3 x H x W'``, and where it is applied, ``1 x S x S``."""

    means: tuple[Tensor, Tensor]
    response: Tensor
    share: Tensor

    def __call__(self, frames: Tensor) -> Tensor:
        """``B x 3 x S x S`` in ``[0, 1]`` to the same, filtered."""
        return frames + self.share * (self._everywhere(frames) - frames)

    def _everywhere(self, frames: Tensor) -> Tensor:
        padded = _padded(frames - self.means[0])
        result = torch.fft.irfft2(torch.fft.rfft2(padded, norm="ortho") * self.response, s=padded.shape[-2:], norm="ortho")
        return result[..., _PAD:-_PAD, _PAD:-_PAD] + self.means[1]


@dataclass(slots=True)
class Inversion:
    """A fitted restoration. ``steps`` of training were done in ``seconds``."""

    linear: Filter
    network: UNet
    steps: int
    seconds: float

    @torch.inference_mode()
    def restore(self, frames: np.ndarray) -> np.ndarray:
        """``N x 3 x S x S`` uint8 anonymized to ``N x 3 x S x S`` uint8 restored."""
        device = self.linear.response.device
        restored = np.empty_like(frames)
        for start in range(0, len(frames), 32):
            some = _as_float(frames[start : start + 32], device)
            linear = self.linear(some)
            result = linear + self.network(torch.cat([some, linear], 1))
            restored[start : start + 32] = (result.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
        return restored


def train_inversion(
    anonymized: np.ndarray, original: np.ndarray, *, budget: float, device: str = "cpu", seed: int = 0, steps: int | None = None
) -> Inversion:
    """Fits the filter and trains the network until a number of steps is done or the time is up.

    Args:
        anonymized: ``N x 3 x S x S`` uint8 aligned faces, S divisible by 8.
        original: the same windows of the originals.
        budget: seconds of training at most; where they end it, the result depends on the machine's speed.
        device: where to train.
        seed: of the network and of the order.
        steps: at most; by default as many as help on the device.
    """
    generator, kind = torch.Generator().manual_seed(seed), "cpu" if device == "cpu" else "cuda"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = UNet(_WIDTH[kind])
    network = network.to(device).to(memory_format=torch.channels_last)  # a third faster on a CPU
    linear_part = fit_filter(anonymized, original, device)
    filtered = torch.cat([linear_part(_as_float(some[None], device)).half() for some in anonymized])
    optimizer = torch.optim.AdamW(network.parameters(), _RATE, weight_decay=1e-4)
    start, most, done = time.monotonic(), steps if steps is not None else _STEPS[kind], 0
    while done < most and (elapsed := time.monotonic() - start) < budget:
        spent = max(done / most, elapsed / budget)
        for group in optimizer.param_groups:
            group["lr"] = _RATE * 0.5 * (1 + math.cos(math.pi * spent)) + 1e-5
        rows = torch.randint(len(anonymized), (_BATCH,), generator=generator)
        given, wanted = (_as_float(frames[rows.numpy()], device) for frames in (anonymized, original))
        linear = filtered[rows.to(filtered.device)].float()
        if torch.rand((), generator=generator) < 0.5:
            given, wanted, linear = given.flip(-1), wanted.flip(-1), linear.flip(-1)
        loss = F.l1_loss(linear + network(torch.cat([given, linear], 1)), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        done += 1
    return Inversion(linear_part, network.eval(), done, time.monotonic() - start)


def restore_by_folds(
    anonymized: np.ndarray,
    original: np.ndarray,
    people: Sequence[str],
    *,
    budget: float,
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> tuple[np.ndarray, list[dict[str, float]]]:
    """Every face restored by a network that never saw its person.

    Args:
        anonymized: ``N x 3 x S x S`` uint8.
        original: the same windows of the originals.
        people: who is on each.
        budget: seconds of training, all parts together.
        device: where to train.
        progress: called with ``done, total`` parts.

    Returns:
        The restored frames, and per part ``steps``, ``seconds``, and the mean absolute error to the originals (0 to 1) of the
        attacked faces as they were (``error_before``) and restored (``error_after``).
    """
    part = fold_numbers(people, FOLDS)
    restored, reached = anonymized.copy(), []
    for number in range(FOLDS):
        teach, attack = np.flatnonzero(part != number), np.flatnonzero(part == number)
        if len(teach) and len(attack):
            inversion = train_inversion(anonymized[teach], original[teach], budget=budget / FOLDS, device=device)
            restored[attack] = inversion.restore(anonymized[attack])
            before, after = (_error(frames[attack], original[attack]) for frames in (anonymized, restored))
            values = {"steps": inversion.steps, "seconds": round(inversion.seconds, 1), "faces": len(attack)}
            reached.append({**values, "error_before": before, "error_after": after})
        if progress is not None:
            progress(number + 1, FOLDS)
    return restored, reached


def _error(frames: np.ndarray, original: np.ndarray) -> float:
    return float(np.mean([np.abs(a.astype(np.int16) - b).mean() for a, b in zip(frames, original, strict=True)]) / 255)


def _as_float(frames: np.ndarray, device: str | torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(frames)).to(device).float() / 255


def fit_filter(anonymized: np.ndarray, original: np.ndarray, device: str) -> Filter:
    """The filter that takes one to the other with the least squared error, and the share of it that does so at each place."""
    means = (_mean_colour(anonymized, device), _mean_colour(original, device))
    cross, power = torch.zeros((), device=device), torch.zeros((), device=device)
    for given, wanted in _batches(anonymized, original, device):
        a, b = (torch.fft.rfft2(_padded(x - mean), norm="ortho") for x, mean in zip((given, wanted), means, strict=True))
        cross = cross + (a.conj() * b).sum(0)
        power = power + a.abs().square().sum(0)
    size = anonymized.shape[-1]
    everywhere = Filter(means, cross / (power + _DAMPING * len(anonymized)), torch.ones(1, size, size, device=device))
    along, length = torch.zeros(1, size, size, device=device), torch.full((1, size, size), 1e-6, device=device)
    for given, wanted in _batches(anonymized, original, device):
        step = everywhere(given) - given
        along = along + (step * (wanted - given)).sum((0, 1))
        length = length + step.square().sum((0, 1))
    along, length = (F.avg_pool2d(x[None], 9, 1, 4)[0] for x in (along, length))
    return Filter(means, everywhere.response, (along / length).clamp(0, 1))


def _batches(anonymized: np.ndarray, original: np.ndarray, device: str) -> Iterator[tuple[Tensor, Tensor]]:
    for start in range(0, len(anonymized), 32):
        yield _as_float(anonymized[start : start + 32], device), _as_float(original[start : start + 32], device)


def _mean_colour(frames: np.ndarray, device: str) -> Tensor:
    return torch.from_numpy(frames.mean((0, 2, 3), dtype=np.float64) / 255).float().to(device)[:, None, None]


def _padded(frames: Tensor) -> Tensor:
    return F.pad(frames, (_PAD,) * 4, mode="reflect")
