"""The figures by dimension, problems, judges: everything that is a table."""

from __future__ import annotations

from typing import Any

from fo_faceanon.evaluation.figures import FIGURES, FigureSpec
from fo_faceanon.evaluation.report.html import Html, el
from fo_faceanon.evaluation.report.values import NOTHING, count, direction, interval, number, unit_note, value_of

_COLUMNS = ("Value", "95 % interval", "Noise floor", "Measured", "Missing")


def dimension_table(dimension: str, figures: dict[str, Any]) -> Html:
    """All figures of one of :data:`~fo_faceanon.evaluation.figures.DIMENSIONS`, those that were withheld with the reason.

    Roles are spelt out: on narrow screens the rows become cards, and browsers forget then that it is a table.
    """
    head = el(
        "tr",
        el("th", "Figure", scope="col", role="columnheader"),
        [el("th", c, scope="col", role="columnheader", cls="num") for c in _COLUMNS],
        role="row",
    )
    rows = [_row(spec, figures.get(spec.name)) for spec in FIGURES if spec.dimension == dimension]
    caption = el("caption", f"Figures of {dimension}", cls="hidden")
    return el("table", caption, el("thead", head, role="rowgroup"), el("tbody", rows, role="rowgroup"), cls="figures", role="table")


def _row(spec: FigureSpec, figure: dict[str, Any] | None) -> Html:
    note = "; ".join(part for part in (direction(spec), unit_note(spec)) if part)
    name = el(
        "th", el("span", spec.label, cls="name"), el("small", f"{_sentence(spec.what)} {_sentence(note)}"), scope="row", role="rowheader"
    )
    value = value_of(figure)
    if figure is None or value is None:
        why = (figure or {}).get("withheld") or "not part of this evaluation"
        return el("tr", name, el("td", el("em", "withheld: "), why, colspan=len(_COLUMNS), role="cell", cls="withheld"), role="row")
    floor = figure.get("floor")
    cells = (
        el("strong", number(value, spec.unit)),
        interval(figure.get("low"), figure.get("high"), spec.unit, value),
        NOTHING if floor is None else [number(floor, spec.unit), el("small", f"on {figure.get('floor_n', 0):,}")],
        f"{figure.get('n', 0):,}",
        _missing(figure),
    )
    return el(
        "tr", name, [el("td", cell, role="cell", cls="num", data_label=c) for cell, c in zip(cells, _COLUMNS, strict=True)], role="row"
    )


def _missing(figure: dict[str, Any]) -> Html | str:
    missing = int(figure.get("missing") or 0)
    return el("span", f"{missing:,}", cls="warn") if missing else "0"


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}." if words else ""


def problems_table(problems: dict[str, Any]) -> Html:
    """What could not be used and why: ``{reason: names}``, ``{reason: count}``, or ``{reason: {"count", "names"}}``."""
    rows = []
    for reason, entry in problems.items():
        total, names = problem_entry(entry)
        which = "names" if len(names) == total else f"the first {len(names)}"
        listed = el("details", el("summary", which), el("ul", [el("li", name) for name in names]))
        shown = listed if names else NOTHING
        rows.append(el("tr", el("th", reason, scope="row"), el("td", f"{total:,}", cls="num"), el("td", shown)))
    head = el("tr", el("th", "Problem", scope="col"), el("th", "Pictures", scope="col", cls="num"), el("th", "Which", scope="col"))
    return el("table", el("caption", "Problems", cls="hidden"), el("thead", head), el("tbody", rows), cls="plain")


def problem_entry(entry: Any) -> tuple[int, list[str]]:
    """How many, and the names that are known."""
    if isinstance(entry, dict):
        names = [str(name) for name in entry.get("names") or ()]
        return int(entry.get("count", len(names))), names
    if isinstance(entry, (list, tuple)):
        return len(entry), [str(name) for name in entry]
    return int(entry), []


def judges_table(judges: list[dict[str, Any]]) -> Html:
    """Every network that judged: what for, and under which licence."""
    head = el("tr", [el("th", title, scope="col") for title in ("Judge", "What it judged", "Licence of its weights")])
    rows = [
        el("tr", el("th", j.get("name", NOTHING), scope="row"), el("td", j.get("role", NOTHING)), el("td", j.get("licence", NOTHING)))
        for j in judges
    ]
    return el("table", el("caption", "Judges", cls="hidden"), el("thead", head), el("tbody", rows), cls="plain")


def worst_table(entries: list[dict[str, Any]], spec: FigureSpec) -> Html:
    """The faces that fared worst in one figure."""
    head = el(
        "tr", el("th", "Picture", scope="col"), el("th", "Face", scope="col", cls="num"), el("th", spec.label, scope="col", cls="num")
    )
    rows = [
        el(
            "tr",
            el("th", entry.get("key", NOTHING), scope="row"),
            el("td", entry.get("number", NOTHING), cls="num"),
            el("td", number(entry.get("value"), spec.unit), cls="num"),
        )
        for entry in entries
    ]
    return el("table", el("caption", f"{spec.label}: {count(len(rows), 'face')}"), el("thead", head), el("tbody", rows), cls="plain")
