"""How commands talk: progress on stderr, results on stdout as tables or JSON, exit codes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stdout
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from fo_faceanon.records import RunReport

#: Exit codes. 2, wrong usage, comes from the argument parser.
OK, ERROR, FAILED, REVIEW, INTERRUPTED = 0, 1, 3, 4, 130
EXIT_CODES = (
    "Exit codes: 0 all images are done; 1 an error stopped it; 2 wrong usage; 3 some images failed; "
    "4 none failed, but some need review; 130 interrupted."
)

#: Into a file or a pipe tables are not squeezed into the 80 columns of a terminal that is not there.
_WIDTH = None if sys.stdout.isatty() else 140
out = Console(highlight=False, width=_WIDTH)
err = Console(stderr=True, highlight=False)


def exit_code(images: dict[str, int]) -> int:
    """The exit code for a run's counts of images by status."""
    if images.get("failed"):
        return FAILED
    return REVIEW if images.get("needs_review") else OK


def finish(code: int) -> None:
    """Ends the command with an exit code."""
    if code:
        raise typer.Exit(code)


def print_json(values: Any) -> None:
    """One JSON document on stdout."""
    typer.echo(json.dumps(values, indent=2, default=str))


def only_json(wanted: bool) -> AbstractContextManager[object]:
    """Where JSON is wanted, sends what libraries print to stderr: FiftyOne, for one, greets on stdout."""
    return redirect_stdout(sys.stderr) if wanted else nullcontext()


@contextmanager
def progress_bar(quiet: bool = False) -> Iterator[Progress]:
    """A progress bar with counts, rate and time left."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, disable=quiet) as progress:
        yield progress


def named_tasks(bar: Progress) -> Callable[..., None]:
    """``report(name, done, total, description)`` for a bar on which every name gets a task of its own; ``total`` may be None."""
    tasks: dict[str, TaskID] = {}

    def report(name: str, done: int, total: int | None = None, description: str | None = None) -> None:
        if name not in tasks:
            tasks[name] = bar.add_task(name, total=total)
        bar.update(tasks[name], completed=done, total=total, description=description or name)

    return report


def print_report(report: RunReport, resumed: int = 0) -> None:
    """The exposure ledger as tables."""
    images = ", ".join(f"{count} {status}" for status, count in sorted(report.images.items())) or "none found"
    faces = ", ".join(f"{count} {action}" for action, count in sorted(report.faces.items())) or "none"
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    total = sum(report.images.values())
    table.add_row("images", f"{total}: {images}" + (f" ({resumed} done by an earlier run)" if resumed else ""))
    table.add_row("faces", f"{report.faces_found}: {faces}")
    table.add_row("time", f"{report.seconds:.1f} s")
    out.print(table)
    if report.images.get("no_faces"):
        out.print(
            f"In {report.images['no_faces']} images no face was found: they were written as they are. Look at them before you share them."
        )
    if report.reasons:
        out.print(_reasons(report.reasons))


def _reasons(reasons: dict[str, int], most: int = 20) -> Table:
    table = Table(title="What to look at", title_justify="left", box=None, padding=(0, 2, 0, 0))
    table.add_column("images", justify="right")
    table.add_column("reason")
    ordered = sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0]))
    for reason, count in ordered[:most]:
        table.add_row(str(count), escape(reason))
    if len(ordered) > most:
        table.add_row("", f"... and {len(ordered) - most} more reasons")
    return table
