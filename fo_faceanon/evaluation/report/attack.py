"""What an adversary achieved, where an attack was made as well: the verdict, what decided it, and the figures."""

from __future__ import annotations

from typing import Any

from fo_faceanon.evaluation.report.html import Html, el


def attack_section(attack: dict[str, Any]) -> Html:
    """The verdict of ``fo-faceanon attack --json``."""
    return el("p", str(attack.get("verdict")))
