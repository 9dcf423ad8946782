"""The rates of an attack from its scores: true accepts, ranks, chance, and intervals over people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from fo_faceanon.judging.scores import threshold_at

#: False-accept rates at which true accepts are reported.
FARS = (1e-3, 1e-2)
#: Ranks at which identification is reported.
RANKS = (1, 5, 10)
#: Impostor pairs below which a threshold at a false-accept rate would rest on a handful of scores: ten beyond it.
MIN_IMPOSTORS = {1e-3: 10_000, 1e-2: 1_000}
#: Pairs or searches below which a rate is withheld.
MIN_TRIALS = 20
_SAMPLES, _CELLS = 2000, 8_000_000  # resamples, fewer where there are very many people


@dataclass(frozen=True, slots=True)
class Rate:
    """One figure of an attack.

    Args:
        value: a fraction, or a mean cosine; None where it was withheld.
        n: pairs or searches that it stands on.
        people: how many people they are of; the interval resamples these.
        low: lower end of the 95 % interval.
        high: the upper end.
        chance: what guessing gives; None where that has no meaning.
        withheld: why there is no value.
        hits: how many were found, also where that is too little for a rate; None of a mean.
    """

    value: float | None
    n: int
    people: int = 0
    low: float | None = None
    high: float | None = None
    chance: float | None = None
    withheld: str | None = None
    hits: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(slots=True)
class Search:
    """Probes searched for in a gallery.

    Args:
        scores: ``P x G``; higher is more alike. A row of NaN is a probe without a vector, a column one of the gallery.
        same: ``P x G`` bool: pairs that the attacker wants to find.
        ignored: ``P x G`` bool: pairs that count neither as found nor as a mistake (a picture's own original).
        people: who is on each probe: what belongs together in intervals.
        thresholds: by false-accept rate; what is missing is set on this search's own impostor scores.
    """

    scores: np.ndarray
    same: np.ndarray
    ignored: np.ndarray
    people: Sequence[str]
    thresholds: Mapping[float, float] = field(default_factory=dict)

    @property
    def genuine(self) -> np.ndarray:
        """``P x G``: the pairs to be found."""
        return self.same & ~self.ignored

    @property
    def impostors(self) -> np.ndarray:
        """``P x G``: the pairs of different people."""
        return ~self.same & ~self.ignored


def summarise(searches: Sequence[Search]) -> dict[str, Rate]:
    """The rates over one or several searches (folds).

    A probe without a vector is counted at what guessing would give, never dropped: the false-accept rate for pairs, the
    chance of the rank for searches.

    Returns:
        ``tar@0.001``, ``tar@0.01``: accepted share of the pairs to be found; ``rank1``, ``rank5``, ``rank10``: share of
        probes of which somebody is to be found that have the right one among so many; ``cosine`` and ``impostor``: mean
        scores of pairs to be found, and of different people.
    """
    rates = {f"tar@{far:g}": _accepted(searches, far) for far in FARS}
    codes = _codes(searches)
    rank, chances, of = (np.concatenate(parts) for parts in zip(*map(_ranks, searches, codes), strict=True))
    for k in RANKS:
        chance = chances[:, RANKS.index(k)]
        hits = np.where(np.isnan(rank), chance, rank <= k)
        rates[f"rank{k}"] = _rate(hits, of, float(chance.mean()) if len(chance) else None)
    for name, kind in (("cosine", "genuine"), ("impostor", "impostors")):
        scores, people = _pooled(searches, [s.scores for s in searches], kind)
        known = np.isfinite(scores)
        rates[name] = _rate(scores[known], people[known], None)
    return rates


def _accepted(searches: Sequence[Search], far: float) -> Rate:
    if any(far not in search.thresholds for search in searches):
        return _accepted_at_own(searches, far)
    above = [np.where(np.isnan(s.scores), far, s.scores > s.thresholds[far]) for s in searches]
    return _rate(*_pooled(searches, above, "genuine"), far)


def _accepted_at_own(searches: Sequence[Search], far: float) -> Rate:
    """At the threshold that these impostor scores give, each search standardised by its own: heads differ from fold to fold."""
    moved = [standardised(search) for search in searches]
    impostors = _pooled(searches, moved, "impostors")[0]
    impostors = impostors[np.isfinite(impostors)]
    if len(impostors) < MIN_IMPOSTORS[far]:
        reason = f"a false-accept rate of {far:g} needs {MIN_IMPOSTORS[far]:,} pairs of different people, but there are {len(impostors):,}"
        return Rate(None, int(sum(s.genuine.sum() for s in searches)), chance=far, withheld=reason)
    threshold = threshold_at(impostors, far)
    above = [np.where(np.isnan(scores), far, scores > threshold) for scores in moved]
    return _rate(*_pooled(searches, above, "genuine"), far)


def standardised(search: Search) -> np.ndarray:
    """Its scores in standard deviations of the impostor scores from their mean."""
    impostors = search.scores[search.impostors]
    impostors = impostors[np.isfinite(impostors)]
    if not len(impostors):
        return search.scores
    return (search.scores - impostors.mean()) / max(float(impostors.std()), 1e-6)


def _codes(searches: Sequence[Search]) -> list[np.ndarray]:
    """The people of each search's probes as numbers that all searches share."""
    names = sorted({name for search in searches for name in search.people})
    number = {name: i for i, name in enumerate(names)}
    return [np.array([number[name] for name in search.people], int) for search in searches]


def _pooled(searches: Sequence[Search], values: Sequence[np.ndarray], kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Values of one kind of pairs over all searches, and the number of the person of each one's probe."""
    chosen = [getattr(search, kind) for search in searches]
    people = [np.repeat(codes, pairs.sum(1)) for codes, pairs in zip(_codes(searches), chosen, strict=True)]
    return np.concatenate([v[pairs] for v, pairs in zip(values, chosen, strict=True)]), np.concatenate(people)


def _ranks(search: Search, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rank of the first right one per probe (NaN: no vector), its chance at each of ``RANKS``, and who; probes with a mate only.

    Ties count half, so that equal scores are no find.
    """
    rows = np.flatnonzero(search.genuine.any(1))
    scores, genuine, candidates = search.scores[rows], search.genuine[rows], ~search.ignored[rows]
    unknown = ~(np.isfinite(scores) & candidates).any(1)
    scores = np.where(np.isfinite(scores) & candidates, scores, -np.inf)
    best = np.where(genuine, scores, -np.inf).max(1, initial=-np.inf)[:, None]
    others = candidates & ~genuine
    rank = 1 + (others & (scores > best)).sum(1) + (others & (scores == best)).sum(1) / 2
    mates, total = genuine.sum(1), candidates.sum(1)
    chance = np.stack([_chance(mates, total, k) for k in RANKS], 1) if len(rows) else np.zeros((0, len(RANKS)))
    return np.where(unknown, np.nan, rank), chance, codes[rows]


def _chance(mates: np.ndarray, total: np.ndarray, k: int) -> np.ndarray:
    """The probability that ``k`` draws without replacement hold one of the mates (hypergeometric)."""
    miss = np.ones(len(mates))
    for i in range(k):
        miss *= np.clip((total - mates - i) / np.maximum(total - i, 1), 0, 1)
    return 1 - miss


def _rate(values: np.ndarray, people: np.ndarray, chance: float | None) -> Rate:
    """A mean with its interval; withheld where it would stand on too little."""
    n = len(values)
    names, index = np.unique(people, return_inverse=True)
    hits = float(values.sum()) if chance is not None else None
    if n < MIN_TRIALS:
        return Rate(None, n, len(names), chance=chance, withheld=f"{n} trials are too few: at least {MIN_TRIALS} are needed", hits=hits)
    sums, counts = np.bincount(index, values, len(names)), np.bincount(index, minlength=len(names))
    value = float(sums.sum() / counts.sum())
    low, high = _interval(value, sums, counts, probability=chance is not None)
    return Rate(value, n, len(names), low, high, chance, hits=hits)


def _interval(value: float, sums: np.ndarray, counts: np.ndarray, probability: bool) -> tuple[float | None, float | None]:
    """95 % by resampling people; none with fewer than five. A share of exactly 0 or 1 gets the rule of three over people."""
    n = len(sums)
    if n < 5:
        return None, None
    if probability and value in (0.0, 1.0):
        reach = 1 - 0.05 ** (1 / n)
        return max(0.0, value - reach), min(1.0, value + reach)
    drawn = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), min(_SAMPLES, max(_CELLS // n, 200)))
    values = (drawn @ sums) / np.maximum(drawn @ counts, 1)
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)
