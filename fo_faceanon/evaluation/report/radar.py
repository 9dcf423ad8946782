"""The radar plot of the paper's Fig. 5: one axis per dimension, further out is better."""

from __future__ import annotations

import math
from typing import Any

from fo_faceanon.evaluation.figures import DIMENSIONS
from fo_faceanon.evaluation.report.html import Html, el
from fo_faceanon.evaluation.report.svg import chart, line, polygon, text
from fo_faceanon.evaluation.report.values import NOTHING, label_of

_WIDTH, _HEIGHT, _RADIUS = 420, 330, 112
_CENTRE = (_WIDTH / 2, _HEIGHT / 2)


def radar_chart(radar: dict[str, dict[str, Any]]) -> Html:
    """The plot of ``{dimension: {"score": 0..1 or None}}``; a dimension without a score keeps its axis and has no point."""
    names = [name for name in DIMENSIONS if name in radar] + [name for name in radar if name not in DIMENSIONS]
    scores = {name: radar[name].get("score") for name in names}
    angles = {name: 2 * math.pi * index / max(len(names), 1) for index, name in enumerate(names)}
    rings = [polygon([_at(angle, ring / 4) for angle in angles.values()], "grid") for ring in (1, 2, 3, 4)]
    axes = [line(*_CENTRE, *_at(angles[name], 1), "grid" if scores[name] is not None else "grid absent") for name in names]
    placed = [(name, score, _at(angles[name], min(max(score, 0.0), 1.0))) for name, score in scores.items() if score is not None]
    shape = polygon([point for *_, point in placed], "radar") if len(placed) > 2 else None
    dots = [
        el("circle", el("title", f"{name}: {score:.2f}"), cx=f"{x:.2f}", cy=f"{y:.2f}", r=4, cls="dot") for name, score, (x, y) in placed
    ]
    says = "Radar plot, 0 worst to 1 as good as re-encoding. " + "; ".join(f"{name}: {_score(scores[name])}" for name in names)
    labels = [_label(name, scores[name], angles[name]) for name in names]
    return chart(_WIDTH, _HEIGHT, says, rings, axes, shape, dots, labels, cls="radar-chart")


def radar_table(radar: dict[str, dict[str, Any]]) -> Html:
    """The same as a table: score, and the figures that went into it."""
    rows = []
    for name, entry in radar.items():
        made_of = ", ".join(label_of(key) for key in entry.get("from", ()))
        rows.append(
            el("tr", el("th", name, scope="row"), el("td", _score(entry.get("score")), cls="num"), el("td", made_of or NOTHING, cls="soft"))
        )
    head = el("tr", el("th", "Dimension", scope="col"), el("th", "Score", scope="col", cls="num"), el("th", "From", scope="col"))
    return el("table", el("caption", "Scores of the radar plot, 0 to 1"), el("thead", head), el("tbody", rows), cls="plain")


def _at(angle: float, share: float) -> tuple[float, float]:
    return _CENTRE[0] + _RADIUS * share * math.sin(angle), _CENTRE[1] - _RADIUS * share * math.cos(angle)


def _label(name: str, score: float | None, angle: float) -> Html:
    x, y = _at(angle, 1.14)
    side = math.sin(angle)
    anchor = "middle" if abs(side) < 0.2 else "start" if side > 0 else "end"
    lift = -12 if math.cos(angle) > 0.9 else 4 if math.cos(angle) > -0.9 else 8
    return el("g", text(x, y + lift, name, "label", anchor), text(x, y + lift + 15, _score(score), "value", anchor))


def _score(score: float | None) -> str:
    return "not measured" if score is None else f"{score:.2f}"
