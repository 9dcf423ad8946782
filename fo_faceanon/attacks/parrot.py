"""The parrot attack: an embedding head learnt on anonymized faces of other people, so that these and clear faces agree.

Newton et al. 2005 ("parrot recognition"); McPherson et al. 2016; strongest practice today: arXiv 2304.01635, 2407.06648. The
recogniser itself stays as it is: on its vectors a linear map is fitted in closed form and then adapted by contrast between
people (supervised InfoNCE, Khosla et al. 2020). People of a fourth of the data are attacked with what the others taught.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from fo_faceanon.attacks.folds import FOLDS, fold_numbers, photos_of, some_of
from fo_faceanon.attacks.protocols import across_photos
from fo_faceanon.attacks.rates import Search
from fo_faceanon.judging.scores import area_under_curve, same_person

#: People with two photographs and more below which nothing can be learnt that would say anything about others.
MIN_PEOPLE = 40
#: Rows that a head is fitted on at most: the closed form solves a system of so many equations.
_MOST = 2000
_RIDGES = (0.1, 1.0, 10.0)
_RANK, _STEPS, _LOOK, _PATIENCE, _BATCH = 32, 160, 10, 4, 512
_TEMPERATURE, _RATE, _NOISE = 0.1, 3e-3, 0.3


@dataclass(slots=True)
class Parrot:
    """Two heads that take vectors of one recogniser, clear and anonymized, to a common space.

    ``steps`` of contrast were kept, ``auc`` is that of the held-out people, ``start`` names the map that was begun with.
    """

    means: tuple[Tensor, Tensor]
    scale: Tensor
    support: Tensor
    weights: Tensor
    keep: float
    adapters: tuple[Tensor, Tensor, Tensor, Tensor]
    start: str
    steps: int
    auc: float

    def clear(self, vectors: np.ndarray) -> np.ndarray:
        """``N x D`` unit vectors of clear faces in the common space; NaN stays NaN."""
        return _adapted(self._standard(vectors, 0), *self.adapters[:2]).numpy()

    def anonymized(self, vectors: np.ndarray) -> np.ndarray:
        """The same of anonymized faces."""
        rows = self._standard(vectors, 1)
        mapped = self.keep * rows + (rows @ self.support.T) @ self.weights
        return _adapted(mapped, *self.adapters[2:]).numpy()

    def _standard(self, vectors: np.ndarray, side: int) -> Tensor:
        return (torch.from_numpy(np.ascontiguousarray(vectors, np.float32)) - self.means[side]) / self.scale


def train_parrot(clear: np.ndarray, anonymized: np.ndarray, people: Sequence[str], seed: int = 0) -> Parrot:
    """Learns the heads; a fifth of the people decides how, and when to stop.

    Targets are other photographs of the same person: what a picture and its own original share (light, setting) says nothing
    about another photograph.

    Args:
        clear: ``N x D`` finite vectors of originals.
        anonymized: ``N x D`` finite vectors of the same faces, anonymized.
        people: who is on each.
        seed: of the adaptation.
    """
    held = fold_numbers(people, 5) == 0
    means = (torch.from_numpy(clear).float().mean(0), torch.from_numpy(anonymized).float().mean(0))
    scale = torch.from_numpy(clear).float().std(0).clamp_min(1e-4) * clear.shape[1] ** 0.5
    sides = [(torch.from_numpy(x).float() - m) / scale for x, m in zip((clear, anonymized), means, strict=True)]
    fit, check = (_Faces(sides[0][rows], sides[1][rows], some_of(people, rows)) for rows in map(np.flatnonzero, (~held, held)))
    fit = fit.some(_MOST, seed)
    start, keep, weights = _best_map(fit, check)
    fit_mapped, check_mapped = (
        _Faces(faces.clear, keep * faces.anonymized + (faces.anonymized @ fit.anonymized.T) @ weights, faces.people)
        for faces in (fit, check)
    )
    adapters, steps, auc = _contrast(fit_mapped, check_mapped, seed)
    return Parrot(means, scale, fit.anonymized, weights, keep, adapters, start, steps, auc)


def parrot_searches(
    before: np.ndarray, after: np.ndarray, people: Sequence[str], folds: int = FOLDS, seed: int = 0
) -> tuple[list[Search], list[Parrot]]:
    """Every person attacked once, across photographs, among the people of the same part, by heads that never saw any of them.

    Args:
        before: ``N x D`` unit vectors of the originals; rows with NaN teach nothing.
        after: ``N x D`` of the anonymized faces.
        people: who is on each.
        folds: parts.
        seed: of the training.
    """
    part = fold_numbers(people, folds)
    known = np.isfinite(before).all(1) & np.isfinite(after).all(1)
    searches, parrots = [], []
    for number in range(folds):
        teach, attack = np.flatnonzero((part != number) & known), np.flatnonzero(part == number)
        parrot = train_parrot(before[teach], after[teach], some_of(people, teach), seed)
        names = some_of(people, attack)
        searches.append(across_photos(parrot.anonymized(after[attack]), parrot.clear(before[attack]), names, {}))
        parrots.append(parrot)
    return searches, parrots


def plain_searches(before: np.ndarray, after: np.ndarray, people: Sequence[str], folds: int = FOLDS) -> list[Search]:
    """The same searches without anything learnt: what the heads have to beat."""
    part = fold_numbers(people, folds)
    rows = [np.flatnonzero(part == number) for number in range(folds)]
    return [across_photos(after[r], before[r], some_of(people, r), {}) for r in rows]


def together(vectors: Mapping[str, np.ndarray]) -> np.ndarray:
    """All recognisers' vectors of each face side by side: the strongest adversary has them all."""
    return np.concatenate([vectors[name] for name in sorted(vectors)], 1)


def too_few(people: Sequence[str]) -> str | None:
    """Why nothing can be learnt from so many people; None where enough are there."""
    several = sum(count > 1 for count in photos_of(people).values())
    if several >= MIN_PEOPLE:
        return None
    return f"{several} people have several photographs; at least {MIN_PEOPLE} are needed to learn from some and attack others"


@dataclass(slots=True)
class _Faces:
    """Standardised vectors, ``N x D`` each, and who is on them."""

    clear: Tensor
    anonymized: Tensor
    people: list[str]

    def some(self, most: int, seed: int) -> _Faces:
        """At most so many, drawn at random."""
        if len(self.people) <= most:
            return self
        rows = torch.randperm(len(self.people), generator=torch.Generator().manual_seed(seed))[:most]
        return _Faces(self.clear[rows], self.anonymized[rows], [self.people[i] for i in rows.tolist()])

    @property
    def pairs(self) -> Tensor:
        """``N x N`` bool: same person, another photograph; the photograph itself where a person has no other."""
        number = {name: i for i, name in enumerate(sorted(set(self.people)))}
        index = torch.tensor([number[name] for name in self.people])
        same = index[:, None] == index[None]
        own = torch.eye(len(index), dtype=torch.bool)
        return torch.where((same & ~own).any(1, keepdim=True), same & ~own, same)


def _best_map(fit: _Faces, check: _Faces) -> tuple[str, float, Tensor]:
    """The linear map of anonymized vectors that held-out people are recognised best with: identity, or ridge regressions.

    With ``keep`` 1 a regression is shrunk towards the identity, with 0 towards nothing.
    """
    targets = fit.pairs.float()
    targets = (targets / targets.sum(1, keepdim=True)) @ fit.clear
    kernel = fit.anonymized @ fit.anonymized.T
    across = check.anonymized @ fit.anonymized.T
    best = ("identity", 1.0, torch.zeros_like(targets))
    best_auc = _auc(check.clear, check.anonymized, check)
    for keep in (1.0, 0.0):
        for ridge in _RIDGES:
            system = kernel + ridge * torch.eye(len(kernel))
            weights = torch.linalg.solve(system, targets - keep * fit.anonymized)
            auc = _auc(check.clear, keep * check.anonymized + across @ weights, check)
            if auc > best_auc:
                best, best_auc = (f"ridge {ridge:g} towards {'identity' if keep else 'nothing'}", keep, weights), auc
    return best


def _auc(clear: Tensor, anonymized: Tensor, faces: _Faces) -> float:
    scores = (F.normalize(anonymized, dim=1) @ F.normalize(clear, dim=1).T).numpy()
    return area_under_curve(scores[faces.pairs.numpy()], scores[~same_person(faces.people, faces.people)])


def _contrast(fit: _Faces, check: _Faces, seed: int) -> tuple[tuple[Tensor, Tensor, Tensor, Tensor], int, float]:
    """Low-rank additions to both heads by InfoNCE, as long as held-out people are recognised better for it."""
    generator = torch.Generator().manual_seed(seed)
    dim = fit.clear.shape[1]
    rank = min(_RANK, dim)
    down = [torch.randn(dim, rank, generator=generator) * dim**-0.5 for _ in range(2)]
    up = [torch.zeros(rank, dim) for _ in range(2)]
    parameters = [down[0], up[0], down[1], up[1]]
    kept, kept_steps, best = [p.clone() for p in parameters], 0, _auc(check.clear, check.anonymized, check)
    for parameter in parameters:
        parameter.requires_grad_(True)
    optimizer = torch.optim.AdamW(parameters, _RATE, weight_decay=1e-2)
    stale = 0
    for step in range(1, _STEPS + 1):
        optimizer.zero_grad()
        _loss(fit.some(_BATCH, seed + step), parameters, generator).backward()
        optimizer.step()
        if step % _LOOK:
            continue
        with torch.no_grad():
            auc = _auc(_adapted(check.clear, *parameters[:2]), _adapted(check.anonymized, *parameters[2:]), check)
        stale = 0 if auc > best else stale + 1
        if auc > best:
            kept, kept_steps, best = [p.detach().clone() for p in parameters], step, auc
        if stale == _PATIENCE:
            break
    return (kept[0], kept[1], kept[2], kept[3]), kept_steps, best


def _loss(faces: _Faces, parameters: Sequence[Tensor], generator: torch.Generator) -> Tensor:
    """InfoNCE from anonymized to clear and between clear, with noise on the inputs against learning by heart."""
    noise = _NOISE * faces.clear.shape[1] ** -0.5

    def noisy(rows: Tensor) -> Tensor:
        return rows + noise * torch.randn(rows.shape, generator=generator)

    clear = _adapted(noisy(faces.clear), *parameters[:2])
    anonymized = _adapted(noisy(faces.anonymized), *parameters[2:])
    positive = faces.pairs
    own = torch.eye(len(positive), dtype=torch.bool) & ~positive
    total = torch.zeros(())
    for probes in (anonymized, clear):
        scores = (probes @ clear.T / _TEMPERATURE).masked_fill(own, -torch.inf)
        likely = (scores - scores.logsumexp(1, keepdim=True)).masked_fill(~positive, 0)
        total = total - (likely.sum(1) / positive.sum(1)).mean()
    return total


def _adapted(rows: Tensor, down: Tensor, up: Tensor) -> Tensor:
    return F.normalize(rows + (rows @ down) @ up, dim=1)
