"""Makes single samples, or single faces of them, again: with another seed, by another method, or as a solid fill.

The picture is made anew from the original, every face by its own recipe: the chosen ones by the new one, the others by that which
made them before. It is then checked that the others came out as they were. Working on the anonymized picture instead would code
it once more and more, and leave the rim of the old face around a smaller new one; putting the original back there could uncover a
neighbour. So an output is always what a run would have made, and passes the same checks.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import fiftyone as fo
import numpy as np
from fiftyone.core.collections import SampleCollection

from fo_faceanon import engine
from fo_faceanon.errors import FaceAnonError, HostError, WeightsError
from fo_faceanon.faces import Face
from fo_faceanon.host import fields, runs
from fo_faceanon.host.candidates import held_back
from fo_faceanon.host.inputs import Row, is_unhandled, oriented_size, read_rows
from fo_faceanon.host.ledger import Ledger, Step
from fo_faceanon.host.lock import DatasetLock
from fo_faceanon.host.runner import output_folder
from fo_faceanon.host.session import database_errors, require_images, root_dataset, sample_ids, stream_values
from fo_faceanon.host.unchanged import others_unchanged
from fo_faceanon.host.writer import FieldWriter
from fo_faceanon.images import file_sha256
from fo_faceanon.records import FaceRecord, ImageRecord, RunReport
from fo_faceanon.registry import method_info
from fo_faceanon.steps import drain

_OTHERS_CHANGED = "the other faces did not come out as they were (another version, bank or device had made them): redo the whole sample"
#: Samples whose labels are held at once.
_AT_ONCE = 1024
#: Outcome, in the report, of a sample that stays as it was.
UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Change:
    """What is asked of the chosen faces.

    Args:
        faces: label ids; None for all faces of the samples.
        seed: None for the next one after that which a face has, where neither a method nor a fill is asked for.
        method: None for the run's own, also for faces that an earlier call made by another one.
    """

    faces: frozenset[str] | None = None
    seed: int | None = None
    method: str | None = None

    def chooses(self, label: fo.Detection) -> bool:
        return self.faces is None or label.id in self.faces

    def recipe(self, seed: int | None, run_seed: int) -> tuple[str | None, int | None]:
        """A face's new method and seed, given the seed that it has of its own."""
        if self.seed is not None or self.method is not None:
            return self.method, seed if self.seed is None else self.seed
        return None, (run_seed if seed is None else seed) + 1


def reanonymize(samples: SampleCollection | str, *, progress: bool | Callable[[Any], Any] | None = None, **settings: Any) -> RunReport:
    """Makes samples again that were anonymized before; only the given samples, or only some of their faces.

    A sample stays in its run: what is not asked for here (dials, detector, identities) is as it was recorded, and running
    :func:`anonymize` again leaves it alone. The other faces keep their pixels, bit for bit on a CPU with the version and bank that made
    them; within less than a grey level on average where an accelerator rounds, or a lossy format codes, otherwise. A sample for which that
    cannot be had, or that fails, stays as it was, and the report says why: nothing is ever half done. A new picture needs a new look.

    Args:
        samples: a dataset, a view, or a dataset's name.
        progress: as for :func:`anonymize`.
        **settings: see :func:`reanonymize_steps`.

    Returns:
        The counts; ``unchanged`` samples are those that stayed as they were, with the reasons.

    Raises:
        HostError: nothing of this dataset was anonymized, no such face, a consented face, another run is on the dataset.
        InputError: no such method.
        WeightsError: the method's weights are missing.
    """
    samples = require_images(samples)
    steps = reanonymize_steps(samples, **settings)
    with fo.ProgressBar(total=len(samples), progress=progress) as bar:
        return drain(steps, lambda step: bar.set_iteration(step.done))


def reanonymize_steps(
    samples: SampleCollection | str,
    *,
    faces: Sequence[str] | None = None,
    seed: int | None = None,
    method: str | None = None,
    fill: bool = False,
    salt: str | None = None,
    **how: Any,
) -> Generator[Step, None, RunReport]:
    """:func:`reanonymize` as a generator: one step per sample, the report as its return value.

    Args:
        samples: see :func:`reanonymize`.
        faces: ids of labels in ``faces``; None for every face of the samples. Samples without such a face are not touched.
        seed: another seed; None for the next one.
        method: another method; None for the run's own.
        fill: a solid fill: the method ``mask``.
        salt: the secret of a run with consistent identities, which is not stored.
        **how: ``device``, ``workers``, ``batch_size`` and ``factory`` of :class:`fo_faceanon.engine.Options`.
    """
    samples = require_images(samples)
    change = _change(faces, seed, "mask" if fill else method)
    unknown = sorted(set(how) - {"device", "workers", "batch_size", "factory"})
    if unknown:
        raise HostError(f"{', '.join(unknown)} hold for whole runs: use fo_faceanon.anonymize(view, overwrite=True, {unknown[0]}=...)")
    dataset = root_dataset(samples)
    if not fields.is_ours(dataset, fields.STATUS):
        raise HostError(f"the dataset '{dataset.name}' was not anonymized yet: run fo_faceanon.anonymize(dataset) first")
    ids = sample_ids(samples)
    with database_errors(), DatasetLock(dataset) as lock:
        fields.declare_fields(dataset)  # a dataset of an earlier version lacks some
        return (yield from _Redo(dataset, _chosen_ids(dataset, ids, change), change, salt, how, lock).steps())


def _change(faces: Sequence[str] | None, seed: int | None, method: str | None) -> Change:
    if method is not None:
        missing = method_info(method).missing
        if missing:
            raise WeightsError(f"method '{method}' needs weights that are not here: {', '.join(missing)}; see fo-faceanon methods")
    return Change(None if faces is None else frozenset(faces), seed, method)


def _chosen_ids(dataset: fo.Dataset, ids: list[str], change: Change) -> list[str]:
    """The samples that hold a chosen face; all of them where no faces are named."""
    if change.faces is None:
        return ids
    rows = stream_values(dataset, ids, [f"{fields.FACES}.detections.id", f"{fields.FACES}.detections.action"])
    found: set[str] = set()
    chosen = []
    for sample_id, labels, actions in rows:
        here = change.faces & set(labels or [])
        if any(label in here and action == "kept" for label, action in zip(labels or [], actions or [], strict=True)):
            raise HostError("a face that consent keeps cannot be made again: withdraw the consent and run fo_faceanon.anonymize")
        if here:
            chosen.append(sample_id)
            found |= here
    if found != change.faces:
        lost = sorted(change.faces - found)
        raise HostError(f"{len(lost)} of {len(change.faces)} labels are no faces of these samples, for example {lost[0]}")
    return chosen


class _Redo:
    """One call: samples by the run that made them, each in a go of the engine with that run's options."""

    def __init__(self, dataset: fo.Dataset, ids: list[str], change: Change, salt: str | None, how: dict, lock: DatasetLock) -> None:
        self._dataset, self._ids, self._change, self._salt, self._how, self._lock = dataset, ids, change, salt, how, lock
        self._ledger = Ledger()
        self._labels: dict[str, list[fo.Detection]] = {}

    def steps(self) -> Generator[Step, None, RunReport]:
        began = time.monotonic()
        config = {"faces": "chosen" if self._change.faces else "all", "seed": self._change.seed, "anonymizer": self._change.method}
        key = runs.register_redo(self._dataset, config)
        for run_key, ids in self._by_run():
            for start in range(0, len(ids), _AT_ONCE):
                for record in self._one_run(run_key, ids[start : start + _AT_ONCE]):
                    self._ledger.add(record)
                    yield Step(self._ledger.images.total(), len(self._ids), record)
                self._labels.clear()
        report = self._ledger.report(key, self._change.method or "", time.monotonic() - began)
        runs.save_report(self._dataset, key, report)
        return report

    def _by_run(self) -> Iterator[tuple[str | None, list[str]]]:
        groups: dict[str | None, list[str]] = {}
        for sample_id, run_key in stream_values(self._dataset, self._ids, [f"{fields.STATUS}.run_key"]):
            groups.setdefault(run_key, []).append(sample_id)
        yield from groups.items()

    def _one_run(self, run_key: str | None, ids: list[str]) -> Iterator[ImageRecord]:
        options = None if run_key is None else runs.recorded_options(self._dataset, run_key, self._salt, self._how)
        source = None if run_key is None else runs.face_source(self._dataset, run_key)
        if run_key is None or options is None or source is None:
            why = "never anonymized" if run_key is None else "its run is no longer registered: anonymize again"
            yield from (self._unchanged(sample_id, [], why) for sample_id in ids)
            return
        todo: dict[str, Row] = {}
        items = []
        for row in read_rows(self._dataset, ids, source, run_key):
            item = self._item(row, options)
            if isinstance(item, engine.Item):
                todo[row.id] = row
                items.append(item)
            else:
                yield item
        yield from self._make(items, todo, options, run_key)

    def _item(self, row: Row, options: engine.Options) -> engine.Item | ImageRecord:
        """What the engine is to do for a sample, or the record of why it stays as it is."""
        labels = self._faces_of(row.id)
        reason = self._obstacle(row, labels)
        if reason:
            return self._unchanged(row.id, labels, reason)
        try:
            faces = self._recipes(row, labels, options)
        except FaceAnonError as error:
            return self._unchanged(row.id, labels, row.without_paths(str(error)))
        return engine.Item(row.id, row.source, self._output(row, faces), faces)

    def _faces_of(self, sample_id: str) -> list[fo.Detection]:
        found = self._dataset.select([sample_id]).values(fields.FACES)[0]
        self._labels[sample_id] = list(found.detections) if found is not None else []
        return self._labels[sample_id]

    def _obstacle(self, row: Row, labels: list[fo.Detection]) -> str | None:
        """Why a sample cannot be made again."""
        if row.error:
            return row.without_paths(row.error)
        if row.previous["fingerprint"] != row.fingerprint:
            return "its face labels or consent changed: anonymize again"
        if not labels:
            return "it has no faces"
        try:
            same = file_sha256(row.source) == row.previous["source_sha256"]
        except FaceAnonError:
            return "the original cannot be read"
        return None if same else "stale: the original changed since it was anonymized: anonymize again"

    def _recipes(self, row: Row, labels: list[fo.Detection], options: engine.Options) -> tuple[Face, ...]:
        """The faces of a sample, each with what it is to become; the recipes are carried into the new labels."""
        own = {face.key: face for face in row.faces or ()}
        size = row.size or oriented_size(row.source)
        faces = []
        for label in labels:
            face = own.get(label.id) or _recorded_face(label, size)
            method, seed = _value(label, "asked_method"), _value(label, "asked_seed")
            if face.keep != (_value(label, "action") == "kept") and not is_unhandled(label):
                raise HostError("consent changed: anonymize again")
            if self._change.chooses(label) and not face.keep and not is_unhandled(label):
                method, seed = self._change.recipe(seed, options.seed)
                row.carried.setdefault(label.id, {}).update(asked_method=method, asked_seed=seed)
            elif method is not None or seed is not None:
                row.carried.setdefault(label.id, {}).update(asked_method=method, asked_seed=seed)
            faces.append(replace(face, method=method, seed=seed))
        return tuple(faces)

    def _output(self, row: Row, faces: Sequence[Face]) -> Path:
        """A file of another name than the one that is there, which stays until the fields name the new one."""
        folder = row.previous_output.parent.parent if row.previous_output else output_folder(self._dataset, None)
        recipes = [[face.key, face.method, face.seed] for face in faces]
        text = json.dumps([str(self._dataset._doc.id), row.id, row.fingerprint, recipes, row.previous["output_sha256"]])
        name = hashlib.sha256(text.encode()).hexdigest()[:32]
        return folder / name[:2] / name

    def _make(self, items: list[engine.Item], todo: dict[str, Row], options: engine.Options, run_key: str) -> Iterator[ImageRecord]:
        records = engine.run_items(iter(items), options)
        try:
            for record in records:
                row = todo.pop(record.key)
                yield self._settle(row, record, run_key)
        finally:
            if hasattr(records, "close"):
                records.close()
        yield from (self._unchanged(row.id, self._labels[row.id], "the engine gave no result for the image") for row in todo.values())

    def _settle(self, row: Row, record: ImageRecord, run_key: str) -> ImageRecord:
        """Writes a new picture that may take the old one's place; drops one that may not."""
        reason = row.without_paths(record.reason) if record.status == "failed" else self._objection(row, record)
        if record.status == "failed" or reason:
            if record.output:
                with suppress(OSError):
                    Path(record.output).unlink()
            return self._unchanged(row.id, self._labels[row.id], reason or "it could not be made again")
        record = replace(record, reason=row.without_paths(record.reason), output=str(Path(record.output or "").absolute()))
        record = held_back(record, row.candidates)
        folder = row.previous_output.parent.parent if row.previous_output else output_folder(self._dataset, None)
        writer = FieldWriter(self._dataset, run_key, folder, self._lock)
        writer.add(row, record)
        writer.flush()
        return record

    def _objection(self, row: Row, record: ImageRecord) -> str | None:
        chosen = {label.id for label in self._labels[row.id] if self._change.chooses(label) or is_unhandled(label)}
        if row.previous_output is None or all(face.key in chosen for face in record.faces):
            return None
        unchanged = others_unchanged(row.previous_output, row.previous["output_sha256"], Path(record.output or ""), record.faces, chosen)
        return None if unchanged else _OTHERS_CHANGED

    def _unchanged(self, sample_id: str, labels: list[fo.Detection], reason: str | None) -> ImageRecord:
        """For the ledger only: nothing is written for such a sample."""
        faces = [FaceRecord((0, 0, 0, 0), 1.0, "", _value(label, "action") or fields.PENDING, "", 0) for label in labels]
        return ImageRecord(sample_id, UNCHANGED, "", reason=reason, faces=[face for face in faces if face.action != fields.PENDING])


def _recorded_face(label: fo.Detection, size: tuple[int, int]) -> Face:
    """A face as the run had it that found it: its landmarks are placed again, from the same box."""
    x, y, width, height = label.bounding_box
    box = (_exact(x * size[0]), _exact(y * size[1]), _exact((x + width) * size[0]), _exact((y + height) * size[1]))
    drawn = is_unhandled(label) or _value(label, "missed") is True
    detector = "user" if drawn else _value(label, "detector") or "user"
    score = 1.0 if label.confidence is None else label.confidence
    return Face(box, score, detector=detector, key=label.id, keep=_value(label, "action") == "kept")


def _exact(value: float) -> float:
    """A pixel position without the rounding error of a relative box: detectors give 32-bit numbers, whose bits seeds depend on."""
    single = float(np.float32(value))
    return single if abs(single - value) < 1e-9 else value


def _value(label: fo.Detection, name: str) -> Any:
    return label[name] if label.has_field(name) else None
