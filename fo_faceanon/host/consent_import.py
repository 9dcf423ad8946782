"""Writes a consent list into the user's face labels, where a run reads it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import fiftyone as fo
from fiftyone.core.collections import SampleCollection

from fo_faceanon.errors import HostError, InputError
from fo_faceanon.faces import box_iou
from fo_faceanon.host import fields
from fo_faceanon.host.candidates import corners
from fo_faceanon.host.consent_list import ConsentList, read_consent_list
from fo_faceanon.host.inputs import FaceSource
from fo_faceanon.host.lock import DatasetLock
from fo_faceanon.host.session import CHUNK, database_errors, require_images, root_dataset, sample_ids, stream_values
from fo_faceanon.host.stale import refresh

#: Overlap from which a listed box means a label's face.
_SAME = 0.5
WARNING = (
    "Faces that consent keeps stay recognisable, in every picture and every export of it. Keep them only where you hold a consent that "
    "covers this use, and take the person off the list when it is withdrawn."
)


@dataclass(slots=True)
class ConsentReport:
    """Counts of :func:`import_consent`, over the labels of the field: ``labels = consenting + the others``.

    ``granted`` and ``withdrawn`` count those that changed, ``not_found`` the entries of the list that mean no label, ``stale`` the samples
    that must be anonymized again.
    """

    labels: int = 0
    consenting: int = 0
    granted: int = 0
    withdrawn: int = 0
    not_found: list[str] = field(default_factory=list)
    stale: int = 0
    dry_run: bool = False
    warning: str = WARNING

    def to_dict(self) -> dict[str, Any]:
        """A JSON-serializable dictionary."""
        return asdict(self)


def import_consent(
    samples: SampleCollection | str,
    people: Iterable[str] | None = None,
    *,
    faces_field: str,
    person_field: str | None = None,
    labels: Iterable[str] | None = None,
    source: str | Path | None = None,
    consent_field: str = "consent",
    dry_run: bool = False,
) -> ConsentReport:
    """Sets the Boolean attribute ``consent_field`` of face labels: true for those on the list, false for all others.

    The list is the whole truth: who is not on it has not consented. ``fo_faceanon.anonymize(dataset, faces_field=..., keep_field=...)``
    keeps the faces that have. Samples whose consent changed since they were anonymized become ``stale``, and cannot be exported.

    Args:
        samples: a dataset, a view, or a dataset's name.
        people: names; ``person_field`` is the attribute of the labels that holds them.
        faces_field: a Detections field.
        person_field: needed where people are named.
        labels: ids of labels.
        source: a CSV or JSON file, see :func:`fo_faceanon.host.consent_list.read_consent_list`; its entries join the others.
        consent_field: the attribute to set.
        dry_run: count, and write nothing.

    Raises:
        HostError: no such field, an attribute of another kind, another run is on the dataset.
        InputError: the list is empty or cannot be read.
    """
    samples = require_images(samples)
    dataset, ids = root_dataset(samples), sample_ids(samples)
    listed = _listed(people, labels, source)
    _check(dataset, faces_field, person_field, consent_field, listed)
    report = ConsentReport(dry_run=dry_run)
    importer = _Importer(dataset, listed, faces_field, person_field, consent_field, report)
    with database_errors(), DatasetLock(dataset) as lock:
        importer.find_files(ids)
        if not dry_run:
            dataset.add_sample_field(f"{faces_field}.detections.{consent_field}", fo.BooleanField)
        for start in range(0, len(ids), CHUNK):
            importer.apply(ids[start : start + CHUNK])
            lock.refresh()
    report.not_found = importer.not_found()
    if importer.changed and not dry_run and fields.is_ours(dataset, fields.STATUS):
        report.stale = refresh(dataset.select(importer.changed)).stale
    return report


def _listed(people: Iterable[str] | None, labels: Iterable[str] | None, source: str | Path | None) -> ConsentList:
    if isinstance(people, str) or isinstance(labels, str):
        raise InputError("people and labels must be lists of texts, but one got a single text")
    if people is None and labels is None and source is None:
        raise InputError("a consent list is needed: people, labels or source; an empty list withdraws every consent")
    listed = ConsentList() if source is None else read_consent_list(source)
    listed.people |= {name.strip() for name in people or ()}
    listed.labels |= set(labels or ())
    return listed


def _check(dataset: fo.Dataset, faces_field: str, person_field: str | None, consent_field: str, listed: ConsentList) -> None:
    FaceSource(faces_field).check(dataset)
    if not consent_field.isidentifier() or consent_field in ("label", "bounding_box", "confidence", "tags", "id", "instance", "action"):
        raise HostError(f"consent_field must be a new attribute's name, for example 'consent', but got '{consent_field}'")
    existing = dataset.get_field(f"{faces_field}.detections.{consent_field}")
    if existing is not None and not isinstance(existing, fo.BooleanField):
        kind = type(existing).__name__
        raise HostError(f"the attribute '{consent_field}' of '{faces_field}' is a {kind}, not true or false: choose another consent_field")
    if listed.people and person_field is None:
        raise HostError("the list names people: say with person_field which attribute of the labels holds their names")
    if listed.people and dataset.get_field(f"{faces_field}.detections.{person_field}") is None:
        raise HostError(f"the labels of '{faces_field}' have no attribute '{person_field}'; see dataset.get_dynamic_field_schema()")


class _Importer:
    """Goes through the labels, and remembers which entries of the list meant one."""

    def __init__(
        self,
        dataset: fo.Dataset,
        listed: ConsentList,
        faces_field: str,
        person_field: str | None,
        consent_field: str,
        report: ConsentReport,
    ) -> None:
        self._dataset, self._listed, self._report = dataset, listed, report
        self._field, self._person, self._consent = faces_field, person_field, consent_field
        self._by_sample: dict[str, list[tuple[str, tuple[float, float, float, float]]]] = {}
        self._missing: set[str] = {*listed.people, *listed.labels, *(file for file in listed.boxes)}
        self.changed: list[str] = []

    def find_files(self, ids: Sequence[str]) -> None:
        """Which sample a listed file is: by its whole path, or by its name where only one file has it."""
        if not self._listed.boxes:
            return
        rows = [(sample_id, str(path or "")) for sample_id, path in stream_values(self._dataset, ids, ["filepath"])]
        names = Counter(Path(path).name for _, path in rows)
        for sample_id, path in rows:
            name = Path(path).name
            for file in {path, name if names[name] == 1 else path} & set(self._listed.boxes):
                self._by_sample.setdefault(sample_id, []).extend((file, box) for box in self._listed.boxes[file])

    def apply(self, ids: Sequence[str]) -> None:
        """Decides on the labels of some samples, and writes what changed."""
        values: dict[str, list[bool]] = {}
        for sample_id, found in stream_values(self._dataset, ids, [self._field]):
            labels = found.detections if found is not None else []
            decided = [self._consents(sample_id, label) for label in labels]
            before = [label[self._consent] if label.has_field(self._consent) else None for label in labels]
            self._count(decided, before)
            if decided and decided != before:
                values[sample_id] = decided
            if any(now != (was is True) for now, was in zip(decided, before, strict=True)):
                self.changed.append(sample_id)
        if values and not self._report.dry_run:
            self._dataset.set_values(f"{self._field}.detections.{self._consent}", values, key_field="id")

    def not_found(self) -> list[str]:
        """Entries that no label was meant by."""
        return sorted(self._missing)

    def _consents(self, sample_id: str, label: fo.Detection) -> bool:
        meant = {label.id} & self._listed.labels
        if self._person is not None and label.has_field(self._person):
            meant |= {str(label[self._person]).strip()} & self._listed.people
        for file, box in self._by_sample.get(sample_id, []):
            if box_iou(corners(box), corners(label.bounding_box)) >= _SAME:
                meant.add(file)
        self._missing -= meant
        return bool(meant)

    def _count(self, decided: list[bool], before: list[Any]) -> None:
        self._report.labels += len(decided)
        self._report.consenting += sum(decided)
        self._report.granted += sum(now and was is not True for now, was in zip(decided, before, strict=True))
        self._report.withdrawn += sum(not now and was is True for now, was in zip(decided, before, strict=True))
