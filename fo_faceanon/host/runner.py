"""Anonymizes a dataset or a view: samples to the engine, records to the fields."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import fiftyone as fo
from fiftyone.core.collections import SampleCollection

from fo_faceanon import engine
from fo_faceanon.errors import FaceAnonError, HostError
from fo_faceanon.host import fields, runs, views
from fo_faceanon.host.candidates import held_back
from fo_faceanon.host.inputs import FaceSource, Row, read_rows, source_folders
from fo_faceanon.host.ledger import Ledger, Step
from fo_faceanon.host.lock import DatasetLock
from fo_faceanon.host.session import database_errors, require_images, root_dataset, sample_ids
from fo_faceanon.host.writer import FieldWriter
from fo_faceanon.images import file_sha256
from fo_faceanon.records import FaceRecord, ImageRecord, RunReport
from fo_faceanon.registry import method_info
from fo_faceanon.steps import drain

_FINISHED = ("ok", "no_faces", "needs_review")


def anonymize(
    samples: SampleCollection | str,
    method: str = "donor",
    *,
    progress: bool | Callable[[Any], Any] | None = None,
    **settings: Any,
) -> RunReport:
    """Anonymizes every face of a dataset or view.

    Writes the fields ``faceanon``, ``anonymized_filepath``, ``faces`` and ``face_landmarks``. Originals are read and never
    written. A sample that fails keeps a reason and has no anonymized media. Running the same call again resumes: samples are
    skipped whose configuration, source and output are unchanged.

    Args:
        samples: a dataset, a view, or a dataset's name. Of a view, its samples count; labels that it hides are faces all the same.
        method: a name from ``fo_faceanon.list_methods()``.
        progress: True or False for a progress bar, None for FiftyOne's setting, or a callable that gets FiftyOne's progress bar.
        **settings: see :func:`anonymize_steps`.

    Returns:
        The counts of this call, skipped samples included.

    Raises:
        HostError: no database, no such dataset or field, a field of ours taken, folders inside one another, a second run.
        InputError: unknown method or dial.
        WeightsError: weights that the method needs are missing; no sample was changed then.
        OutputError: nothing more can be written (disk full, no permission). What was finished is kept; run again to go on.
    """
    samples = require_images(samples)
    steps = anonymize_steps(samples, method, **settings)
    with fo.ProgressBar(total=len(samples), progress=progress) as bar:
        return drain(steps, lambda step: bar.set_iteration(step.done))


def anonymize_steps(
    samples: SampleCollection | str,
    method: str = "donor",
    *,
    faces_field: str | None = None,
    keep_field: str | Sequence[str] | None = None,
    person_field: str | None = None,
    output_dir: str | Path | None = None,
    overwrite: bool = False,
    **options: Any,
) -> Generator[Step, None, RunReport]:
    """:func:`anonymize` as a generator: one step per image, the report as its return value. Closing it stops the run cleanly.

    Args:
        samples: see :func:`anonymize`.
        method: see :func:`anonymize`.
        faces_field: a Detections field whose labels are the faces; by default faces are detected (also where the field is None).
        keep_field: consent, on labels of ``faces_field``: the name of a Boolean attribute, or a list of label ids.
        person_field: an attribute of those labels that names the person, for ``identity_mode="consistent"``.
        output_dir: where anonymized pictures go, under neutral names; by default a folder of FiftyOne's dataset directory.
        overwrite: do finished samples again.
        **options: fields of :class:`fo_faceanon.engine.Options` (``seed``, ``device``, ``identity_mode``, ``salt``, ``workers``,
            ``detector``, ``min_face``, ...) and the method's dials.
    """
    samples = require_images(samples)
    method_info(method)
    keep_ids = frozenset() if keep_field is None or isinstance(keep_field, str) else frozenset(keep_field)
    faces = FaceSource(faces_field, keep_field if isinstance(keep_field, str) else None, keep_ids, person_field)
    dataset = root_dataset(samples)
    faces.check(dataset)
    ids = sample_ids(samples)
    folder = output_folder(dataset, output_dir)
    _check_folders(folder, source_folders(dataset, ids))
    with database_errors(), DatasetLock(dataset) as lock:
        run = _Run(dataset, ids, faces, _options(method, options), folder, overwrite, lock)
        return (yield from run.steps())


class _Run:
    """One execution: keeps what the engine is working on, and the counts."""

    def __init__(
        self,
        dataset: fo.Dataset,
        ids: list[str],
        faces: FaceSource,
        options: engine.Options,
        folder: Path,
        overwrite: bool,
        lock: DatasetLock,
    ) -> None:
        fields.declare_fields(dataset)
        self._dataset, self._ids, self._faces, self._options = dataset, ids, faces, options
        self._folder, self._overwrite = folder, overwrite
        self._config = runs.run_config(options, faces)
        self._key = runs.run_key(self._config)
        self._writer = FieldWriter(dataset, self._key, folder, lock)
        self._pending: dict[str, Row] = {}  # bounded by what the engine reads ahead
        self._ready: deque[tuple[Row, ImageRecord]] = deque()  # done without the engine: skipped, or unusable
        self._ledger = Ledger()

    def steps(self) -> Generator[Step, None, RunReport]:
        start = time.monotonic()
        runs.register_run(self._dataset, self._key, self._config)
        views.save_views(self._dataset)
        try:
            for row, record, write in self._outcomes():
                if write:
                    self._writer.add(row, record)
                self._ledger.add(record)
                yield Step(self._ledger.images.total(), len(self._ids), record)
        except BaseException:
            with suppress(Exception):  # keep what is finished; the first error is the one to hear of
                self._writer.flush()
            raise
        self._writer.flush()
        report = self._ledger.report(self._key, self._options.method, time.monotonic() - start)
        runs.save_report(self._dataset, self._key, report)
        return report

    def _outcomes(self) -> Iterator[tuple[Row, ImageRecord, bool]]:
        """Records in the order they are finished, and whether they are news to the dataset."""
        rows = read_rows(self._dataset, self._ids, self._faces, self._key)
        first = None
        for row in rows:  # a resumed run starts no worker before there is work
            record = self._settle(row)
            if record is None:
                first = row
                break
            yield row, record, record.status == "failed"
        if first is None:
            return
        records = engine.run_items(self._items(first, rows), self._options)
        try:
            for record in records:
                yield from self._drain()
                row = self._pending.pop(record.key)
                yield row, self._cleaned(row, record), True
        finally:
            _close(records)
        yield from self._drain()
        for row in list(self._pending.values()):
            yield row, self._failed(row, "the engine gave no result for the image"), True

    def _items(self, first: Row, rows: Iterator[Row]) -> Iterator[engine.Item]:
        """What the engine pulls, from whichever thread it likes."""
        yield self._item(first)
        for row in rows:
            record = self._settle(row)
            if record is None:
                yield self._item(row)
            else:
                self._ready.append((row, record))

    def _drain(self) -> Iterator[tuple[Row, ImageRecord, bool]]:
        while self._ready:
            row, record = self._ready.popleft()
            yield row, record, record.status == "failed"

    def _item(self, row: Row) -> engine.Item:
        self._pending[row.id] = row
        name = hashlib.sha256(f"{self._dataset._doc.id}/{row.id}/{row.fingerprint}".encode()).hexdigest()[:32]
        return engine.Item(key=row.id, source=row.source, output=self._folder / name[:2] / name, faces=row.faces)

    def _settle(self, row: Row) -> ImageRecord | None:
        """The record of a sample that needs no engine: unusable, or vouched for by an earlier run."""
        if row.error:
            return self._failed(row, row.error)
        if self._overwrite or row.unhandled or not self._vouched(row):
            return None
        previous = row.previous
        faces = [FaceRecord((0, 0, 0, 0), 1.0, "", action, self._options.method, 0) for action in row.previous_actions]
        return ImageRecord(row.id, previous["status"], self._options.method, output=str(row.previous_output), faces=faces)

    def _vouched(self, row: Row) -> bool:
        previous = row.previous
        if previous["status"] not in _FINISHED or previous["run_key"] != self._key or previous["fingerprint"] != row.fingerprint:
            return False
        if row.previous_output is None:
            return False
        try:
            return file_sha256(row.previous_output) == previous["output_sha256"] and file_sha256(row.source) == previous["source_sha256"]
        except FaceAnonError:
            return False

    def _cleaned(self, row: Row, record: ImageRecord) -> ImageRecord:
        """The engine's record, distrusted: an output must be there, boxes must fit, reasons must name no path."""
        if record.status == "failed":
            return self._failed(row, record.reason or "unknown error", record)
        if not record.output or not record.output_sha256 or not Path(record.output).is_file():
            return self._failed(row, "the engine reported success, but there is no output file", record)
        if row.size is not None and row.size != (record.width, record.height):
            return self._failed(row, "the face boxes were placed in a frame of another size than the image", record)
        record = replace(record, reason=row.without_paths(record.reason), output=str(Path(record.output).absolute()))
        return held_back(record, row.candidates)

    def _failed(self, row: Row, reason: str, record: ImageRecord | None = None) -> ImageRecord:
        record = record or ImageRecord(row.id, "failed", self._options.method)
        if record.output and row.source != Path(record.output):
            with suppress(OSError):
                Path(record.output).unlink(missing_ok=True)
        faces = [face if face.action == "kept" else replace(face, action="failed") for face in record.faces]
        return replace(record, status="failed", reason=row.without_paths(reason), output=None, output_sha256=None, faces=faces)


def _options(method: str, given: dict[str, Any]) -> engine.Options:
    known = engine.Options.__dataclass_fields__
    named = {name: value for name, value in given.items() if name in known}
    dials = {name: value for name, value in given.items() if name not in known}
    return engine.Options(**{**named, "method": method, "dials": {**named.get("dials", {}), **dials}})


def output_folder(dataset: fo.Dataset, output_dir: str | Path | None) -> Path:
    """By default a folder named after the dataset's id, not its name: names of datasets may name people."""
    folder = Path(output_dir) if output_dir is not None else Path(fo.config.default_dataset_dir) / "faceanon" / str(dataset._doc.id)
    return folder.expanduser().resolve()


def _check_folders(output: Path, sources: set[Path]) -> None:
    for source in sources:
        if source.is_relative_to(output) or output.is_relative_to(source):
            raise HostError(
                f"anonymized pictures would go to {output}, and originals lie in {source}: one inside the other, so that sharing one "
                "would share both. Choose another output_dir"
            )


def _close(records: Any) -> None:
    if hasattr(records, "close"):
        records.close()
