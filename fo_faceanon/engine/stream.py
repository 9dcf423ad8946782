"""The engine beside an accelerator: threads read and write while one batch after the other is computed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from fo_faceanon.engine.items import Item, Options, usable_cores
from fo_faceanon.engine.stages import Loaded, anonymize, finish, load
from fo_faceanon.records import ImageRecord

#: Images per call of the anonymizer on an accelerator.
BATCH_SIZE = 64
_MAX_PIXELS = 32_000_000  # per call, so that a batch of large photographs fits as well
_THREADS = 16


@dataclass(slots=True)
class _Limit:
    """How large a batch may be; halves when the accelerator's memory runs out."""

    images: int
    pixels: int

    def shrink(self) -> None:
        self.images = max(1, self.images // 2)
        self.pixels = max(1, self.pixels // 2)


def run_stream(entries: Iterator[Item | ImageRecord], options: Options) -> Iterator[tuple[ImageRecord, bool]]:
    """Records, and whether each is new."""
    anonymizer = options.build()
    limit = _Limit(options.batch_size or BATCH_SIZE, _MAX_PIXELS)
    threads = options.workers or min(usable_cores(), _THREADS)
    readers, writers = ThreadPoolExecutor(threads, "faceanon-read"), ThreadPoolExecutor(threads, "faceanon-write")
    writing: deque[Future[ImageRecord]] = deque()
    try:
        for batch in _batches(_read_ahead(entries, readers, options, limit), limit):
            if isinstance(batch, ImageRecord):
                yield batch, batch.status == "failed"  # the journal vouches for no failure, so a failed one is new
                continue
            for loaded, result in zip(batch, anonymize(anonymizer, batch, limit.shrink), strict=True):
                writing.append(writers.submit(finish, loaded, result, options.method))
            while writing and (writing[0].done() or len(writing) > limit.images):
                yield writing.popleft().result(), True
        while writing:
            yield writing.popleft().result(), True
    finally:
        readers.shutdown(cancel_futures=True)
        writers.shutdown(cancel_futures=True)


def _read_ahead(
    entries: Iterator[Item | ImageRecord], readers: ThreadPoolExecutor, options: Options, limit: _Limit
) -> Iterator[Loaded | ImageRecord]:
    """Decoded images in order, the next batch of them being read meanwhile; its pixels are bounded as a batch's are."""
    reading: deque[Future[Loaded | ImageRecord]] = deque()
    read = partial(load, method=options.method)
    for entry in entries:
        if isinstance(entry, ImageRecord):
            yield entry
            continue
        reading.append(readers.submit(read, entry))
        if len(reading) >= limit.images or _pixels(reading) > limit.pixels:
            yield reading.popleft().result()
    while reading:
        yield reading.popleft().result()


def _pixels(reading: deque[Future[Loaded | ImageRecord]]) -> int:
    """Pixels of the images that were read and wait."""
    done = (future.result() for future in reading if future.done())
    return sum(each.area for each in done if isinstance(each, Loaded))


def _batches(loaded: Iterator[Loaded | ImageRecord], limit: _Limit) -> Iterator[list[Loaded] | ImageRecord]:
    """Images in lists that keep to the limit; records pass as they come."""
    batch: list[Loaded] = []
    area = 0
    for each in loaded:
        if isinstance(each, ImageRecord):
            yield each
            continue
        if batch and (len(batch) >= limit.images or area + each.area > limit.pixels):
            yield batch
            batch, area = [], 0
        batch.append(each)
        area += each.area
    if batch:
        yield batch
