"""Many images through one anonymizer, in bounded memory: readers, batches, checked and atomic writes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fo_faceanon.errors import InputError

if TYPE_CHECKING:  # Face needs torch, which the parent of CPU workers can do without
    from fo_faceanon.anonymizer import AnonymizedImage
    from fo_faceanon.faces import Face
    from fo_faceanon.journal import Journal
    from fo_faceanon.records import ImageRecord

    Anonymize = Callable[..., list[AnonymizedImage]]

#: Device files whose absence means, on Linux, that no accelerator can be there: spares the parent of CPU workers torch.
_ACCELERATORS = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/kfd")


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


def pick_device(device: str) -> str:
    """The device that a name stands for; without torch where it can only be the CPU."""
    nothing = sys.platform == "linux" and not any(os.path.exists(path) for path in _ACCELERATORS)
    if device == "cpu" or (device == "auto" and nothing):
        return "cpu"
    from fo_faceanon.devices import resolve_device

    return resolve_device(device)


def usable_cores() -> int:
    """Cores that this process may use (a container's or a scheduler's share where that is known)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_items(items: Iterable[Item], options: Options, journal: Journal | None = None) -> Iterator[ImageRecord]:
    """Anonymizes images, and yields each one's record once its file is written, checked and named.

    Memory does not grow with the number of items: the iterable is read as workers become free. On a CPU the work is done by
    ``options.workers`` processes; an image that kills its process is tried once more alone, then recorded as failed. On an
    accelerator, one process reads, computes and writes at the same time; out of its memory, the batch halves. Records come in
    the order of completion. Closing the generator stops the workers.

    Args:
        items: what to do, with unique keys and outputs.
        options: how to do it.
        journal: where records go before they are yielded. Items that it vouches for are not done again: their earlier records
            are yielded in their place, so that a resumed run's records are those of one that was never interrupted.

    Raises:
        WeightsError, InputError: the method cannot run; nothing was written.
        OutputError: nothing more can be written (disk full, no permission). One bad image raises nothing: its record says why.
    """
    options = replace(options, device=pick_device(options.device))
    with closing(_runner(options)(_entries(items, journal), options)) as outcomes:
        for record, fresh in outcomes:
            if fresh and journal is not None:
                journal.append(record)
            yield record


def _entries(items: Iterable[Item], journal: Journal | None) -> Iterator[Item | ImageRecord]:
    """Items to do, and in place of those that are done, their records."""
    for item in items:
        yield (journal.vouched(item.key, item.source) if journal is not None else None) or item


def _runner(options: Options) -> Callable[..., Any]:
    if options.device != "cpu":
        from fo_faceanon.engine_stream import run_stream

        return run_stream
    if (options.workers or usable_cores()) > 1:
        from fo_faceanon.engine_pool import run_pool

        return run_pool
    from fo_faceanon.engine_serial import run_serial

    return run_serial


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
