"""Distributions: the anonymized faces before what strangers and the meter's own noise look like."""

from __future__ import annotations

from typing import Any

from fo_faceanon.evaluation.report.html import Html, el
from fo_faceanon.evaluation.report.svg import chart, line, scale, text, ticks
from fo_faceanon.evaluation.report.values import count, label_of, number

_WIDTH, _HEIGHT = 340, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 8, 332, 22, 160
#: Series by their key in the JSON, from back to front: what they are called.
SERIES = {"floor": "originals, re-encoded (noise floor)", "impostors": "strangers", "anonymized": "anonymized faces"}


def histogram(name: str, distribution: dict[str, Any]) -> Html:
    """One distribution as shares per bin; the axis is scaled to the anonymized faces and strangers, the floor may be cut off."""
    edges = [float(edge) for edge in distribution["edges"]]
    counts = {key: [float(c) for c in distribution.get("counts", {}).get(key) or []] for key in SERIES}
    shares = {key: [c / sum(values) for c in values] for key, values in counts.items() if sum(values) > 0}
    front = [share for key, values in shares.items() if key != "floor" for share in values]
    top = max(front or [share for values in shares.values() for share in values], default=0.0) or 1.0
    x, y = scale(edges[0], edges[-1], _LEFT, _RIGHT), scale(0.0, top, _BOTTOM, _TOP)
    drawn = [_series(key, edges, shares[key], x, y) for key in SERIES if key in shares]
    limit = _limit(distribution.get("threshold"), edges, x)
    says = f"{label_of(name)}. " + " ".join(_says(key, edges, counts[key]) for key in reversed(SERIES) if key in shares)
    picture = chart(_WIDTH, _HEIGHT, says, drawn, limit, _axis(edges, x), text(_LEFT, 12, f"up to {100 * top:.0f} % per bin", "tick"))
    sizes = ", ".join(
        f"{SERIES[key]}: {count(sum(counts[key]), 'pair' if key == 'impostors' else 'face')}" for key in reversed(SERIES) if key in shares
    )
    return el("figure", el("figcaption", el("strong", label_of(name)), el("span", sizes, cls="soft")), picture, cls="panel")


def histogram_legend() -> Html:
    """What the three series look like."""
    keys = [el("span", el("i", cls=f"key {key}", aria_hidden="true"), label) for key, label in reversed(SERIES.items())]
    limit = el("span", el("i", cls="key limit", aria_hidden="true"), "threshold: one false accept in a thousand")
    return el("p", keys, limit, el("span", "Values beyond an end are in its bin."), cls="legend")


def _series(key: str, edges: list[float], shares: list[float], x: Any, y: Any) -> Html:
    """Bars for the anonymized faces, a filled step for the floor, an outline for strangers."""
    if key == "anonymized":
        return el("g", [_bar(a, b, share, x, y) for a, b, share in zip(edges, edges[1:], shares, strict=False) if share > 0])
    path = [f"M{x(edges[0])} {_BOTTOM}"]
    path += [f"V{y(share)}H{x(right)}" for right, share in zip(edges[1:], shares, strict=False)]
    return el("path", d="".join(path) + f"V{_BOTTOM}", cls=key)


def _bar(left: float, right: float, share: float, x: Any, y: Any) -> Html:
    says = el("title", f"{number(left)} to {number(right)}: {100 * share:.1f} %")
    width = max(x(right) - x(left) - 1, 0.5)
    return el("rect", says, x=x(left) + 0.5, y=y(share), width=round(width, 2), height=round(_BOTTOM - y(share), 2), cls="anonymized")


def _limit(threshold: Any, edges: list[float], x: Any) -> list[Html]:
    if not isinstance(threshold, (int, float)) or not edges[0] <= threshold <= edges[-1]:
        return []
    place = x(float(threshold))
    side = "end" if place > _WIDTH / 2 else "start"
    return [
        line(place, _TOP - 6, place, _BOTTOM, "limit"),
        text(place + (-4 if side == "end" else 4), _TOP + 2, number(float(threshold)), "tick", side),
    ]


def _axis(edges: list[float], x: Any) -> Html:
    marks = [
        el("g", line(x(v), _BOTTOM, x(v), _BOTTOM + 4, "axis"), text(x(v), _BOTTOM + 17, f"{v:g}", "tick", _anchor(x(v))))
        for v in ticks(edges[0], edges[-1], 5)
    ]
    return el("g", line(_LEFT, _BOTTOM, _RIGHT, _BOTTOM, "axis"), marks)


def _anchor(place: float) -> str:
    return "start" if place < _LEFT + 6 else "end" if place > _RIGHT - 6 else "middle"


def _says(key: str, edges: list[float], counts: list[float]) -> str:
    """The median, as far as bins tell it."""
    half, seen = sum(counts) / 2, 0.0
    for left, right, number_in in zip(edges, edges[1:], counts, strict=False):
        seen += number_in
        if seen >= half:
            return f"{SERIES[key]}: half lie below {number(right)}, {count(sum(counts), 'value')}." if number_in else f"below {left}."
    return ""
