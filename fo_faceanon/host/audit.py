"""Looks at every byte that an export wrote, before anyone else can: the second line after the whitelist."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from fo_faceanon.errors import ExportError, FaceAnonError
from fo_faceanon.images import file_sha256, metadata_residue

_WORD = re.compile(r"\w+")
_MIN_STEM = 6  # a shorter file stem ("1", "face") is a word like any other
_TEXT = (".json", ".csv", ".txt", ".xml", ".yaml")


class Secrets:
    """Words that must not appear in an export: paths, file names and ids of the source dataset. Found by their rarest-looking part."""

    def __init__(self, allowed: Collection[str] = ()) -> None:
        self._allowed = set(allowed)
        self._by_word: dict[str, set[str]] = defaultdict(set)

    def add_path(self, path: str | None) -> None:
        """A file of the source dataset: its folder, its name and its stem."""
        if not path:
            return
        file = Path(path)
        self.add(str(file.parent))
        self.add(file.name)
        if len(file.stem) >= _MIN_STEM:
            self.add(file.stem)

    def add(self, text: str) -> None:
        """Any other word; class names that the caller chose to export are let through."""
        words = _WORD.findall(text)
        if words and text not in self._allowed:
            self._by_word[max(words, key=len)].add(text)

    def found_in(self, text: str) -> list[str]:
        """The secrets that occur in the text as whole words."""
        candidates = [s for word in set(_WORD.findall(text)) & self._by_word.keys() for s in self._by_word[word]]
        return [s for s in candidates if re.search(rf"(?<!\w){re.escape(s)}(?!\w)", text)]


def audit(folder: Path, written: Collection[str], secrets: Secrets) -> None:
    """Checks an export before it gets its name.

    Every picture must be one of those just encoded, and clean; every other file must be readable text without a secret.

    Args:
        folder: the export.
        written: SHA-256 of the pictures that were encoded for it.
        secrets: what must not appear, in file names or in text.

    Raises:
        ExportError: with what was found and where.
    """
    pictures = 0
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        _refuse(secrets.found_in(name), "the name of ", name)
        if path.is_symlink():
            raise ExportError(f"the export holds a link, which leads outside of it: {name}; nothing was exported")
        if path.is_dir():
            continue
        if path.suffix in _TEXT:
            _refuse(secrets.found_in(_readable_text(path)), "", name)
        else:
            _check_picture(path, name, written)
            pictures += 1
    if pictures != len(written):
        raise ExportError(f"the export holds {pictures} pictures where {len(written)} were cleared; nothing was exported")


def _check_picture(path: Path, name: str, written: Collection[str]) -> None:
    try:
        residue = metadata_residue(path)
        known = file_sha256(path) in written
    except FaceAnonError as error:
        raise ExportError(f"a written file cannot be checked: {error}; nothing was exported") from error
    if not known:
        raise ExportError(f"the export holds a file that was not cleared: {name}; nothing was exported")
    if residue:
        raise ExportError(f"a written picture carries {', '.join(residue)}: {name}; nothing was exported")


def _refuse(found: list[str], where: str, name: str) -> None:
    if found:
        raise ExportError(f"the export would have named the source ({found[0]!r} in {where}{name}); nothing was exported")


def _readable_text(path: Path) -> str:
    """The text of a file with JSON's escapes undone: 'é' may be written in several ways."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".json":
        return text
    return "\n".join(_strings(json.loads(text)))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        yield from _each(value.values())
    elif isinstance(value, list):
        yield from _each(value)


def _each(values: Iterable[Any]) -> Iterator[str]:
    for value in values:
        yield from _strings(value)
