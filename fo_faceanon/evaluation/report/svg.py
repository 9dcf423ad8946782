"""What the charts share: scales, round tick values, and an SVG that says in words what it shows."""

from __future__ import annotations

import math
from collections.abc import Callable

from fo_faceanon.evaluation.report.html import Html, el


def scale(low: float, high: float, start: float, stop: float) -> Callable[[float], float]:
    """Maps ``low .. high`` onto ``start .. stop`` of the drawing; what lies outside is drawn at the edge."""
    span = (high - low) or 1.0

    def place(value: float) -> float:
        return round(start + (stop - start) * min(max((value - low) / span, 0.0), 1.0), 2)

    return place


def ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Round values within ``low .. high``: steps of 1, 2 or 5 times a power of ten."""
    span = high - low
    if not math.isfinite(span) or span <= 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(span / about) - 1)
    steps = [power * factor for factor in (1, 2, 5, 10, 20, 50, 100) if span / (power * factor) >= 1]
    step = min(steps, key=lambda size: abs(_within(low, high, size) - about))
    first = math.ceil(low / step - 1e-9)
    return [round(index * step, 10) for index in range(first, first + _within(low, high, step))]


def chart(width: int, height: int, says: str, *children: object, cls: str = "") -> Html:
    """An SVG in its own units, as wide as it is given room for; ``says`` is read out in its place."""
    return el("svg", el("title", says), *children, viewBox=f"0 0 {width} {height}", role="img", aria_label=says, cls=f"chart {cls}".strip())


def text(x: float, y: float, content: object, cls: str = "", anchor: str = "start") -> Html:
    """A line of text; ``anchor``: ``start``, ``middle`` or ``end``."""
    return el("text", content, x=round(x, 2), y=round(y, 2), text_anchor=anchor, cls=cls or None)


def line(x1: float, y1: float, x2: float, y2: float, cls: str) -> Html:
    """A straight line."""
    return el("line", x1=round(x1, 2), y1=round(y1, 2), x2=round(x2, 2), y2=round(y2, 2), cls=cls)


def polygon(points: list[tuple[float, float]], cls: str) -> Html:
    """A closed shape."""
    return el("polygon", points=" ".join(f"{x:.2f},{y:.2f}" for x, y in points), cls=cls)


def _within(low: float, high: float, step: float) -> int:
    """How many multiples of a step lie within ``low .. high``."""
    return math.floor(high / step + 1e-9) - math.ceil(low / step - 1e-9) + 1
