"""Where an export goes: nowhere near the originals, and there whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path

import fiftyone as fo

from fo_faceanon.errors import ExportError
from fo_faceanon.host import fields
from fo_faceanon.host.session import stream_values

#: What our exports consist of; a folder that holds anything else is somebody's, and is not replaced.
_OURS = (".json", ".jpg", ".png", ".webp")


def check_destination(destination: Path, dataset: fo.Dataset, overwrite: bool) -> None:
    """Refuses a folder that holds something, or that lies inside or around folders of originals or of anonymized pictures.

    Raises:
        ExportError: with the folder and the reason.
    """
    resolved = destination.resolve()
    rows = stream_values(dataset, list(dataset.values("id")), ["filepath", fields.MEDIA])
    folders = {Path(path).parent for _, *paths in rows for path in paths if path}
    for folder in {folder.resolve() for folder in folders}:
        if resolved.is_relative_to(folder) or folder.is_relative_to(resolved):
            raise ExportError(f"the export would go to {destination}, and pictures of the dataset lie in {folder}: choose a folder outside")
    if destination.is_symlink() or (destination.exists() and not destination.is_dir()):
        raise ExportError(f"{destination} is not a folder: choose a new one")
    if not destination.is_dir() or not any(destination.iterdir()):
        return
    if not overwrite:
        raise ExportError(f"{destination} is not empty: choose a new folder, or overwrite=True to replace an earlier export")
    foreign = next((p for p in destination.rglob("*") if p.is_symlink() or (p.is_file() and p.suffix not in _OURS)), None)
    if foreign is not None:
        raise ExportError(f"{destination} holds {foreign.name}, which no export of ours writes: choose a new folder")


def publish(finished: Path, destination: Path, overwrite: bool) -> None:
    """Gives a finished export its name in one step; an export that it replaces is deleted only afterwards."""
    old = None
    if destination.is_dir() and any(destination.iterdir()):
        if not overwrite:
            raise ExportError(f"{destination} was filled by someone else in the meantime; nothing was exported")
        old = destination.parent / f".{secrets.token_hex(8)}.replaced"
        os.rename(destination, old)
    elif destination.is_dir():
        destination.rmdir()
    try:
        os.rename(finished, destination)
    except OSError:
        if old is not None:
            os.rename(old, destination)
        raise
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)
