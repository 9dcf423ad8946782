"""Which anonymized picture was made from which original."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from fo_faceanon.errors import InputError
from fo_faceanon.files import list_files

#: Where the people on the pictures are known from: not at all, or each original's folder is a person (as in LFW).
People = Literal["none", "folder"]
#: Suffixes of files that are taken for pictures; others are named among the problems and not opened.
SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".jp2"),
    *(".avif", ".heic", ".heif", ".ppm", ".pgm", ".pnm", ".mpo"),
)
#: Why a file is in no pair.
NO_PARTNER, NO_ORIGINAL, TWICE = "no anonymized picture", "anonymized, but without an original", "same name twice"
NOT_A_PICTURE, NOT_WRITTEN = "not a picture by its suffix", "not anonymized, says the mapping"


@dataclass(frozen=True, slots=True)
class Pair:
    """An original and what was made of it.

    Args:
        key: the original's path below its folder, with forward slashes.
        original: its file.
        anonymized: the other's; None for an original that is judged alone (in a gallery).
        person: who is on it, where known.
    """

    key: str
    original: Path
    anonymized: Path | None = None
    person: str | None = None


@dataclass(frozen=True, slots=True)
class Pairing:
    """Pairs in the order of their keys, what is in no pair (reason to names), and the two folders."""

    pairs: list[Pair]
    problems: dict[str, list[str]] = field(default_factory=dict)
    original: Path | None = None
    anonymized: Path | None = None

    @property
    def originals(self) -> int:
        """Pictures in the folder of originals, paired or not."""
        return len(self.pairs) + sum(len(self.problems.get(reason, ())) for reason in (NO_PARTNER, NOT_WRITTEN, TWICE))


def pair_folders(original: str | Path, anonymized: str | Path, *, people: People = "none") -> Pairing:
    """Pairs two folders.

    What ``fo-faceanon anonymize SRC DST`` wrote is paired by ``DST.faceanon/mapping.csv``, where that lies beside the folder;
    everything else by relative path without suffix, which an anonymizer may have changed.

    Args:
        original: the folder of originals.
        anonymized: the folder of anonymized pictures.
        people: ``folder`` takes the name of each original's folder for the person on it.

    Raises:
        InputError: one is no folder or holds no pictures, one lies within the other, or nothing pairs up.
    """
    roots = _checked(Path(original), Path(anonymized))
    problems: dict[str, list[str]] = {}
    theirs, ours = (_pictures(root, problems) for root in roots)
    mapping = _mapping(roots[1])
    foreign = mapping.keys().isdisjoint(theirs)
    partners = _by_stem(theirs, ours, problems) if foreign else _by_mapping(mapping, theirs, ours, problems)
    if not partners:
        raise InputError(_nothing_pairs(roots, theirs, ours))
    told = {*problems.get(TWICE, ()), *problems.get(NOT_WRITTEN, ())}
    _note(problems, NO_PARTNER, (name for name in theirs if name not in partners and name not in told))
    used = set(partners.values())
    _note(problems, NO_ORIGINAL, (name for name in ours if name not in used and name not in told))
    pairs = [Pair(key, roots[0] / key, roots[1] / partner, _person(key, people)) for key, partner in sorted(partners.items())]
    return Pairing(pairs, problems, *roots)


def _checked(original: Path, anonymized: Path) -> tuple[Path, Path]:
    a, b = original.resolve(), anonymized.resolve()
    for folder in (a, b):
        if not folder.is_dir():
            raise InputError(f"{folder} is not a folder; give the folder of originals and the folder of anonymized pictures")
    if a in b.parents or b in a.parents:
        raise InputError(f"{a} and {b} lie within each other; originals and anonymized pictures need folders apart")
    return a, b


def _pictures(root: Path, problems: dict[str, list[str]]) -> list[str]:
    names = list(list_files(root))
    pictures = [name for name in names if _is_picture(name)]
    _note(problems, NOT_A_PICTURE, (name for name in names if not _is_picture(name)))
    if not pictures:
        raise InputError(f"{root} holds no pictures ({', '.join(SUFFIXES[:4])}, ...); give the folder that holds them")
    return pictures


def _is_picture(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in SUFFIXES


def _mapping(anonymized: Path) -> dict[str, tuple[str, str]]:
    """Original's name to (anonymized name, status), of the run that wrote the folder; empty where there is none."""
    path = anonymized.with_name(anonymized.name + ".faceanon") / "mapping.csv"
    if not path.is_file():
        return {}
    try:
        text = path.read_bytes().decode("utf-8", "surrogateescape")
        return {row["source"]: (row["output"], row["status"]) for row in csv.DictReader(text.splitlines())}
    except (OSError, KeyError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as the mapping of names ({error}); restore it, or move it away to pair by path") from error


def _by_mapping(mapping: dict[str, tuple[str, str]], theirs: list[str], ours: list[str], problems: dict[str, list[str]]) -> dict[str, str]:
    there, partners = set(ours), {}
    for name in theirs:
        output, status = mapping.get(name, ("", ""))
        if output in there:
            partners[name] = output
        elif status and not output:
            _note(problems, NOT_WRITTEN, [name])
    return partners


def _by_stem(theirs: list[str], ours: list[str], problems: dict[str, list[str]]) -> dict[str, str]:
    """By path without suffix; where that is there twice, only the very same name pairs."""
    often = [Counter(_stem(name) for name in names) for names in (theirs, ours)]
    clear = {_stem(name): name for name in ours if often[1][_stem(name)] == 1}
    there, partners = set(ours), {}
    for name in theirs:
        stem = _stem(name)
        if often[0][stem] == 1 and stem in clear:
            partners[name] = clear[stem]
        elif name in there:
            partners[name] = name
        elif stem in often[1]:
            _note(problems, TWICE, [name])
    return partners


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))


def _person(key: str, people: People) -> str | None:
    folder = PurePosixPath(key).parent
    return folder.name if people == "folder" and folder.name else None


def _note(problems: dict[str, list[str]], reason: str, names: Iterable[str]) -> None:
    listed = list(names)
    if listed:
        problems.setdefault(reason, []).extend(listed)


def _nothing_pairs(roots: tuple[Path, Path], theirs: list[str], ours: list[str]) -> str:
    return (
        f"none of {len(theirs)} pictures in {roots[0]} has a partner among {len(ours)} in {roots[1]}: pictures are paired by their path "
        f"without suffix ({theirs[0]} there, {ours[0]} here); neutral names need the mapping.csv that `fo-faceanon anonymize` left in "
        f"{roots[1].name}.faceanon beside the folder"
    )
