"""``fo-faceanon plugin``: the FiftyOne plugin."""

from __future__ import annotations

import typer

app = typer.Typer(no_args_is_help=True, help="The FiftyOne plugin: operators in the App.")


@app.callback()
def plugin() -> None:
    """The FiftyOne plugin: operators in the App."""


@app.command()
def install() -> None:
    """Put the plugin where FiftyOne looks for plugins."""
    from fo_faceanon.host.plugin import install as install_plugin

    typer.echo(f"installed: {install_plugin()}")
