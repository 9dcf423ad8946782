"""Exports a split that is safe to hand over: a fresh dataset of cleared pictures, audited before it gets its name."""

from __future__ import annotations

import secrets
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import fiftyone as fo
from fiftyone.core.collections import SampleCollection

from fo_faceanon.errors import ExportError, OutputError
from fo_faceanon.host import clearance, fields
from fo_faceanon.host.audit import Secrets, audit
from fo_faceanon.host.consent import LabelCheck
from fo_faceanon.host.destination import check_destination, publish
from fo_faceanon.host.labels import check_fields, label_texts, rebuild
from fo_faceanon.host.session import CHUNK, database_errors, require_images, root_dataset, stream_values
from fo_faceanon.images import encode_image, output_suffix, write_atomic, written_format

#: Layouts on offer, and the label field that each one needs.
DATASET_TYPES: dict[str, type | None] = {
    "FiftyOneDataset": None,
    "COCODetectionDataset": fo.Detections,
    "ImageDirectory": None,
    "ImageClassificationDirectoryTree": fo.Classification,
}
_EXPORT_OPTIONS: dict[str, dict[str, Any]] = {
    "FiftyOneDataset": {"export_runs": False, "export_saved_views": False, "export_workspaces": False},
    "COCODetectionDataset": {"abs_paths": False},
}


@dataclass(slots=True)
class ExportReport:
    """What was exported, or would be: ``considered = exported + sum(withheld.values())``."""

    dataset_type: str
    dry_run: bool
    considered: int = 0
    exported: int = 0
    withheld: dict[str, int] = field(default_factory=dict)
    label_fields: list[str] = field(default_factory=list)
    attributes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """A JSON-serializable dictionary; it holds no path."""
        return asdict(self)


def export_safe_split(
    samples: SampleCollection | str,
    export_dir: str | Path,
    dataset_type: str = "FiftyOneDataset",
    *,
    label_fields: Sequence[str] | str | None = None,
    attributes: Sequence[str] | None = None,
    dry_run: bool = False,
    overwrite: bool = False,
    progress: bool | Callable[[Any], Any] | None = None,
) -> ExportReport:
    """Exports the samples that may be shared, through FiftyOne's own exporters.

    A picture leaves only if it was verified (or reviewed by a person), is byte for byte what was verified, and its original is
    unchanged. It is encoded afresh under a random name, in random order, in a fresh dataset without tags, info, metadata, runs, views,
    embeddings or ids of the old one. Everything written is audited in a temporary folder, which then gets its name in one step.

    Args:
        samples: a dataset, a view, or a dataset's name.
        export_dir: a folder that does not exist, or is empty.
        dataset_type: one of ``DATASET_TYPES``.
        label_fields: the label fields to export; none by default. Class names are exported as they are: choose fields that name no
            one. ``COCODetectionDataset`` needs one Detections field, ``ImageClassificationDirectoryTree`` one Classification field.
        attributes: label attributes to export beyond class and geometry, for example ``["confidence", "mask"]``; none by default.
        dry_run: check everything, write nothing.
        overwrite: replace an earlier export at ``export_dir``.
        progress: as for :func:`fo_faceanon.host.runner.anonymize`.

    Raises:
        HostError: no database, no such dataset, not an image dataset.
        ExportError: nothing may be exported, a folder inside another, a field that cannot be exported, or the audit found something.
            Nothing is left behind then.
    """
    start = time.monotonic()
    samples = require_images(samples)
    dataset = root_dataset(samples)
    names = [label_fields] if isinstance(label_fields, str) else list(label_fields or [])
    report = ExportReport(dataset_type, dry_run, label_fields=names, attributes=list(attributes or []))
    _check_request(dataset, report)
    destination = Path(export_dir).expanduser().absolute()
    ids = list(samples.values("id"))
    check_destination(destination, dataset, overwrite)
    secrets.SystemRandom().shuffle(ids)
    rows = _cleared_rows(dataset, ids, report, progress)
    with database_errors():
        if dry_run:
            for _ in rows:
                report.exported += 1
        else:
            _write(dataset, rows, destination, report, overwrite)
    report.seconds = time.monotonic() - start
    return report


def _check_request(dataset: fo.Dataset, report: ExportReport) -> None:
    if report.dataset_type not in DATASET_TYPES:
        raise ExportError(f"dataset_type must be one of {', '.join(DATASET_TYPES)}, but got {report.dataset_type!r}")
    if not fields.is_ours(dataset, fields.STATUS):
        raise ExportError(f"the dataset '{dataset.name}' was not anonymized yet: run fo_faceanon.anonymize(dataset) first")
    check_fields(dataset, report.label_fields, report.attributes)
    needed = DATASET_TYPES[report.dataset_type]
    if report.dataset_type == "ImageDirectory" and report.label_fields:
        raise ExportError("an ImageDirectory holds pictures only; leave label_fields out, or choose another dataset_type")
    if needed is not None:
        kinds = [dataset.get_field(name).document_type for name in report.label_fields]
        if kinds != [needed]:
            given = ", ".join(report.label_fields) or "none"
            raise ExportError(f"{report.dataset_type} needs exactly one {needed.__name__} field in label_fields, but got {given}")


def _cleared_rows(
    dataset: fo.Dataset, ids: list[str], report: ExportReport, progress: bool | Callable[[Any], Any] | None
) -> Iterator[tuple[clearance.Cleared, list[fo.Label | None]]]:
    """Yields pictures that may leave with their rebuilt labels; counts the others by reason."""
    withheld: Counter[str] = Counter()
    wanted = len(clearance.NEEDED)
    unchanged = LabelCheck(dataset)
    columns = [*clearance.NEEDED, *report.label_fields, *unchanged.needed]
    with fo.ProgressBar(total=len(ids), progress=progress) as bar:
        for _, *values in bar(stream_values(dataset, ids, columns)):
            report.considered += 1
            verdict = clearance.clear(*values[:wanted])
            labels, rest = values[wanted : wanted + len(report.label_fields)], values[wanted + len(report.label_fields) :]
            if isinstance(verdict, clearance.Cleared):
                verdict = unchanged(Path(values[0]), rest) or verdict
            if isinstance(verdict, str):
                withheld[verdict] += 1
            else:
                yield verdict, [rebuild(label, report.attributes) for label in labels]
    report.withheld = dict(withheld)


def _write(dataset: fo.Dataset, rows: Iterator, destination: Path, report: ExportReport, overwrite: bool) -> None:
    work = destination.parent / f".{secrets.token_hex(8)}.faceanon"
    try:
        work.mkdir(parents=True)
        written, texts = _build(rows, work, report)
        if not written:
            reasons = "; ".join(f"{count}: {reason}" for reason, count in report.withheld.items()) or "the view is empty"
            raise ExportError(f"nothing may be exported ({reasons}). See fo_faceanon.failures(dataset)")
        audit(work / "export", written, _secrets(dataset, work, texts))
        publish(work / "export", destination, overwrite)
    except ConnectionError:  # an OSError too, but the database's
        raise
    except OSError as error:
        raise ExportError(f"the export cannot be written: {error.strerror or error}; nothing was exported") from error
    except OutputError as error:
        raise ExportError(f"{error}; nothing was exported") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _build(rows: Iterator, work: Path, report: ExportReport) -> tuple[set[str], set[str]]:
    """Encodes the pictures, fills a fresh dataset and exports it; returns the pictures' hashes and the class names used."""
    fresh = fo.Dataset(f"export_{secrets.token_hex(8)}", persistent=False)
    hashes: set[str] = set()
    texts: set[str] = set()
    try:
        batch: list[fo.Sample] = []
        for cleared, labels in rows:
            path = _encode(cleared, work / "media", hashes)
            for label in labels:
                texts |= label_texts(label)
            batch.append(fo.Sample(filepath=str(path), **dict(zip(report.label_fields, labels, strict=True))))
            if len(batch) >= CHUNK:
                fresh.add_samples(batch, dynamic=True, progress=False)
                batch = []
        if batch:
            fresh.add_samples(batch, dynamic=True, progress=False)
        report.exported = len(fresh)
        if hashes:
            _export(fresh, work / "export", report, texts)
        return hashes, texts
    finally:
        with suppress(Exception):  # non-persistent: FiftyOne removes it in any case
            fresh.delete()


def _encode(cleared: clearance.Cleared, folder: Path, hashes: set[str]) -> Path:
    image = cleared.image
    path = folder / f"{secrets.token_hex(16)}{output_suffix(written_format(image))}"
    hashes.add(write_atomic(path, encode_image(image.pixels, like=image)))
    return path


def _export(fresh: fo.Dataset, folder: Path, report: ExportReport, texts: set[str]) -> None:
    options: dict[str, Any] = dict(_EXPORT_OPTIONS.get(report.dataset_type, {}))
    if DATASET_TYPES[report.dataset_type] is not None:
        options["label_field"] = report.label_fields[0]
        options["classes"] = sorted(texts)
    if report.dataset_type == "COCODetectionDataset":
        options["extra_attrs"] = report.attributes or False
    if report.dataset_type == "ImageClassificationDirectoryTree":
        options.pop("classes")
        unsafe = sorted(text for text in texts if text.startswith(".") or "/" in text or "\\" in text)
        if unsafe:
            raise ExportError(f"class names become folder names, and {unsafe[0]!r} cannot; choose another dataset_type")
    kind = getattr(fo.types, report.dataset_type)
    fresh.export(export_dir=str(folder), dataset_type=kind, export_media="move", progress=False, **options)


def _secrets(dataset: fo.Dataset, work: Path, texts: set[str]) -> Secrets:
    """Names of the whole dataset, not only of the samples exported: neighbours must not be named either."""
    words = Secrets(allowed=texts)
    words.add(str(work))
    for sample_id, source, output in stream_values(dataset, list(dataset.values("id")), ["filepath", fields.MEDIA]):
        words.add(sample_id)
        words.add_path(source)
        words.add_path(output)
    return words
