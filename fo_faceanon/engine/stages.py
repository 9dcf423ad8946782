"""What is done to one image, in three steps: load, anonymize, finish. Every fault of one image ends in its record."""

from __future__ import annotations

import errno
import gc
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fo_faceanon.engine.items import Item
from fo_faceanon.errors import FaceAnonError, InputError, OutputError
from fo_faceanon.images import DecodedImage, decode_image, encode_image, output_suffix, write_atomic, written_format
from fo_faceanon.records import ImageRecord
from fo_faceanon.verify import check_output, explain, judge

if TYPE_CHECKING:
    from fo_faceanon.anonymizer import AnonymizedImage
    from fo_faceanon.engine.items import Anonymize

#: Errors of the operating system that the next image would meet as well: the run stops instead of failing image by image.
_FATAL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}
_SUFFIXES = {"JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"), "PNG": (".png",), "WEBP": (".webp",)}


class Withheld(FaceAnonError):
    """An output failed its checks."""


@dataclass(slots=True)
class Loaded:
    """A decoded image on its way through the stages."""

    item: Item
    image: DecodedImage
    seconds: float

    @property
    def area(self) -> int:
        """Pixels in the image."""
        return self.image.pixels.shape[0] * self.image.pixels.shape[1]


def load(item: Item, method: str) -> Loaded | ImageRecord:
    """The decoded image, or the record of its failure."""
    start = time.perf_counter()
    try:
        return Loaded(item, decode_image(item.source), time.perf_counter() - start)
    except InputError as error:
        return fail(item, method, str(error).replace(str(item.source), "the file"))  # reasons are counted: the same words each time
    except Exception as error:
        return fail(item, method, f"cannot be decoded: {_words(error)}")


def fail(item: Item, method: str, reason: str) -> ImageRecord:
    """The record of an image that could not be processed; earlier outputs of it go."""
    remove_outputs(item)
    return ImageRecord(key=item.key, status="failed", method=method, reason=reason)


def anonymize(anonymizer: Anonymize, batch: list[Loaded], shrink: Callable[[], None] | None = None) -> list[AnonymizedImage | str]:
    """Results for a batch, in its order; for an image that could not be done, the reason.

    An exception breaks the batch up, so that it costs only the image that raised it. Out of memory on an accelerator,
    ``shrink`` is called, for the batches to come.
    """
    start = time.perf_counter()
    results: list[AnonymizedImage | str]
    try:
        results = list(anonymizer([each.image.pixels for each in batch], [each.item.faces for each in batch]))
        if len(results) != len(batch):
            raise RuntimeError(f"the anonymizer returned {len(results)} results for {len(batch)} images")
    except Exception as error:
        reason = f"cannot be anonymized: {_words(error)}"
        if _out_of_memory(error):
            reason = f"not enough memory for this image ({_words(error)}); scale it down, or use --device cpu"
            if shrink is not None and len(batch) > 1:
                shrink()
        if len(batch) == 1:
            return [reason]
    else:
        for each in batch:
            each.seconds += (time.perf_counter() - start) / len(batch)
        return results
    # Outside of the handler, the traceback no longer holds the batch's memory.
    _release_memory()
    middle = len(batch) // 2
    return anonymize(anonymizer, batch[:middle], shrink) + anonymize(anonymizer, batch[middle:], shrink)


def finish(loaded: Loaded, result: AnonymizedImage | str, method: str) -> ImageRecord:
    """Encodes, checks and writes one result.

    Raises:
        OutputError: the file system takes no more files.
    """
    start = time.perf_counter()
    height, width = loaded.image.pixels.shape[:2]
    record = ImageRecord(loaded.item.key, "failed", method, source_sha256=loaded.image.file_sha256, width=width, height=height)
    try:
        if isinstance(result, str):
            raise Withheld(result)
        record.faces = result.faces
        if result.error:
            raise Withheld(result.error)
        _write(loaded, result, record)
        record.status, record.reason = judge(record.faces)
    except Exception as error:
        if isinstance(error, OutputError) and getattr(error.__cause__, "errno", None) in _FATAL:
            raise
        _withhold(loaded.item, record, str(error) if isinstance(error, FaceAnonError) else f"cannot be written: {_words(error)}")
    record.seconds = round(loaded.seconds + time.perf_counter() - start, 4)
    return record


def _write(loaded: Loaded, result: AnonymizedImage, record: ImageRecord) -> None:
    def check(temporary: Path) -> None:
        record.checks = check_output(temporary, loaded.image, result)
        reason = explain(record.checks)
        if reason:
            raise Withheld(reason)

    path = output_path(loaded.item, written_format(loaded.image))
    record.output_sha256 = write_atomic(path, encode_image(result.pixels, like=loaded.image), check)
    record.output = str(path)
    remove_outputs(loaded.item, but=path)


def _withhold(item: Item, record: ImageRecord, reason: str) -> None:
    """Nothing of the image is published, so none of its faces counts as done."""
    remove_outputs(item)
    record.reason, record.output, record.output_sha256 = reason, None, None
    for face in record.faces:
        if face.action != "kept":
            face.action, face.reason = "failed", face.reason or reason


def output_path(item: Item, format: str) -> Path:
    """The file that an item's output goes to."""
    if item.keep_suffix and item.output.suffix.lower() in _SUFFIXES[format]:
        return item.output
    return item.output.with_name(item.output.name + output_suffix(format))


def remove_outputs(item: Item, but: Path | None = None) -> None:
    """Removes what earlier runs wrote for an item, in whatever format, except ``but``."""
    paths = {output_path(item, format) for format in _SUFFIXES} | ({item.output} if item.keep_suffix else set())
    for path in paths - {but}:
        with suppress(OSError):
            os.unlink(path)


def process(items: Iterable[Item], anonymizer: Anonymize, method: str, max_pixels: int = 8_000_000) -> Iterator[ImageRecord]:
    """The three steps over a few images, in groups of at most ``max_pixels`` (or one image)."""
    group: list[Loaded] = []
    for item in items:
        loaded = load(item, method)
        if isinstance(loaded, ImageRecord):
            yield loaded
            continue
        if group and sum(each.area for each in group) + loaded.area > max_pixels:
            yield from _complete(group, anonymizer, method)
            group = []
        group.append(loaded)
    if group:
        yield from _complete(group, anonymizer, method)


def _complete(group: list[Loaded], anonymizer: Anonymize, method: str) -> Iterator[ImageRecord]:
    for loaded, result in zip(group, anonymize(anonymizer, group), strict=True):
        yield finish(loaded, result, method)


def _words(error: BaseException) -> str:
    text = str(error).strip().split("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _out_of_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "out of memory" in str(error).lower())


def _release_memory() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
