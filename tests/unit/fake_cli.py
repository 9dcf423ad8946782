"""The command line with the stand-in of ``engine_fakes`` for the anonymizer; run as a script."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from engine_fakes import FACTORY

from fo_faceanon import cli, engine, registry


def main() -> None:
    create = engine.Options.__init__
    create.__defaults__ = (*(create.__defaults__ or ())[:-1], FACTORY)  # the factory is the last field
    registry.method_info = lambda name: None  # type: ignore[assignment, return-value]
    cli.main()


if __name__ == "__main__":
    main()
