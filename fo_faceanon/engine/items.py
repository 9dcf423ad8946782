"""What the parts of the engine share: what is to be done, and how."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fo_faceanon.errors import InputError

if TYPE_CHECKING:  # Face needs torch, which the parent of CPU workers can do without
    from fo_faceanon.anonymizer import AnonymizedImage
    from fo_faceanon.faces import Face
    from fo_faceanon.records import ImageRecord

    Anonymize = Callable[..., list[AnonymizedImage]]


@dataclass(frozen=True, slots=True)
class Item:
    """One image to anonymize.

    Args:
        key: the caller's name for it, copied into its record.
        source: the file to read.
        output: the file to write, without its suffix: the engine adds the written format's.
        faces: the faces in it; None to detect them.
        keep_suffix: ``output`` already ends in the source's suffix, which stays where it names the written format.
    """

    key: str
    source: Path
    output: Path
    faces: tuple[Face, ...] | None = None
    keep_suffix: bool = False


@dataclass(frozen=True)
class Options:
    """How to anonymize.

    Args:
        method, seed, device, identity_mode, salt, detector, min_face, dials: as for ``Anonymizer``.
        workers: processes on a CPU, threads beside an accelerator; None for one per core.
        batch_size: images per call of the anonymizer; None for what suits the device. It does not change the output.
        factory: ``module:name`` of what makes the anonymizer, once per process.
    """

    method: str = "donor"
    seed: int = 0
    device: str = "auto"
    identity_mode: str = "fresh"
    salt: str | None = None
    workers: int | None = None
    batch_size: int | None = None
    detector: str = "union"
    min_face: int = 16
    dials: Mapping[str, Any] = field(default_factory=dict)
    factory: str = "fo_faceanon.anonymizer:Anonymizer"

    def __post_init__(self) -> None:
        for name in ("workers", "batch_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name} must be at least 1, but got {value}")

    def build(self) -> Anonymize:
        """The anonymizer, as these options want it."""
        module, _, name = self.factory.partition(":")
        same = ("device", "seed", "identity_mode", "salt", "detector", "min_face")
        return getattr(import_module(module), name)(self.method, **{field: getattr(self, field) for field in same}, **self.dials)

    @property
    def configuration(self) -> dict[str, Any]:
        """What decides the output; where and how fast it is computed does not. The salt is left out: it is a secret."""
        names = ("method", "seed", "identity_mode", "detector", "min_face")
        return {**{name: getattr(self, name) for name in names}, "dials": dict(self.dials)}


def usable_cores() -> int:
    """Cores that this process may use (a container's or a scheduler's share where that is known)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def chunks(entries: Iterator[Item | ImageRecord], size: int) -> Iterator[list[Item] | ImageRecord]:
    """Items in lists of ``size``; records pass as they come."""
    waiting: list[Item] = []
    for entry in entries:
        if not isinstance(entry, Item):
            yield entry
            continue
        waiting.append(entry)
        if len(waiting) == size:
            yield waiting
            waiting = []
    if waiting:
        yield waiting
