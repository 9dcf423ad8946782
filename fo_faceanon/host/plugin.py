"""Puts the FiftyOne plugin where FiftyOne looks for plugins."""

from __future__ import annotations

import os
import secrets
import shutil
from importlib import metadata
from pathlib import Path

from fo_faceanon.errors import HostError

#: The plugin's name in its manifest, and the start of its operators' URIs.
NAME = "@faceanon/fo-faceanon"
_FOLDER = "fo-faceanon"
_MANIFEST = "fiftyone.yml"


def install(plugins_dir: str | Path | None = None) -> Path:
    """Installs the plugin, or brings an installed one up to date.

    A checkout is linked, so that changes show at once; an installed package is copied.

    Args:
        plugins_dir: by default FiftyOne's own setting (``FIFTYONE_PLUGINS_DIR``).

    Returns:
        The folder of the installed plugin.

    Raises:
        HostError: the package does not carry the plugin, something else has its place, or the folder cannot be written.
    """
    source, linked = plugin_source()
    folder = Path(plugins_dir).expanduser() if plugins_dir is not None else _plugins_dir()
    target = folder / _FOLDER
    temporary = folder / f".{secrets.token_hex(8)}"
    if (target.exists() or target.is_symlink()) and not _is_ours(target):
        raise HostError(f"{target} is there already, and is not this plugin: move it away")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if linked:
            os.symlink(source, temporary, target_is_directory=True)
        else:
            shutil.copytree(source, temporary, ignore=shutil.ignore_patterns("__pycache__"))
        _remove(target)
        os.rename(temporary, target)
    except OSError as error:
        _remove(temporary)
        raise HostError(f"the plugin cannot be installed in {folder}: {error.strerror or error}; set FIFTYONE_PLUGINS_DIR") from error
    return target


def plugin_source() -> tuple[Path, bool]:
    """The folder with the plugin's files, and whether it is a checkout's.

    Raises:
        HostError: there is none.
    """
    checkout = Path(__file__).resolve().parents[2] / "operators"
    if (checkout / _MANIFEST).is_file():
        return checkout, True
    try:
        files = metadata.files("fo-faceanon") or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == _MANIFEST and "operators" in file.parts:
            return Path(str(file.locate())).resolve().parent, False
    raise HostError("this installation does not carry the FiftyOne plugin; reinstall it: pip install --force-reinstall fo-faceanon")


def _plugins_dir() -> Path:
    import fiftyone as fo

    return Path(fo.config.plugins_dir).expanduser()


def _is_ours(target: Path) -> bool:
    if target.is_symlink() and not target.exists():
        return True  # a link to a checkout that has moved
    manifest = target / _MANIFEST
    return manifest.is_file() and NAME in manifest.read_text("utf-8", errors="replace")


def _remove(path: Path) -> None:
    if path.is_symlink():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)
