"""The command ``fo-faceanon``. Commands live in :mod:`fo_faceanon.commands` and import what they use only when they run."""

from __future__ import annotations

import json
import signal
import sys
from typing import Annotated, NoReturn

import typer

from fo_faceanon.commands import bank, plugin, show, train, weights
from fo_faceanon.commands.anonymize import anonymize
from fo_faceanon.commands.attack import EXIT_CODES as ATTACK_CODES
from fo_faceanon.commands.attack import attack
from fo_faceanon.commands.demo import demo
from fo_faceanon.commands.doctor import doctor
from fo_faceanon.commands.evaluate import evaluate
from fo_faceanon.commands.export import export
from fo_faceanon.commands.methods import methods
from fo_faceanon.errors import FaceAnonError

app = typer.Typer(
    name="fo-faceanon",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Anonymize the faces of an image dataset: same pose, expression, light and skin tone, another person.",
    epilog=show.EXIT_CODES,
)
app.command(epilog=show.EXIT_CODES)(anonymize)
app.command(epilog=show.EXIT_CODES)(evaluate)
app.command(epilog=ATTACK_CODES)(attack)
app.command()(export)
app.command()(demo)
app.command()(methods)
app.command()(doctor)
app.add_typer(weights.app, name="weights")
app.add_typer(bank.app, name="bank")
app.add_typer(train.app, name="train")
app.add_typer(plugin.app, name="plugin")


def _version(wanted: bool) -> None:
    if wanted:
        from fo_faceanon import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="show the version")] = False) -> None:
    """Anonymize the faces of an image dataset: same pose, expression, light and skin tone, another person."""


def main() -> NoReturn:
    """Runs the command line; errors meant for the user are one message, not a traceback."""
    signal.signal(signal.SIGTERM, _terminated)
    try:
        code = app(standalone_mode=False)
    except FaceAnonError as error:
        _complain(str(error), show.ERROR)
    except Exception as error:
        if hasattr(error, "exit_code") and hasattr(error, "show"):  # wrong usage, as the argument parser reports it
            error.show()
            sys.exit(error.exit_code)
        raise
    if code == show.INTERRUPTED:  # what the parser makes of Ctrl-C
        _complain("interrupted; the same command again resumes where that is possible", code)
    sys.exit(code if isinstance(code, int) else show.OK)


def _complain(message: str, code: int) -> NoReturn:
    if "--json" in sys.argv:
        typer.echo(json.dumps({"error": message, "exit_code": code}, indent=2))
    show.err.print(f"error: {message}", style="bold red", markup=False, soft_wrap=True)
    sys.exit(code)


def _terminated(*_: object) -> NoReturn:
    """Ends like Ctrl-C does, so that workers are stopped and temporary files removed."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
