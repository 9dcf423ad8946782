"""What an adversary achieved, where an attack was made as well: the verdict, what decided it, and the rates."""

from __future__ import annotations

from typing import Any

from fo_faceanon.evaluation.report.html import Html, el, join, scrolling
from fo_faceanon.evaluation.report.tables import problems_table
from fo_faceanon.evaluation.report.values import NOTHING, count, interval, number, value_of

_CLASSES = {"exposed": "exposed", "borderline": "borderline", "not recognised": "clear"}
_TAR, _RANK = "tar@0.001", "rank1"
#: Pictures in the JSON of an attack: what is judged, and what it is read against.
_SUBJECT, _FILL = "anonymized", "solid fill"
_ROLES = {"guide": "guides the choice of donors: shown, decides nothing", "all": "scores of all judges added up"}


def attack_section(attack: dict[str, Any]) -> Html:
    """The JSON of ``fo-faceanon attack --json``: verdict first, then the deciding figures, then every attack beside the solid fill."""
    verdict = attack.get("verdict") or {}
    said = el("p", attack_verdict(attack), cls=f"verdict {_CLASSES.get(str(verdict.get('level')), '')}".strip())
    limits = el("ul", [el("li", note) for note in verdict.get("notes") or ()]) if verdict.get("notes") else None
    tested = el("p", f"Tested: {verdict.get('strength') or NOTHING}; {_counts(attack.get('counts') or {})}.", cls="soft")
    withheld = [el("li", el("strong", f"{what}: "), why) for what, why in (attack.get("withheld") or {}).items()]
    return join(
        [
            said,
            tested,
            limits,
            _findings(verdict.get("findings") or []),
            [_outcomes(name, rows) for name, rows in _by_attack(attack.get("attacks") or []).items()],
            [el("h3", "Not done"), el("ul", withheld)] if withheld else None,
            [el("h3", "Problems of the attack"), problems_table(attack["problems"])] if attack.get("problems") else None,
        ]
    )


def attack_verdict(attack: dict[str, Any]) -> str:
    """The verdict in one line."""
    verdict = attack.get("verdict") or {}
    return str(verdict.get("text") or "undecided: the attack gave no verdict")


def _counts(counts: dict[str, Any]) -> str:
    known = [count(counts["faces"], "face")] if "faces" in counts else []
    known += [count(counts["people"], "person", "people")] if "people" in counts else []
    return ", ".join(known) or NOTHING


def _findings(findings: list[dict[str, Any]]) -> Html | None:
    if not findings:
        return None
    head = el("tr", el("th", "Says", scope="col"), el("th", "Deciding figure, worst first", scope="col"))
    rows = [el("tr", el("th", f.get("level", NOTHING), scope="row"), el("td", f.get("sentence", NOTHING))) for f in findings]
    return el("table", el("caption", "Deciding figures", cls="hidden"), el("thead", head), el("tbody", rows), cls="plain")


def _by_attack(outcomes: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Outcomes on anonymized faces by attack and what the thresholds were set on, in the order of the JSON."""
    found: dict[str, list[dict[str, Any]]] = {}
    for outcome in outcomes:
        if outcome.get("pictures") == _SUBJECT:
            fill = next((o for o in outcomes if o.get("pictures") == _FILL and _same(o, outcome)), None)
            found.setdefault(str(outcome.get("attack")), []).append({**outcome, "fill": fill})
    return found


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(one.get(key) == other.get(key) for key in ("attack", "recogniser", "thresholds"))


def _outcomes(name: str, rows: list[dict[str, Any]]) -> Html:
    titles = ("Accepted at 1e-3", "solid fill", "Rank 1", "solid fill", "guessing", "pairs")
    head = el("tr", el("th", "Recogniser", scope="col"), [el("th", title, scope="col", cls="num") for title in titles])
    table = el("table", el("caption", name, cls="hidden"), el("thead", head), el("tbody", [_outcome(row) for row in rows]), cls="plain")
    return el("section", el("h3", name[:1].upper() + name[1:]), scrolling(table, name))


def _outcome(row: dict[str, Any]) -> Html:
    rates, fill = row.get("rates") or {}, (row["fill"] or {}).get("rates") or {}
    note = "; ".join(part for part in (_ROLES.get(str(row.get("role"))), f"thresholds: {row.get('thresholds')}") if part)
    cells = [_rate(rates.get(_TAR)), _rate(fill.get(_TAR)), _rate(rates.get(_RANK)), _rate(fill.get(_RANK))]
    chance = (rates.get(_RANK) or {}).get("chance")
    cells += [el("td", number(None if chance is None else 100 * chance, "%"), cls="num")]
    cells += [el("td", f"{(rates.get(_TAR) or {}).get('n') or 0:,}", cls="num")]
    return el("tr", el("th", row.get("recogniser"), el("small", note), scope="row"), cells)


def _rate(rate: dict[str, Any] | None) -> Html:
    """A fraction in per cent, with its interval; the reason on hovering where it was withheld."""
    value = value_of(rate)
    if rate is None or value is None:
        return el("td", "withheld" if rate else NOTHING, cls="num soft", title=(rate or {}).get("withheld"))
    low, high = rate.get("low"), rate.get("high")
    spread = interval(100 * low, 100 * high, "%") if low is not None and high is not None else None
    return el("td", number(100 * value, "%"), el("small", spread) if spread else None, cls="num")
