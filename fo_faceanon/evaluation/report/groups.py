"""Is it as good for everyone: every main figure by group, as dots with intervals beside the value of all faces."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from fo_faceanon.evaluation.figures import FigureSpec
from fo_faceanon.evaluation.report.html import Html, el, scrolling
from fo_faceanon.evaluation.report.svg import chart, line, scale, text, ticks
from fo_faceanon.evaluation.report.values import NOTHING, count, direction, interval, number, spec_of, value_of

_WIDTH, _ROW, _TOP, _AXIS = 340, 24, 8, 26
_LEFT, _RIGHT, _END = 104, 278, 336


def grouping_section(title: str, groups: dict[str, Any], figures: dict[str, Any], worst: dict[str, Any], drawn: Collection[str]) -> Html:
    """One grouping: a panel per figure that is to be drawn, and all numbers as a table.

    Args:
        title: of the grouping.
        groups: ``{group: {"n", "figures": {name: figure}}}``, in the order to show.
        figures: those of all faces.
        worst: by figure the worst group: ``{"group", "ratio", "apart"}`` (see :func:`fo_faceanon.evaluation.groups.worst_ratios`).
        drawn: names of figures that get a panel; the others are in the table only.
    """
    names = list(dict.fromkeys(name for group in groups.values() for name in group.get("figures", {})))
    specs = [spec for spec in map(spec_of, names) if spec is not None]
    panels = [
        _panel(spec, figures.get(spec.name) or {}, groups, worst.get(spec.name))
        for spec in specs
        if spec.name in drawn and _comparable(spec, groups)
    ]
    sizes = ", ".join(f"{name} {count(group.get('n'), 'face')}" for name, group in groups.items())
    table = el("details", el("summary", "All numbers"), scrolling(_table(specs, groups, figures, worst, title), f"{title}: all numbers"))
    shown = (
        el("div", panels, cls="grid")
        if panels
        else el("p", "Fewer than two groups are large enough for a figure: there is nothing to compare.", cls="soft")
    )
    return el("section", el("h3", title), el("p", sizes, cls="soft"), shown, table)


def _comparable(spec: FigureSpec, groups: dict[str, Any]) -> bool:
    return sum(value_of(group.get("figures", {}).get(spec.name)) is not None for group in groups.values()) > 1


def _panel(spec: FigureSpec, overall: dict[str, Any], groups: dict[str, Any], worst: dict[str, Any] | None) -> Html:
    rows = {name: group.get("figures", {}).get(spec.name) or {} for name, group in groups.items()}
    low, high = _range([*rows.values(), overall], spec.unit)
    x, height = scale(low, high, _LEFT, _RIGHT), _TOP + _ROW * len(rows) + _AXIS
    mean = value_of(overall)
    base = height - _AXIS
    drawn = [_row(spec, name, figure, _TOP + _ROW * (index + 0.5), x) for index, (name, figure) in enumerate(rows.items())]
    reference = line(x(mean), _TOP, x(mean), base, "mean") if mean is not None else None
    marks = [
        el("g", line(x(v), base, x(v), base + 4, "axis"), text(x(v), base + 17, _tick(spec, v), "tick", "middle"))
        for v in ticks(low, high, 3)
    ]
    says = f"{spec.label} by group. " + "; ".join(f"{name}: {number(value_of(f), spec.unit)}" for name, f in rows.items())
    picture = chart(_WIDTH, height, says, reference, line(_LEFT, base, _RIGHT, base, "axis"), marks, drawn)
    return el(
        "figure", el("figcaption", el("strong", spec.label), el("span", _caption(spec, mean, worst), cls="soft")), picture, cls="panel"
    )


def _row(spec: FigureSpec, name: str, figure: dict[str, Any], y: float, x: Any) -> list[Html]:
    value, low, high = value_of(figure), figure.get("low"), figure.get("high")
    label = text(_LEFT - 10, y + 4, _shortened(name), "label", "end")
    if value is None:
        why = figure.get("withheld") or "not measured"
        return [label, el("g", el("title", why), text(_LEFT, y + 4, _shortened(why, 32), "tick"))]
    says = f"{name}: {number(value, spec.unit)}, {interval(low, high, spec.unit, value)}, {count(figure.get('n'), 'face')}"
    whisker = line(x(low), y, x(high), y, "whisker") if low is not None and high is not None else None
    dot = el("g", el("title", says), whisker, el("circle", cx=x(value), cy=round(y, 2), r=4.5, cls="dot"))
    return [label, dot, text(_END, y + 4, number(value, spec.unit), "value", "end")]


def _range(figures: list[dict[str, Any]], unit: str) -> tuple[float, float]:
    """From zero (or the lowest end) to the highest end, with a little room; shares end at 100 %."""
    ends = [float(figure[key]) for figure in figures for key in ("value", "low", "high") if figure.get(key) is not None]
    low, high = min([0.0, *ends]), max(ends, default=1.0)
    if low == 0 and ends and min(ends) > 0.6 * high:  # zero would press everything into one corner
        low = min(ends) - 0.3 * (high - min(ends))
    if high <= low:
        return (low - 1.0, low) if unit == "%" and low >= 1 else (low, low + 1.0)
    top = high + 0.04 * (high - low)
    return low, min(top, max(high, 100.0)) if unit == "%" else top


def _caption(spec: FigureSpec, mean: float | None, worst: dict[str, Any] | None) -> str:
    everyone = f"line: all faces, {number(mean, spec.unit)}; " if mean is not None else ""
    if worst is None or worst["ratio"] <= 1:
        return everyone + direction(spec)
    return f"{everyone}{direction(spec)}; worst: {worst['group']}, {worst['ratio']:.2f} times as bad"


def _table(specs: list[FigureSpec], groups: dict[str, Any], figures: dict[str, Any], worst: dict[str, Any], title: str) -> Html:
    head = el(
        "tr",
        el("th", "Figure", scope="col"),
        [el("th", name, scope="col", cls="num") for name in groups],
        [el("th", h, scope="col", cls="num") for h in ("all", "worst ratio")],
    )
    rows = []
    for spec in specs:
        overall = value_of(figures.get(spec.name))
        cells = [_cell(spec, group.get("figures", {}).get(spec.name) or {}) for group in groups.values()]
        ratio = el("td", f"{worst[spec.name]['ratio']:.2f}" if spec.name in worst else NOTHING, cls="num")
        rows.append(el("tr", el("th", spec.label, scope="row"), cells, el("td", number(overall, spec.unit), cls="num"), ratio))
    return el("table", el("caption", title, cls="hidden"), el("thead", head), el("tbody", rows), cls="plain")


def _cell(spec: FigureSpec, figure: dict[str, Any]) -> Html:
    value = value_of(figure)
    if value is None:
        return el("td", "withheld", cls="num soft", title=figure.get("withheld") or "not measured")
    return el("td", number(value, spec.unit), el("small", interval(figure.get("low"), figure.get("high"), spec.unit, value)), cls="num")


def _tick(spec: FigureSpec, value: float) -> str:
    return f"{value:.3g} %" if spec.unit == "%" else f"{value:g}"


def _shortened(name: str, length: int = 16) -> str:
    return name if len(name) <= length else name[: length - 1] + "…"
