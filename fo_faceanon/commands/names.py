"""What the outputs of a folder's files are called."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from fo_faceanon.errors import OutputError
from fo_faceanon.files import list_files
from fo_faceanon.images import write_atomic

_SALT_BYTES = 32
__all__ = ["clean_temporaries", "list_files", "neutral_names", "same_name"]


def same_name(key: str) -> str:
    """The output is called like its source."""
    return key


def neutral_names(salt_file: Path) -> Callable[[str], str]:
    """Names that say nothing: each part of a path becomes its keyed hash, so the tree is mirrored and names are stable.

    The key is random and secret: without it a guessed name cannot be confirmed, nor two data sets be linked.

    Args:
        salt_file: where the key is kept for later runs; made where missing.

    Raises:
        OutputError: the key cannot be read or written.
    """
    try:
        if not salt_file.exists():
            write_atomic(salt_file, secrets.token_bytes(_SALT_BYTES))
            os.chmod(salt_file, 0o600)
        salt = salt_file.read_bytes()
    except OSError as error:
        raise OutputError(f"cannot use {salt_file}: {error.strerror or error}") from error
    if len(salt) != _SALT_BYTES:
        raise OutputError(f"{salt_file} is damaged: it must hold {_SALT_BYTES} bytes, but holds {len(salt)}; use --restart")

    def rename(key: str) -> str:
        path = PurePosixPath(key)
        parts = [*reversed(path.parents[:-1]), path]
        return "/".join(_hash(salt, part.as_posix()) for part in parts)

    return rename


def _hash(salt: bytes, text: str) -> str:
    digest = hmac.digest(salt, text.encode("utf-8", "surrogateescape"), hashlib.sha256)
    return base64.b32encode(digest[:10]).decode().lower()


def clean_temporaries(root: Path) -> None:
    """Removes what writes that were killed have left behind."""
    for path in root.rglob(".*.part"):
        path.unlink(missing_ok=True)
