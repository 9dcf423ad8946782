"""Many images through one anonymizer, in bounded memory: readers, batches, checked and atomic writes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fo_faceanon.engine.items import Item, Options, usable_cores

if TYPE_CHECKING:
    from fo_faceanon.journal import Journal
    from fo_faceanon.records import ImageRecord

__all__ = ["Item", "Options", "run_items"]

#: Device files whose absence means, on Linux, that no accelerator can be there: spares the parent of CPU workers torch.
_ACCELERATORS = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/kfd")


def pick_device(device: str) -> str:
    """The device that a name stands for; without torch where it can only be the CPU."""
    nothing = sys.platform == "linux" and not any(os.path.exists(path) for path in _ACCELERATORS)
    if device == "cpu" or (device == "auto" and nothing):
        return "cpu"
    from fo_faceanon.devices import resolve_device

    return resolve_device(device)


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
        from fo_faceanon.engine.stream import run_stream

        return run_stream
    if (options.workers or usable_cores()) > 1:
        from fo_faceanon.engine.pool import run_pool

        return run_pool
    from fo_faceanon.engine.serial import run_serial

    return run_serial
