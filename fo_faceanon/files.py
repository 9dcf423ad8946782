"""The files of a folder, for whoever goes through one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

#: Files that systems leave behind in folders. Hidden files are left out as well.
_LITTER = {"thumbs.db", "desktop.ini"}


def list_files(root: Path) -> Iterator[str]:
    """Paths below ``root``, relative and with forward slashes, in a fixed order; symbolic links to folders are not followed.

    Every file that is not hidden is listed, images or not: what cannot be anonymized must not be passed over in silence. So
    is a folder that cannot be read.
    """
    unreadable: list[str] = []
    for folder, folders, files in os.walk(root, onerror=lambda error: unreadable.append(str(error.filename))):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and name.lower() not in _LITTER:
                yield Path(folder, name).relative_to(root).as_posix()
    for folder in unreadable:
        yield Path(folder).relative_to(root).as_posix()
