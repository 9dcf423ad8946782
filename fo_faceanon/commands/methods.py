"""``fo-faceanon methods``: what there is to choose from."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from fo_faceanon.commands import show


def methods(as_json: Annotated[bool, typer.Option("--json", help="as JSON on stdout")] = False) -> None:
    """List the anonymization methods."""
    from fo_faceanon.registry import list_methods

    if as_json:
        show.print_json([asdict(info) for info in list_methods()])
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("method", "what", "needs", "licence"):
        table.add_column(heading)
    for info in list_methods():
        table.add_row(info.name, info.summary, ", ".join(info.needs), info.licence)
    show.out.print(table)
