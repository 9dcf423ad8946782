"""The engine in the calling process, on a CPU."""

from __future__ import annotations

from collections.abc import Iterator

from fo_faceanon.devices import one_thread
from fo_faceanon.engine.items import Item, Options, chunks
from fo_faceanon.engine.stages import process
from fo_faceanon.records import ImageRecord

#: Images per call of the anonymizer on a CPU.
BATCH_SIZE = 4


def run_serial(entries: Iterator[Item | ImageRecord], options: Options) -> Iterator[tuple[ImageRecord, bool]]:
    """Records, and whether each is new."""
    with one_thread():
        anonymizer = options.build()
        for chunk in chunks(entries, options.batch_size or BATCH_SIZE):
            if isinstance(chunk, ImageRecord):
                yield chunk, False
                continue
            for record in process(chunk, anonymizer, options.method):
                yield record, True
