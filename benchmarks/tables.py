"""Evaluations and attacks as Markdown tables: one row a setting, one column a figure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fo_faceanon.attacks import outcomes as o
from fo_faceanon.evaluation.figures import figure_spec

#: Share of the faces from which a column's own n is worth showing.
_FEWER = 0.98


@dataclass(frozen=True, slots=True)
class Column:
    """A heading, and how a result becomes a cell."""

    head: str
    cell: Callable[[dict[str, Any]], str]


def figure_columns(names: Sequence[str]) -> list[Column]:
    """Columns of an evaluation's figures, with their units."""
    return [Column(_head(name), lambda result, name=name: _figure_cell(result, name)) for name in names]  # type: ignore[misc]


def attack_columns() -> list[Column]:
    """Columns of an attack, which lies under ``attack`` in its row: the worst judge's figures, in percent, and the verdict."""
    accepted, first = "tar@0.001", "rank1"
    figures = [(o.ACROSS, accepted, "TAR % at FAR 1e-3"), (o.ACROSS, first, "rank-1 %")]
    figures += [(o.PARROT, accepted, "parrot: TAR %"), (o.PARROT, first, "parrot: rank-1 %"), (o.SAME_PHOTO, accepted, "same photo: TAR %")]
    columns = [Column(head, lambda row, a=attack, m=metric: _finding_cell(row, a, m)) for attack, metric, head in figures]  # type: ignore[misc]
    return [*columns, Column("verdict", lambda row: row["attack"].get("verdict", {}).get("level") or row["attack"].get("error", "-"))]


def _finding_cell(row: dict[str, Any], attack: str, metric: str) -> str:
    found = [f for f in row["attack"].get("verdict", {}).get("findings", ()) if f["attack"] == attack and f["metric"] == metric]
    known = [f for f in found if f["rate"]["value"] is not None]
    if not known:
        return "-"
    worst = max(known, key=lambda f: f["rate"]["value"])
    return f"{100 * worst['rate']['value']:.1f} ({worst['recogniser']})"


def markdown(rows: Mapping[str, dict[str, Any]], columns: Sequence[Column]) -> str:
    """A table; a result that could not be made says why in its first cell."""
    lines = [f"| | {' | '.join(column.head for column in columns)} |", "|---" * (len(columns) + 1) + "|"]
    for name, result in rows.items():
        cells = [f"not made: {result['error']}", *[""] * (len(columns) - 1)] if "error" in result else [c.cell(result) for c in columns]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _head(name: str) -> str:
    spec = figure_spec(name)
    return f"{spec.label}{', ' + spec.unit if spec.unit else ''}"


def _figure_cell(result: dict[str, Any], name: str) -> str:
    figure = result.get("figures", {}).get(name)
    if figure is None or figure["value"] is None:
        return "-"
    text = number(figure["value"])
    if figure["low"] is not None and figure["high"] is not None:
        text += f" [{number(figure['low'])}, {number(figure['high'])}]"
    faces = result.get("counts", {}).get("faces")
    return text if not faces or figure["n"] >= _FEWER * faces else f"{text} (n {figure['n']})"


def number(value: float) -> str:
    """Three figures that count, without an exponent."""
    size = abs(value)
    return f"{value:.1f}" if size >= 20 else f"{value:.2f}" if size >= 1 else f"{value:.3f}" if size >= 0.1 else f"{value:.4f}"
