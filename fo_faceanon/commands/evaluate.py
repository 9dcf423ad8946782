"""``fo-faceanon evaluate``: what anonymized pictures kept and gave away."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from fo_faceanon.commands import show

if TYPE_CHECKING:
    from fo_faceanon.evaluation.figures import Figure, FigureSpec
    from fo_faceanon.evaluation.run import Evaluation

#: What the table shows after a figure's name.
_COLUMNS = ("value", "95 % interval", "floor", "n", "missing")
#: How many times as badly as all faces a group may fare before it is named.
_UNEQUAL = 1.25


def evaluate(
    original: Annotated[Path, typer.Argument(metavar="ORIG", help="the folder of originals")],
    anonymized: Annotated[Path, typer.Argument(metavar="ANON", help="the folder of anonymized pictures: ours, or any other tool's")],
    out: Annotated[Path | None, typer.Option(help="where a report goes, as one HTML file")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="everything as JSON on stdout, no progress bar")] = False,
    rows: Annotated[Path | None, typer.Option(help="where every face's figures go, as CSV (names originals)")] = None,
    people: Annotated[bool, typer.Option("--people", help="each original's folder is a person (as in LFW)")] = False,
    main_face: Annotated[bool, typer.Option("--main-face", help="only the largest, most central face of each original")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="only the first so many pairs")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="processes (default: one per core)")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps")] = "auto",
    cache: Annotated[
        Path | None, typer.Option(help="a folder that keeps what was seen on originals (identities too), for more runs")
    ] = None,
    no_floor: Annotated[bool, typer.Option("--no-floor", help="do not measure the meter's own noise: less time")] = False,
    show_originals: Annotated[int, typer.Option(min=0, help="worst faces per figure that the report shows, originals included")] = 0,
) -> None:
    """Measure what anonymized pictures kept (pose, expression, light, colour) and gave away (identity).

    Pictures are paired by relative path without suffix; what `fo-faceanon anonymize` wrote under neutral names, by the mapping
    that it left beside the folder.
    """
    from fo_faceanon.evaluation.run import evaluate_pairs
    from fo_faceanon.judging.pairs import pair_folders

    if show_originals and out is None:
        raise typer.BadParameter("--show-originals is for the report: give --out report.html")
    pairing = pair_folders(original, anonymized, people="folder" if people else "none")
    with show.progress_bar(quiet=as_json) as bar:
        task = bar.add_task("evaluating", total=None)
        result = evaluate_pairs(
            pairing,
            device=device,
            workers=workers,
            main_face_only=main_face,
            cache=cache,
            floor=not no_floor,
            limit=limit,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    values = result.to_dict()
    if rows is not None:
        _write_rows(rows, result.rows)
    if out is not None:
        _write_report(out, values, {pair.key: (pair.original, pair.anonymized or pair.original) for pair in pairing.pairs}, show_originals)
    code = exit_code(result)
    if as_json:
        show.print_json({**values, "exit_code": code})
    else:
        print_evaluation(result, out, rows)
    show.finish(code)


def exit_code(result: Evaluation) -> int:
    """0 where every pair was measured, 3 where some could not be, 4 where originals or faces have nothing to be measured against."""
    from fo_faceanon.judging.judged import FAULT, OTHER_SIZE, UNREADABLE

    if any(reason in result.problems for reason in (FAULT, OTHER_SIZE, UNREADABLE)):
        return show.FAILED
    return show.REVIEW if result.problems else show.OK


def print_evaluation(result: Evaluation, out: Path | None = None, rows: Path | None = None) -> None:
    """Counts, the figures by dimension, and what was left out, with the reason."""
    from fo_faceanon.evaluation.figures import DIMENSIONS, FIGURES

    show.out.print(_headline(result.counts))
    for dimension in DIMENSIONS:
        shown = [(spec, result.figures[spec.name]) for spec in FIGURES if spec.dimension == dimension]
        if any(figure.value is not None for _, figure in shown):
            show.out.print(_table(dimension, shown))
    unequal = list(_unequal(result))
    if unequal:
        show.out.print(_listing(f"Groups that fare more than {_UNEQUAL} times as badly as all", unequal))
    withheld: dict[str, list[str]] = {}
    for spec in FIGURES:
        reason = result.figures[spec.name].withheld
        if reason is not None:
            withheld.setdefault(reason, []).append(spec.label)
    if withheld:
        show.out.print(_listing("Withheld", ((_some(labels, "; "), reason) for reason, labels in withheld.items())))
    if result.problems:
        entries = ((f"{len(names)} {reason}", _some(names, ", ")) for reason, names in result.problems.items())
        show.out.print(_listing("Not measured", entries))
    for path, what in ((out, "Report"), (rows, "Every face")):
        if path is not None:
            show.out.print(f"{what}: {path}", soft_wrap=True)


def _unequal(result: Evaluation) -> Iterator[tuple[str, str]]:
    """Group, and in which figures it is worst, beyond what its interval explains."""
    from fo_faceanon.evaluation.figures import figure_spec

    worse: dict[tuple[str, str], list[str]] = {}
    for grouping, figures in result.details["worst_ratio"].items():
        for name, worst in figures.items():
            if worst["apart"] and worst["ratio"] > _UNEQUAL:
                worse.setdefault((grouping, worst["group"]), []).append(f"{figure_spec(name).label} x {worst['ratio']:.2f}")
    for (grouping, group), labels in worse.items():
        yield f"{grouping.replace('_', ' ')}: {group} ({result.details['groups'][grouping][group]['n']})", ", ".join(labels)


def _headline(counts: dict[str, int]) -> str:
    floor = f" The floor is the originals re-encoded, on {counts['floor']} faces." if counts["floor"] else ""
    return (
        f"{counts['measured']} of {counts['tried']} pairs measured ({counts['pictures']} originals), {counts['faces']} faces, "
        f"{counts['undetected']} not found again.{floor}"
    )


def _table(title: str, figures: Iterable[tuple[FigureSpec, Figure]]) -> Table:
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0))
    table.add_column("")
    for column in _COLUMNS:
        table.add_column(column, justify="right", no_wrap=True)
    for spec, figure in figures:
        if figure.value is not None:
            span = "" if figure.low is None or figure.high is None else f"{_number(figure.low, spec)} - {_number(figure.high, spec)}"
            floor = "" if figure.floor is None else _number(figure.floor, spec)
            label = f"{spec.label}, {spec.unit}" if spec.unit in ("%", "degrees") else spec.label
            table.add_row(label, _number(figure.value, spec), span, floor, str(figure.n), str(figure.missing or ""))
    return table


def _number(value: float, spec: FigureSpec) -> str:
    if spec.unit == "%":
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 1 or spec.dimension == "colour" else f"{value:.4f}"


def _listing(title: str, entries: Iterable[tuple[str, str]]) -> Table:
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0), show_header=False)
    for first, second in entries:
        table.add_row(escape(first), escape(second))
    return table


def _some(names: list[str], between: str, most: int = 5) -> str:
    return between.join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _write_report(path: Path, values: dict[str, Any], files: dict[str, tuple[Path, Path]], show_originals: int) -> None:
    from fo_faceanon.evaluation.report import worst_pictures, write_report

    write_report(values, path, pictures=worst_pictures(values, files.get, show_originals) if show_originals else None)


def _write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    from fo_faceanon.images import write_atomic

    names = list(dict.fromkeys(name for row in rows for name in row if name not in ("groups", "box", "key", "number")))
    groups = list(dict.fromkeys(name for row in rows for name in row.get("groups", {})))
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("key", "number", "box", *names, *(f"group_{name}" for name in groups)))
    for row in rows:
        box = json.dumps([round(value, 2) for value in row["box"]])
        labels = (row.get("groups", {}).get(name) for name in groups)
        writer.writerow((row["key"], row["number"], box, *(row.get(name) for name in names), *labels))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, text.getvalue().encode("utf-8", "surrogateescape"))
