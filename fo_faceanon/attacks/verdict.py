"""A plain verdict on what the attacks found, with the figure that decided it.

Every deciding figure is the worst over the recognisers that guided no method (dlib chose donors: it is shown and never decides),
and is read against the same figure of a solid fill of the same faces: what that leaves is hair, clothes and setting, which
no anonymizer of faces takes away. ``fill`` below is the upper end of the fill's 95 % interval, 0 where the fill is never found.

Accepted pairs at a false-accept rate of 1e-3 (same photograph, across photographs, also by a parrot and after inversion):

- *not recognised* up to 1 %, or up to the fill where that is more;
- *exposed* above twice the fill (at least 2 %), or above 5 % (one and a half times the fill where that is more);
- *borderline* between.

Right at rank 1 across photographs (also by a parrot, after inversion, and of a known person sought among anonymized faces),
against the larger of fill and chance; twice the chance where no fill was measured:

- *not recognised* up to it; *exposed* where the lower end of the interval is above twice it; *borderline* between.

The verdict is that of the worst figure. A face whose pixels are the original's is *exposed* by itself. With too few faces for a rate,
two recognised ones suffice for *exposed*; nothing suffices for *not recognised*.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from fo_faceanon.attacks import names as n
from fo_faceanon.attacks.outcomes import Outcome
from fo_faceanon.attacks.rates import Rate

Level = Literal["exposed", "borderline", "not recognised"]
LEVELS: tuple[Level, ...] = ("not recognised", "borderline", "exposed")
_TAR, _RANK = "tar@0.001", "rank1"
#: The attacks that decide, by which rates, and with which of the fill's they are compared.
_DECIDING = (
    (n.SAME_PHOTO, (_TAR,), n.SAME_PHOTO),
    (n.ACROSS, (_TAR, _RANK), n.ACROSS),
    (n.SOUGHT, (_RANK,), n.SOUGHT),
    (n.PARROT, (_TAR, _RANK), n.PARROT),
    (n.RESTORED_SAME, (_TAR,), n.SAME_PHOTO),
    (n.RESTORED_ACROSS, (_TAR, _RANK), n.ACROSS),
)
#: Same-person pairs of originals that some judge has to accept, for its failure on anonymized ones to say much.
_ABLE = 0.5
SAME_ONLY, BOTH = "same photo only", "same photo and across photos"


@dataclass(frozen=True, slots=True)
class Finding:
    """One deciding figure: the worst over recognisers.

    Args:
        level: what it says.
        attack: what was searched where.
        metric: which rate.
        recogniser: whose it is.
        thresholds: what these were set on.
        rate: the figure.
        fill: the solid fill's worst, None where it was not measured.
        fine: up to here, *not recognised*.
        limit: above, *exposed* (for ranks: the interval's lower end).
    """

    level: Level
    attack: str
    metric: str
    recogniser: str
    thresholds: str
    rate: Rate
    fill: Rate | None
    fine: float
    limit: float

    @property
    def excess(self) -> float:
        """How far the figure is on its way to *exposed*; above 1 beyond."""
        return _value(self.rate) / self.limit if self.limit > 0 else 0.0

    def sentence(self) -> str:
        """For people."""
        where = {
            n.SAME_PHOTO: "with its own original",
            n.ACROSS: "with another photograph of the person",
            n.SOUGHT: "when a known person is sought among the anonymized",
            n.PARROT: "with another photograph, by a head that learnt on other anonymized people",
            n.RESTORED_SAME: "with its own original, after restoration by a network",
            n.RESTORED_ACROSS: "with another photograph, after restoration by a network",
        }[self.attack]
        what = "pairs are accepted at a false-accept rate of 1e-3" if self.metric == _TAR else "searches have the right person first"
        share = f"{100 * _value(self.rate):.1f} %" if self.rate.value is not None else f"{self.rate.hits:.0f}"
        share += (
            f" ({100 * self.rate.low:.1f} to {100 * self.rate.high:.1f})"
            if self.rate.low is not None and self.rate.high is not None
            else ""
        )
        guess = f"; guessing: {100 * self.rate.chance:.1f} %" if self.metric == _RANK and self.rate.chance is not None else ""
        fill = f"; a solid fill of the face: {100 * self.fill.value:.1f} %" if self.fill and self.fill.value is not None else ""
        return f"{share} of {self.rate.n} {what} {where}, by {self.recogniser}{guess}{fill}"

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "sentence": self.sentence(), "excess": self.excess}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What it comes to.

    Args:
        level: None where too little was tested to say anything.
        reason: the figure that decided it, or why nothing can be said.
        strength: which attacks could be made: a verdict is never better than what was tested.
        findings: all deciding figures, worst first.
        notes: what limits it.
    """

    level: Level | None
    reason: str
    strength: str
    findings: list[Finding]
    notes: list[str]

    @property
    def text(self) -> str:
        """One plain line."""
        name = self.level or "undecided"
        return f"{name}{' (same photo only)' if self.strength == SAME_ONLY and self.level != 'exposed' else ''}: {self.reason}"

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        findings = [finding.to_dict() for finding in self.findings]
        return {
            "level": self.level,
            "text": self.text,
            "reason": self.reason,
            "strength": self.strength,
            "findings": findings,
            "notes": self.notes,
        }


def decide(outcomes: Sequence[Outcome], faces: int, unchanged: int = 0) -> Verdict:
    """The verdict of the worst figure; rules in this module's text.

    Args:
        outcomes: of all attacks and controls.
        faces: how many faces were attacked.
        unchanged: how many of them show the original's very pixels.
    """
    across = any(x.attack == n.ACROSS and x.pictures == n.ANONYMIZED and _known(x.rates[_TAR], x.rates[_RANK]) for x in outcomes)
    strength = BOTH if across else SAME_ONLY
    found = [finding for attack, metrics, floor in _DECIDING for m in metrics for finding in _findings(outcomes, attack, m, floor)]
    findings = sorted(found, key=lambda finding: (-LEVELS.index(finding.level), -finding.excess))
    notes = _notes(outcomes, across, findings)
    if unchanged:
        return Verdict("exposed", f"{unchanged} of {faces} faces show the pixels of their original", strength, findings, notes)
    enough = any(finding.rate.value is not None for finding in findings)
    if not findings or (not enough and findings[0].level != "exposed"):
        return Verdict(None, f"{faces} faces are too few for any rate", strength, findings, notes)
    return Verdict(findings[0].level, findings[0].sentence(), strength, findings, notes)


def _findings(outcomes: Sequence[Outcome], attack: str, metric: str, floor: str) -> list[Finding]:
    """The worst outcome, apart for thresholds from elsewhere and for those on the attack's own impostors."""
    groups = [{n.OWN, n.HERE}, {n.ITSELF}] if metric == _TAR else [{n.OWN, n.HERE, n.ITSELF}]
    return [finding for group in groups if (finding := _finding(outcomes, attack, metric, floor, group))]


def _finding(outcomes: Sequence[Outcome], attack: str, metric: str, floor: str, thresholds: set[str]) -> Finding | None:
    worst = _worst([x for x in outcomes if x.attack == attack and x.pictures == n.ANONYMIZED and x.thresholds in thresholds], metric)
    if worst is None:
        return None
    filled = _worst([x for x in outcomes if x.attack == floor and x.pictures == n.FILL and x.thresholds in thresholds], metric)
    rate, fill = worst.rates[metric], filled.rates[metric] if filled else None
    fill = fill if fill and fill.value is not None else None
    fine, limit = _accept_limits(fill) if metric == _TAR else _rank_limits(fill, rate.chance or 0.0)
    level = _level(rate, fine, limit, by_interval=metric == _RANK)
    return Finding(level, attack, metric, worst.recogniser, worst.thresholds, rate, fill, fine, limit)


def _worst(outcomes: Sequence[Outcome], metric: str) -> Outcome | None:
    deciding = [x for x in outcomes if x.role != "guide" and (x.rates[metric].value is not None or x.rates[metric].hits)]
    return max(deciding, key=lambda x: _value(x.rates[metric]), default=None)


def _accept_limits(fill: Rate | None) -> tuple[float, float]:
    base = _upper(fill)
    fine = max(0.01, base)
    return fine, max(fine, min(max(0.05, 1.5 * base), max(0.02, 2 * base)))


def _rank_limits(fill: Rate | None, chance: float) -> tuple[float, float]:
    base = max(_upper(fill), chance) if fill else min(2 * chance, 1.0)
    return base, min(2 * base, (1 + base) / 2)


def _level(rate: Rate, fine: float, limit: float, by_interval: bool) -> Level:
    if rate.value is None:
        return "exposed" if (rate.hits or 0) >= 2 and _value(rate) > limit else "borderline"
    if (rate.low if by_interval and rate.low is not None else rate.value) > limit:
        return "exposed"
    return "borderline" if rate.value > fine else "not recognised"


def _upper(fill: Rate | None) -> float:
    """Upper end of the fill's interval; 0 where it was never found, which the rule of three would make much of."""
    if fill is None or not fill.value:
        return 0.0
    return max(fill.value, fill.high or 0.0)


def _value(rate: Rate) -> float:
    return rate.value if rate.value is not None else (rate.hits or 0.0) / max(rate.n, 1)


def _known(*rates: Rate) -> bool:
    return any(rate.value is not None for rate in rates)


def _notes(outcomes: Sequence[Outcome], across: bool, findings: Sequence[Finding]) -> list[str]:
    notes = []
    if not across:
        notes.append("the attack across photographs could not be made: it needs several photographs of known people, 20 pairs and more")
    clear = _worst([x for x in outcomes if x.attack == n.ACROSS and x.pictures == n.ORIGINALS], _TAR)
    if across and clear and _value(clear.rates[_TAR]) < _ABLE:
        share = f"{100 * _value(clear.rates[_TAR]):.0f} %"
        notes.append(
            f"the recognisers hardly know the originals themselves ({share} of pairs across photographs): their failure says little"
        )
    if findings and not any(finding.fill for finding in findings):
        notes.append("no solid fill was measured beside it: what hair, clothes and setting give away counts against the anonymizer")
    return notes
