"""Figures as people read them: as many digits as mean something, shares in per cent, intervals, what stands in for no value."""

from __future__ import annotations

import math
from typing import Any

from fo_faceanon.evaluation.figures import FigureSpec, figure_spec

#: Shown where there is nothing to show; never a zero.
NOTHING = "\N{EN DASH}"
_DIRECTIONS = {"lower": "lower is better", "higher": "higher is better", "neither": "to compare with"}


def number(value: float | None, unit: str = "", digits: int | None = None) -> str:
    """A value with the digits that its size calls for; a share (unit ``%``, 0 to 100) with one digit."""
    if value is None or not math.isfinite(value):
        return NOTHING
    if unit == "%":
        return f"{value:.1f} %"
    text = f"{value:,.{decimals(value) if digits is None else digits}f}"
    return f"{text}°" if unit == "degrees" else text


def decimals(value: float) -> int:
    """Digits after the point for three that count, for one below a thousandth; nine at most."""
    size = abs(value)
    if size >= 100 or size == 0:
        return 0 if size else 1
    return min(9, (2 if size >= 0.001 else 0) - math.floor(math.log10(size)))


def interval(low: float | None, high: float | None, unit: str, like: float | None = None) -> str:
    """``low to high``, in the digits of the value that they belong to."""
    if low is None or high is None:
        return NOTHING
    if unit == "%":
        return f"{low:.1f} to {high:.1f} %"
    digits = decimals(like if like else high)
    return f"{number(low, '', digits)} to {number(high, unit, digits)}"


def value_of(figure: dict[str, Any] | None) -> float | None:
    """The value of a figure of an evaluation; None where it was withheld or is not there."""
    value = figure.get("value") if figure else None
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


def spec_of(name: str) -> FigureSpec | None:
    """The figure of that name; None where another version measured it."""
    try:
        return figure_spec(name)
    except KeyError:
        return None


def label_of(name: str) -> str:
    """What a figure is called."""
    spec = spec_of(name)
    return name if spec is None else spec.label


def direction(spec: FigureSpec) -> str:
    """Which way is better, in words."""
    return _DIRECTIONS[spec.better]


def unit_note(spec: FigureSpec) -> str:
    """The unit where the value does not carry it."""
    return {"inter-ocular": "in distances between the eyes"}.get(spec.unit, "")


def count(value: int | float | None, one: str, many: str | None = None) -> str:
    """``1 face``, ``1,200 faces``."""
    value = int(value or 0)
    return f"{value:,} {one if value == 1 else many or one + 's'}"
