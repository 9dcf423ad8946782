"""Consent lists as files: who, or which faces, may stay."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fo_faceanon.errors import InputError

_BOX = ("x", "y", "width", "height")
_YES = ("", "yes", "y", "true", "1", "granted")
_NO = ("no", "n", "false", "0", "withdrawn")


@dataclass(slots=True)
class ConsentList:
    """Who may stay: people by name, faces by label id, faces by file and box ``(x, y, width, height)`` relative to the picture."""

    people: set[str] = field(default_factory=set)
    labels: set[str] = field(default_factory=set)
    boxes: dict[str, list[tuple[float, float, float, float]]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.people) + len(self.labels) + sum(map(len, self.boxes.values()))


def read_consent_list(path: str | Path) -> ConsentList:
    """Reads a CSV or JSON file.

    Rows (of a CSV with a header line; or objects of a JSON list, in which a plain text is a person) have one of: ``person``; ``label``, a
    label id; ``file``, ``x``, ``y``, ``width`` and ``height``. A column ``consent`` may say yes or no; empty means yes. Where two rows
    about one person or face differ, no wins.

    Raises:
        InputError: the file cannot be read, or a row is none of these; the message names the row.
    """
    path = Path(path).expanduser()
    try:
        text = path.read_text("utf-8-sig")
        rows = _json_rows(text) if path.suffix.lower() == ".json" else list(csv.DictReader(text.splitlines()))
    except (OSError, ValueError) as error:
        raise InputError(f"the consent list {path.name} cannot be read: {error}; it must be CSV or JSON in UTF-8") from error
    granted, refused = ConsentList(), ConsentList()
    for number, row in enumerate(rows, 2 if path.suffix.lower() != ".json" else 1):
        _add(row, granted, refused, f"row {number} of the consent list")
    return _without(granted, refused)


def _json_rows(text: str) -> list[Any]:
    rows = json.loads(text)
    if not isinstance(rows, list):
        raise ValueError("a list is expected")
    return [{"person": row} if isinstance(row, str) else row for row in rows]


def _add(row: Any, granted: ConsentList, refused: ConsentList, where: str) -> None:
    if not isinstance(row, dict):
        raise InputError(f"{where} must be an object or a name, but is {row!r}")
    cells = {str(key).strip().lower(): "" if value is None else str(value).strip() for key, value in row.items() if key is not None}
    said = cells.get("consent", "").lower()
    if said not in (*_YES, *_NO):
        raise InputError(f"{where}: consent must be yes or no, but is {said!r}")
    target = granted if said in _YES else refused
    if cells.get("person"):
        target.people.add(cells["person"])
    elif cells.get("label"):
        target.labels.add(cells["label"])
    elif cells.get("file"):
        target.boxes.setdefault(cells["file"], []).append(_box(cells, where))
    elif any(cells.values()):
        raise InputError(f"{where} names nobody: it needs person; or label; or file, x, y, width and height")


def _box(cells: dict[str, str], where: str) -> tuple[float, float, float, float]:
    try:
        x, y, width, height = (float(cells.get(name, "")) for name in _BOX)
    except ValueError:
        raise InputError(f"{where}: x, y, width and height must be numbers, relative to the picture") from None
    if not (0 < width <= 1 and 0 < height <= 1 and -1 < x < 1 and -1 < y < 1):
        raise InputError(
            f"{where}: the box {x:g}, {y:g}, {width:g}, {height:g} is none: all four are parts of the picture's width and height"
        )
    return x, y, width, height


def _without(granted: ConsentList, refused: ConsentList) -> ConsentList:
    boxes = {file: [box for box in rows if box not in refused.boxes.get(file, [])] for file, rows in granted.boxes.items()}
    return ConsentList(
        granted.people - refused.people, granted.labels - refused.labels, {file: rows for file, rows in boxes.items() if rows}
    )
