"""``fo-faceanon demo``: the main job on photographs that ship inside installed packages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fo_faceanon.commands import show


def demo(
    out: Annotated[Path, typer.Option(help="folder to write to")] = Path("faceanon-demo"),
    app: Annotated[bool, typer.Option("--app", help="open the result in the FiftyOne App")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="as JSON on stdout")] = False,
) -> None:
    """Run the main job end to end on photographs that ship inside installed packages."""
    with show.only_json(as_json):
        from fo_faceanon.demo import run_demo

        result = run_demo(out, app=app, console=show.err if as_json else show.out)
    if as_json:
        show.print_json(result)
