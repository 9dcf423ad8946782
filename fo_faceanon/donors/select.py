"""Choosing donors: like the original in everything that a picture is about, unlike it in identity."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fo_faceanon.donors.bank import DonorBank
from fo_faceanon.donors.consensus import Consensus, log_age
from fo_faceanon.donors.describe import Description

#: Donors kept by likeness before identity decides.
SHORTLIST = 50
#: Unlikeness beyond which no donor is close enough (extreme poses); measured: see benchmarks/results.
MAX_COST = 80.0
#: Likeness (cosine of dlib's recogniser, and of our guide) below which another donor is no better: strangers of one sex and origin
#: are about this like. Without it the guides ask for another origin, which is no privacy and a loss.
STRANGER, STRANGER_OURS = 0.82, 0.05
#: Of the best in the end, how many the seed chooses from at most: different seeds give different people.
FINALISTS = 3
#: How much worse than the best a finalist may be: for a rare face the second best can be a poor choice.
FINALIST_MARGIN = 1.5


@dataclass(frozen=True, slots=True)
class SelectionWeights:
    """How much each kind of likeness counts; squared differences in the units of :class:`Description`, so scaled."""

    shape: float = 20.0
    expression: float = 0.35
    pose: float = 0.012
    light: float = 0.012
    skin: float = 0.15
    age: float = 60.0
    male: float = 120.0
    beard: float = 60.0
    glasses: float = 70.0
    occluded: float = 12.0
    identity: float = 250.0
    resemblance: float = 110.0


def _point_weights() -> Tensor:
    """Eyes and mouth count most (that is expression), then brows and nose; the jaw line least."""
    weight = torch.ones(68)
    weight[:17] = 0.4
    weight[36:48] = 3.0
    weight[48:68] = 3.0
    return (weight / weight.mean()).repeat_interleave(2)


class DonorIndex:
    """The bank as one matrix, so that likeness to every donor is one matrix product.

    Args:
        bank: the donors.
        weights: of the kinds of likeness.
    """

    def __init__(self, bank: DonorBank, weights: SelectionWeights | None = None) -> None:
        self.bank = bank
        self.weights = weights or SelectionWeights()
        self._points = (_point_weights() * 100 / 136).sqrt().to(bank.device)
        self._consensus = Consensus(bank.description)
        self._features = self._embed(bank.description)
        self._norms = self._features.square().sum(1)

    def _embed(self, d: Description) -> Tensor:
        w, d = self.weights, self._consensus(d)
        columns = [
            d.shape * self._points * w.shape**0.5,
            d.expression * w.expression**0.5,
            d.pose * w.pose**0.5,
            d.light * (w.light / d.light.shape[1] * 3) ** 0.5,
            d.skin * (w.skin / 3) ** 0.5,
            log_age(d.age)[:, None] * w.age**0.5,
            _decided(d.male) * w.male**0.5,
            _decided(d.beard) * w.beard**0.5,
            _decided(d.glasses, 0.3) * w.glasses**0.5,  # dark ones too: no donor wears them
        ]
        return torch.nan_to_num(torch.cat(columns, 1))

    def costs(self, query: Description) -> Tensor:
        """``B x M`` unlikeness of each donor row to each query, identity aside."""
        q = self._embed(query)
        cost = q.square().sum(1, keepdim=True) + self._norms - 2 * q @ self._features.T
        covered = self.bank.description.occluded * (1 - query.occluded.clamp(0, 1))[:, None]
        return cost + self.weights.occluded * covered

    def pick(
        self,
        query: Description,
        seeds: Sequence[int],
        count: int = 1,
        exclude: Sequence[set[int]] | None = None,
        persons: Sequence[str | None] | None = None,
        failed: Sequence[int] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Donor rows for each query.

        Args:
            query: B faces.
            seeds: one per face; chooses among the finalists.
            count: donors per face.
            exclude: rows that must not be chosen (tried before), per face.
            persons: secret-keyed person names; a name pulls the choice towards an identity of its own, so that the same
                person gets look-alike donors in every picture.
            failed: how many results were rejected, per face: each makes identity count more.

        Returns:
            ``B x count`` rows, and ``B`` the cost of the first of them.
        """
        cost = self.costs(query)
        for i, tried in enumerate(exclude or ()):
            for row in tried:
                cost[i, row - row % 2 : row - row % 2 + 2] = torch.inf  # a mirror image is the same person
        total = min(max(SHORTLIST, 4 * count), cost.shape[1])
        near, rows = cost.topk(total, largest=False)
        identity, resemblance = self.bank.description.identity[rows], self.bank.description.resemblance[rows]
        alike = self.weights.identity * _cosines(identity, query.identity).clamp_min(STRANGER)
        alike += self.weights.resemblance * _cosines(resemblance, query.resemblance).clamp_min(STRANGER_OURS)
        urgency = torch.tensor([1.0 + tries for tries in failed or [0] * len(query)], device=near.device)
        score = near + urgency[:, None] * alike
        score[(near >= MAX_COST) & (near[:, :1] < MAX_COST)] = torch.inf  # identity never asks for one where there are closer ones
        for i, person in enumerate(persons or ()):
            if person is not None:
                score[i] -= 4 * self.weights.identity * identity[i] @ _person_vector(person, identity.shape[-1]).to(identity)
        score, order = score.sort(dim=1, stable=True)
        order = order[:, :count] if count > 1 else _seeded(score, order, seeds, persons)
        chosen = rows.gather(1, order)
        return chosen, near.gather(1, order[:, :1])[:, 0]


def _cosines(rows: Tensor, query: Tensor) -> Tensor:
    """``B x K`` cosines of ``B x K x D`` unit vectors with ``B x D``."""
    return torch.einsum("bkd,bd->bk", rows, query)


def _seeded(score: Tensor, order: Tensor, seeds: Sequence[int], persons: Sequence[str | None] | None) -> Tensor:
    """``B x 1``: of the first columns of ``order`` whose score comes close to the best, the one that the seed points at."""
    close = (score[:, :FINALISTS] <= score[:, :1] + FINALIST_MARGIN).sum(1).clamp_min(1).tolist()
    named = [persons is not None and persons[i] is not None for i in range(len(seeds))]
    column = [0 if name else seed % many for seed, many, name in zip(seeds, close, named, strict=True)]
    return order.gather(1, torch.tensor(column, device=order.device)[:, None])


def _decided(probability: Tensor, limit: float = 0.5) -> Tensor:
    """``B x 1``: nearly 0 or 1, so that a likely pair of glasses weighs no less than a certain one."""
    return torch.sigmoid((probability - limit) * 12)[:, None]


def _person_vector(person: str, size: int) -> Tensor:
    """A unit vector that depends on nothing but the (already secret-keyed) person name."""
    seed = int.from_bytes(hashlib.blake2b(person.encode(), digest_size=7).digest(), "big")
    vector = torch.randn(size, generator=torch.Generator().manual_seed(seed))
    return vector / vector.norm()
