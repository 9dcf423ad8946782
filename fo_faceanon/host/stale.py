"""Finds out which anonymized samples no longer fit their originals, their faces or their consent."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import fiftyone as fo
from fiftyone.core.collections import SampleCollection

from fo_faceanon.errors import HostError, InputError
from fo_faceanon.host import fields
from fo_faceanon.host.consent import LabelCheck
from fo_faceanon.host.inputs import file_stamp
from fo_faceanon.host.lock import DatasetLock
from fo_faceanon.host.session import CHUNK, database_errors, require_images, root_dataset, sample_ids, stream_values
from fo_faceanon.images import file_sha256

#: Statuses that something can be wrong with; the others are withheld as they are.
_CURRENT = ("ok", "no_faces", "needs_review")
_KINDS = {"source": "the original", "output": "the anonymized picture"}
_NAMES = [
    "filepath",
    fields.MEDIA,
    *(f"{fields.STATUS}.{name}" for name in ("status", "source_stamp", "source_sha256", "output_stamp", "output_sha256")),
]


@dataclass(slots=True)
class StaleReport:
    """Counts of :func:`refresh`: ``samples = current + stale + not_checked``; ``reasons`` says why samples became stale."""

    samples: int = 0
    current: int = 0
    stale: int = 0
    not_checked: int = 0
    hashed: int = 0
    reasons: dict[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-serializable dictionary."""
        return asdict(self)


def refresh(samples: SampleCollection | str) -> StaleReport:
    """Marks samples as ``stale`` whose original, anonymized picture, face labels or consent changed since they were anonymized.

    A file whose size and time are as they were is believed to be the same; any other is read and hashed. Samples that failed, wait for
    a run or are stale already are not checked: none of them can be exported. The export hashes every file in any case.

    Args:
        samples: a dataset, a view, or a dataset's name.

    Raises:
        HostError: the dataset was never anonymized, or another run is on it.
    """
    samples = require_images(samples)
    dataset, ids = root_dataset(samples), sample_ids(samples)
    if not fields.is_ours(dataset, fields.STATUS):
        raise HostError(f"the dataset '{dataset.name}' was not anonymized yet: run fo_faceanon.anonymize(dataset) first")
    report = StaleReport(samples=len(ids))
    reasons: Counter[str] = Counter()
    with database_errors(), DatasetLock(dataset) as lock:
        fields.declare_fields(dataset)  # a dataset of an earlier version has no stamps
        unchanged = LabelCheck(dataset)
        for start in range(0, len(ids), CHUNK):
            _refresh_chunk(dataset, ids[start : start + CHUNK], unchanged, report, reasons)
            lock.refresh()
    report.reasons = dict(reasons)
    return report


def _refresh_chunk(dataset: fo.Dataset, ids: list[str], unchanged: LabelCheck, report: StaleReport, reasons: Counter[str]) -> None:
    stale: dict[str, str] = {}
    stamps: dict[str, dict[str, str]] = {kind: {} for kind in _KINDS}
    for sample_id, source, output, status, *rest in stream_values(dataset, ids, [*_NAMES, *unchanged.needed]):
        if status not in _CURRENT:
            report.not_checked += 1
            continue
        known, labels = rest[:4], rest[4:]
        reason = None
        for kind, path, stamp, sha256 in (("source", source, *known[:2]), ("output", output, *known[2:])):
            now = file_stamp(path)
            if reason is None and (now is None or now != stamp):
                report.hashed += now is not None
                reason = _changed(kind, path, sha256)
                if reason is None and now is not None:
                    stamps[kind][sample_id] = now
        reason = reason or unchanged(Path(source), labels)
        if reason:
            stale[sample_id] = reason
    _write(dataset, stale, stamps)
    report.stale += len(stale)
    report.current = report.samples - report.stale - report.not_checked
    reasons.update(stale.values())


def _changed(kind: str, path: str | None, sha256: str | None) -> str | None:
    """Why a file is not what it was, in words that name no file; None where it was only touched."""
    what = _KINDS[kind]
    try:
        same = file_sha256(path or "") == sha256
    except InputError:
        return f"{what} is missing or cannot be read: anonymize again"
    return None if same else f"{what} changed since: anonymize again"


def _write(dataset: fo.Dataset, stale: dict[str, str], stamps: dict[str, dict[str, str]]) -> None:
    """The reason first: a sample that is marked has one."""
    for kind, values in stamps.items():
        if values:
            dataset.set_values(f"{fields.STATUS}.{kind}_stamp", values, key_field="id")
    if stale:
        dataset.set_values(f"{fields.STATUS}.reason", stale, key_field="id")
        dataset.set_values(f"{fields.STATUS}.reviewed", dict.fromkeys(stale, False), key_field="id")
        dataset.set_values(f"{fields.STATUS}.status", dict.fromkeys(stale, fields.STALE), key_field="id")
