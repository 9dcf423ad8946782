"""The report of an evaluation: one HTML file without scripts that needs no network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fo_faceanon.evaluation.report.files import load_report_json, write_json
from fo_faceanon.evaluation.report.page import render_report
from fo_faceanon.evaluation.report.summary import Headline, Statement, headlines, statements
from fo_faceanon.evaluation.report.worst import PicturePair, worst_pictures
from fo_faceanon.images import write_atomic

__all__ = [
    "Headline",
    "PicturePair",
    "Statement",
    "headlines",
    "load_report_json",
    "render_report",
    "statements",
    "worst_pictures",
    "write_json",
    "write_report",
]


def write_report(
    evaluation: dict[str, Any], path: str | Path, pictures: Sequence[PicturePair] | None = None, attack: dict[str, Any] | None = None
) -> Path:
    """Writes the report.

    Args:
        evaluation: the JSON of ``fo-faceanon evaluate --json``.
        path: of the HTML file.
        pictures: pairs to embed, from :func:`worst_pictures`. The file then contains originals, and says so on top.
        attack: the JSON of ``fo-faceanon attack --json``, for a last section.

    Returns:
        The path.

    Raises:
        OutputError: the file cannot be written.
    """
    write_atomic(path, render_report(evaluation, pictures, attack).encode("utf-8", "replace"))  # names of files may be no text
    return Path(path)
