"""Pictures to train on: tar archives, folders of pictures, folders of rendered stacks."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fo_faceanon.errors import InputError

#: Sets known to show nobody.
SYNTHETIC = frozenset({"basemax", "generated", "mobilestylegan", "omi", "sd3_portraits", "stylegan_256"})
_PICTURES = frozenset({".avif", ".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


@dataclass(frozen=True, slots=True)
class Source:
    """One place that pictures of a set come from; several may make up one set."""

    set_name: str
    path: Path
    synthetic: bool


def parse_source(text: str, synthetic: frozenset[str] | set[str] = SYNTHETIC) -> Source:
    """``PATH`` or ``NAME=PATH``; without a name, the set is called like the file or folder.

    Raises:
        InputError: nothing is there.
    """
    name, _, rest = text.rpartition("=")
    path = Path(rest)
    if not path.exists():
        raise InputError(f"there is no training data at {path}: give a tar archive, a folder of pictures, or NAME=PATH")
    name = name or path.stem
    return Source(name, path, name in synthetic)


def read_pictures(source: Source) -> Iterator[np.ndarray]:
    """The pictures of a source, ``H x W x 3`` uint8, in a fixed order; files that are no pictures are left out.

    A folder with ``*.npy`` files is read as stacks ``N x H x W x 3`` uint8, which a file of the same name ending in ``.done``
    marks as whole.
    """
    if source.path.is_file():
        yield from _read_tar(source.path)
    elif any(source.path.glob("*.npy")):
        yield from _read_stacks(source.path)
    else:
        yield from _read_folder(source.path)


def _read_tar(path: Path) -> Iterator[np.ndarray]:
    try:
        with tarfile.open(path) as tar:
            for member in tar:
                if member.isfile() and Path(member.name).suffix.lower() in _PICTURES:
                    handle = tar.extractfile(member)
                    assert handle is not None
                    yield from _decode(handle.read())
    except tarfile.TarError as error:
        raise InputError(f"{path} cannot be read as a tar archive: {error}") from error


def _read_folder(path: Path) -> Iterator[np.ndarray]:
    for file in sorted(path.rglob("*")):
        if file.is_file() and file.suffix.lower() in _PICTURES:
            yield from _decode(file.read_bytes())


def _decode(data: bytes) -> Iterator[np.ndarray]:
    from fo_faceanon.images import decode_image

    try:
        yield decode_image(data).pixels
    except InputError:  # one broken picture of thousands is no reason to stop
        return


def _read_stacks(path: Path) -> Iterator[np.ndarray]:
    for file in sorted(path.glob("*.npy")):
        if file.with_suffix(".done").exists():
            for picture in np.load(file, mmap_mode="r"):
                yield np.ascontiguousarray(picture)
