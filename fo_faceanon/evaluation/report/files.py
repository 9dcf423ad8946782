"""An evaluation as JSON on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fo_faceanon.errors import InputError
from fo_faceanon.images import write_atomic

#: Of the JSON that this version writes and reads.
FORMAT = 1


def write_json(evaluation: dict[str, Any], path: str | Path) -> Path:
    """Writes an evaluation; NaN is refused, for JSON has none.

    Raises:
        OutputError: the file cannot be written.
        ValueError: a number is not finite.
    """
    write_atomic(path, (json.dumps(evaluation, indent=2, allow_nan=False) + "\n").encode())
    return Path(path)


def load_report_json(path: str | Path) -> dict[str, Any]:
    """An evaluation that :func:`write_json` or ``fo-faceanon evaluate --json`` wrote.

    Raises:
        InputError: not there, not JSON, or of a format that this version does not know.
    """
    try:
        values = json.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as an evaluation: {error}") from error
    found = values.get("format") if isinstance(values, dict) else None
    if found != FORMAT:
        raise InputError(
            f"{path} is not an evaluation of format {FORMAT} (found: {found!r}); make it anew with fo-faceanon evaluate --json"
        )
    return values
