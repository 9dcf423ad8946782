"""Vectors of controls, kept beside what was seen on the originals: they are made from these alone, whoever anonymized them."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fo_faceanon.images import write_atomic

#: Changes whenever a control would come out differently.
_VERSION = "1"


def remembered(
    folder: Path | None, control: str, evidence: Mapping[str, np.ndarray], make: Callable[[], dict[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """``make()``, or what it gave in an earlier run on the same evidence.

    Args:
        folder: where it is kept; None keeps nothing.
        control: its name.
        evidence: arrays that the result depends on.
        make: makes the arrays.
    """
    if folder is None:
        return make()
    digest = hashlib.sha256(f"{_VERSION} {control}".encode())
    for name in sorted(evidence):
        digest.update(f"{name} {evidence[name].shape}".encode() + np.ascontiguousarray(evidence[name]).tobytes())
    path = folder / f"{digest.hexdigest()[:32]}-control.npz"
    try:
        with np.load(path) as data:
            return {name: data[name] for name in data.files}
    except Exception:  # missing, or damaged in any way: it is made again
        pass
    made, data = make(), io.BytesIO()
    arrays: dict[str, Any] = {**made}
    np.savez(data, **arrays)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(path, data.getvalue())
    return made
