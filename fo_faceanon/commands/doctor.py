"""``fo-faceanon doctor``: what is there, what is missing, and how to get it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from fo_faceanon.commands import show


def doctor(
    database: Annotated[bool, typer.Option(help="also start FiftyOne's database")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="as JSON on stdout")] = False,
) -> None:
    """Check the installation: device, weights and their licences, database, plugin. Exit code 1 where something needed is missing."""
    from fo_faceanon.doctor import diagnose, render

    with show.only_json(as_json):
        checks = diagnose(database=database)
    if as_json:
        show.print_json([asdict(check) for check in checks])
    else:
        show.out.print(render(checks))
    show.finish(show.ERROR if any(check.ok is False for check in checks) else show.OK)
