"""``fa.evaluate``: per-face and per-sample figures into the dataset, and the evaluation of the whole."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import fiftyone as fo
from fiftyone.core.collections import SampleCollection

from fo_faceanon.errors import HostError, OutputError
from fo_faceanon.evaluation.run import EvaluationStep
from fo_faceanon.evaluation.run import evaluate_steps as measure_steps
from fo_faceanon.host.fields import STATUS, is_ours
from fo_faceanon.host.figure_fields import Row, declare_figures, set_verdicts, write_figures
from fo_faceanon.host.lock import DatasetLock
from fo_faceanon.host.pairs import Compared, comparable, read_pairs
from fo_faceanon.host.session import database_errors, require_images, root_dataset, sample_ids
from fo_faceanon.host.views import save_change_views
from fo_faceanon.judging.pairs import Pairing
from fo_faceanon.steps import drain

__all__ = ["EvaluationStep", "comparable", "evaluate", "evaluate_steps"]

#: Samples whose figures are written at once.
_CHUNK = 32


def evaluate(samples: SampleCollection | str, *, progress: Callable[[int, int], None] | None = None, **settings: Any) -> dict[str, Any]:
    """Compares every anonymized sample with its original.

    Writes every figure of :data:`fo_faceanon.evaluation.figures.FIGURES` that a face has by itself into its label, with ``emotion``
    and ``emotion_anonymized``; the worst face's into the ``faceanon`` document; and saves views of what changed
    (:func:`fo_faceanon.host.views.save_change_views`).

    Args:
        samples: a dataset, a view, or a dataset's name; samples without anonymized media are counted, not measured.
        progress: called with ``done, total``.
        **settings: see :func:`evaluate_steps`.

    Returns:
        The JSON document of ``fo-faceanon evaluate --json``; pictures are named by their sample's id. ``counts`` holds
        ``pictures``, ``measured``, ``not_evaluated``, ``faces``, ``undetected``, ``kept`` (by consent: not measured) and
        ``without_landmarks``.

    Raises:
        HostError: the dataset cannot be used, was never anonymized, or another run works on it.
        InputError: there is no such device or recogniser.
        OutputError: the report cannot be written.
        WeightsError: a recogniser's weights are missing.
    """
    return drain(evaluate_steps(samples, **settings), progress and (lambda step: progress(step.done, step.total)))


def evaluate_steps(
    samples: SampleCollection | str,
    *,
    device: str = "auto",
    workers: int | None = None,
    recognisers: Sequence[str] | None = None,
    floor: bool = True,
    report: str | Path | None = None,
) -> Generator[EvaluationStep, None, dict[str, Any]]:
    """:func:`evaluate` as a generator: one step per picture, the document as its return value. What is measured is written as it comes.

    Args:
        samples: a dataset, a view, or a dataset's name.
        device: ``auto``, ``cpu``, ``cuda``, ...
        workers: processes; by default one per core.
        recognisers: names; by default all whose weights are here.
        floor: whether the meter's noise is measured too, on at most 200 originals re-encoded.
        report: path of an HTML report; it holds no pictures.
    """
    collection = require_images(samples)
    dataset = root_dataset(collection)
    if not is_ours(dataset, STATUS):
        raise HostError(f"the dataset '{dataset.name}' was not anonymized yet: run fo_faceanon.anonymize(dataset) first")
    if report is not None and not Path(report).expanduser().parent.is_dir():
        raise OutputError(f"the report cannot be written to {report}: there is no such folder")
    with database_errors(), DatasetLock(dataset) as lock:  # a run that rewrites the labels must not come between
        ids = sample_ids(collection)
        declare_figures(dataset)
        save_change_views(dataset)
        found = read_pairs(dataset, ids)
        write_figures(dataset, {sample: [{}] * found.labels[sample] for listed in found.problems.values() for sample in listed})
        steps = measure_steps(Pairing(found.pairs), device=device, workers=workers, recognisers=recognisers, floor=floor, faces=found.faces)
        evaluation = yield from _written(dataset, found, steps, lock)
        _write_ranks(dataset, found, evaluation.rows)
    values = {**evaluation.to_dict(), "original": dataset.name, "anonymized": "anonymized pictures of the same samples"}
    values["counts"] |= _counts(found, ids, values["counts"]["measured"])
    values["problems"] = {**_listed(found.problems), **values["problems"]}
    if report is not None:
        from fo_faceanon.evaluation.report import write_report

        write_report(values, Path(report).expanduser())
    return values


def _written(
    dataset: fo.Dataset, found: Compared, steps: Generator[EvaluationStep, None, Any], lock: DatasetLock
) -> Generator[EvaluationStep, None, Any]:
    """Passes steps on and writes their rows, a few samples at a time; what is finished is kept where the run is stopped."""
    waiting: dict[str, list[Row]] = {}
    try:
        while True:
            try:
                step = next(steps)
            except StopIteration as stop:
                return stop.value
            waiting[step.key] = _placed(found, step.key, step.rows)
            if len(waiting) >= _CHUNK:
                lock.refresh()
                write_figures(dataset, waiting)
                waiting = {}
            yield step
    finally:
        steps.close()
        write_figures(dataset, waiting)


def _placed(found: Compared, sample: str, rows: Iterable[Row]) -> list[Row]:
    """A row for every label of a sample: empty for those that were not measured."""
    placed: list[Row] = [{}] * found.labels[sample]
    for place, row in zip(found.places[sample], rows, strict=False):  # a picture with a problem has no rows
        placed[place] = row
    return placed


def _write_ranks(dataset: fo.Dataset, found: Compared, rows: Iterable[Mapping[str, Any]]) -> None:
    """Whose original is the nearest is known only when all are measured."""
    by_sample: dict[str, list[Row]] = {}
    for row in rows:
        by_sample.setdefault(row["key"], []).append(row)
    samples = list(by_sample)
    for start in range(0, len(samples), _CHUNK):
        set_verdicts(dataset, {sample: _placed(found, sample, by_sample[sample]) for sample in samples[start : start + _CHUNK]}, "rank1_")


def _counts(found: Compared, ids: Sequence[str], measured: int) -> dict[str, int]:
    return {
        "pictures": len(ids),
        "not_evaluated": len(ids) - measured,
        "kept": found.kept,
        "without_landmarks": found.unplaced,
    }


def _listed(problems: Mapping[str, Sequence[str]], most: int = 50) -> dict[str, Any]:
    return {reason: {"count": len(names), "names": list(names[:most])} for reason, names in problems.items()}
