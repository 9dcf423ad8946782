"""``fo-faceanon bank``: the donor bank, faces of nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fo_faceanon.commands import show

app = typer.Typer(no_args_is_help=True, help="The donor bank: show what it holds, build a larger one.")


@app.command()
def info(
    folder: Annotated[Path | None, typer.Argument(metavar="[FOLDER]", help="a bank's folder (default: the one in the package)")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="as JSON on stdout")] = False,
) -> None:
    """Show how many donors a bank holds, and where they come from."""
    from fo_faceanon.donors.bank import DonorBank

    bank = DonorBank(folder)
    card = {"folder": str(bank.folder), "rows": len(bank), **bank.card}
    if as_json:
        show.print_json(card)
        return
    for name, value in card.items():
        show.out.print(f"{name}: {value}", soft_wrap=True)


@app.command()
def build(
    out: Annotated[Path, typer.Option(help="folder of the new bank")],
    size: Annotated[int, typer.Option(min=1, help="donors wanted")] = 3800,
    candidates: Annotated[int, typer.Option(min=1, help="faces rendered to choose from")] = 20000,
    seed: Annotated[int, typer.Option(help="another seed gives other people")] = 1,
    like: Annotated[Path | None, typer.Option(help="a folder of photographs: choose donors for faces like theirs")] = None,
) -> None:
    """Render a donor bank. Takes hours on a CPU."""
    from fo_faceanon.donors.build import build_bank

    with show.progress_bar() as bar:
        report = show.named_tasks(bar)
        folder = build_bank(
            out,
            size=size,
            candidates=candidates,
            seed=seed,
            progress=lambda done, total, what: report(what, done, total),
            like=like,
        )
    typer.echo(folder)
