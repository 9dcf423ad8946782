"""The whole evaluation: pairs of pictures in, figures out."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fo_faceanon import __version__
from fo_faceanon.devices import resolve_device
from fo_faceanon.evaluation.collect import Collected
from fo_faceanon.evaluation.distributions import distributions, worst_faces
from fo_faceanon.evaluation.figures import FIGURES, RECOGNISERS, Figure
from fo_faceanon.evaluation.groups import group_figures, worst_ratios
from fo_faceanon.evaluation.judges import judges_of
from fo_faceanon.evaluation.measure import MeasureSetup, PairTask, Row, make_measure
from fo_faceanon.evaluation.meters import missing_weights
from fo_faceanon.evaluation.radar import radar_scores
from fo_faceanon.evaluation.summary import figures_of, impostors_of, mark_nearest, withheld_reasons
from fo_faceanon.judging.judged import default_workers, note_fault
from fo_faceanon.judging.pairs import Pair, Pairing
from fo_faceanon.judging.processes import map_processes
from fo_faceanon.metrics.expression import confusion
from fo_faceanon.recognition import available_recognisers
from fo_faceanon.recognition.recognisers import recogniser_spec
from fo_faceanon.records import FaceRecord
from fo_faceanon.steps import drain

#: Changes with the meaning of the JSON.
FORMAT = 1
#: Pictures whose noise floor is measured, each on its first face.
FLOOR_PICTURES = 200
#: Names listed per problem.
_NAMES = 50
#: What is given by group, beside the recognisers' figures.
_BY_GROUP = (
    *("detected", "landmark_error", "landmark_error_mesh", "head_pose_error", "expression_error", "emotion_kept"),
    *("si_mse", "shading_sine", "delta_e", "tone_delta_e"),
)


@dataclass(frozen=True, slots=True)
class EvaluationStep:
    """How far an evaluation is: ``done`` of ``total`` pairs, the last one's key, and its rows (none where it had a problem)."""

    done: int
    total: int
    key: str
    rows: Sequence[Row]


@dataclass(slots=True)
class Evaluation:
    """What an anonymizer kept and gave away.

    Args:
        figures: every figure of `figures.FIGURES`.
        rows: one dictionary per face: ``key`` and ``number`` (which face of its picture), ``person``, ``box`` (x0, y0, x1, y1 on the
            original), ``groups``, ``emotion`` and ``emotion_anonymized``, and every figure that a face has (shares as true or
            false); None where it could not be measured.
        counts: pictures, pairs, faces.
        problems: reason to names.
        details: everything else of the JSON.
    """

    figures: dict[str, Figure]
    rows: list[Row]
    counts: dict[str, int]
    problems: dict[str, list[str]]
    details: dict[str, Any] = field(default_factory=dict)

    def to_dict(self, rows: bool = False) -> dict[str, Any]:
        """The JSON document; with a row for each face on demand."""
        values = {
            "format": FORMAT,
            "version": __version__,
            **self.details,
            "counts": self.counts,
            "problems": {reason: {"count": len(names), "names": names[:_NAMES]} for reason, names in self.problems.items()},
            "figures": {name: figure.to_dict() for name, figure in self.figures.items()},
        }
        return {**values, "rows": self.rows} if rows else values


def evaluate_pairs(pairs: Pairing | Sequence[Pair], *, progress: Callable[[int, int], None] | None = None, **settings: Any) -> Evaluation:
    """Measures what anonymized pictures kept and gave away, whoever made them.

    The result does not depend on the number of processes. What cannot be measured is counted, never left out in silence.

    Args:
        pairs: what :func:`~fo_faceanon.judging.pairs.pair_folders` gave, or pairs alone.
        progress: called with ``done, total``.
        **settings: see :func:`evaluate_steps`.

    Raises:
        InputError: there is no such recogniser or device.
        WeightsError: a recogniser's weights are missing.
    """
    return drain(evaluate_steps(pairs, **settings), progress and (lambda step: progress(step.done, step.total)))


def evaluate_steps(
    pairs: Pairing | Sequence[Pair],
    *,
    device: str = "auto",
    workers: int | None = None,
    main_face_only: bool = False,
    recognisers: Sequence[str] | None = None,
    cache: Path | None = None,
    floor: bool = True,
    limit: int | None = None,
    faces: Mapping[str, Sequence[FaceRecord]] | None = None,
) -> Generator[EvaluationStep, None, Evaluation]:
    """:func:`evaluate_pairs` as a generator: one step per pair, the evaluation as its return value. Closing it ends the processes.

    Args:
        pairs: see :func:`evaluate_pairs`.
        device: ``auto``, ``cpu``, ``cuda``, ...
        workers: processes; by default one per core (on a GPU at most six).
        main_face_only: only the largest, most central face of each original.
        recognisers: names; by default all whose weights are here.
        cache: a folder that keeps what the judge saw on originals.
        floor: whether the meter's noise is measured too, on the originals re-encoded, on at most 200 faces.
        limit: only the first so many pairs.
        faces: known faces of the originals by the pair's key, in place of the judge's; those without landmarks cannot be measured.
    """
    started = time.perf_counter()
    pairing = pairs if isinstance(pairs, Pairing) else Pairing(list(pairs))
    names = tuple(available_recognisers() if recognisers is None else recognisers)
    for name in names:
        recogniser_spec(name)
    missing = missing_weights()
    setup = MeasureSetup(names, resolve_device(device), main_face_only, cache)
    tasks = _tasks(pairing.pairs[:limit], floor, faces)
    problems = {reason: list(listed) for reason, listed in pairing.problems.items()}
    collected = yield from _measure(tasks, setup, default_workers(setup.device, workers), problems)
    with torch.inference_mode():
        evaluation = _evaluation(collected, names, missing, problems)
    evaluation.counts |= {"pictures": pairing.originals, "paired": len(pairing.pairs), "tried": len(tasks)}
    evaluation.details |= {
        "original": pairing.original.name if pairing.original else "",  # a path would tell more than a report should
        "anonymized": pairing.anonymized.name if pairing.anonymized else "",
        "seconds": round(time.perf_counter() - started, 1),
    }
    return evaluation


def _tasks(pairs: Sequence[Pair], floor: bool, faces: Mapping[str, Sequence[FaceRecord]] | None) -> list[PairTask]:
    """The floor's pictures are spread evenly over all."""
    chosen = set(np.linspace(0, len(pairs) - 1, min(len(pairs), FLOOR_PICTURES)).astype(int).tolist()) if floor else set()
    return [PairTask(pair, i in chosen, None if faces is None else tuple(faces.get(pair.key, ()))) for i, pair in enumerate(pairs)]


def _measure(
    tasks: Sequence[PairTask], setup: MeasureSetup, workers: int, problems: dict[str, list[str]]
) -> Generator[EvaluationStep, None, Collected]:
    collected = Collected()
    results = map_processes(make_measure, setup, tasks, workers)
    for done, (task, result) in enumerate(zip(tasks, results, strict=True), 1):
        if isinstance(result, Exception):
            note_fault(problems, task.pair, result)
        else:
            collected.add(result)
        yield EvaluationStep(done, len(tasks), task.pair.key, () if isinstance(result, Exception) else result.anonymized.rows)
    return collected


def _evaluation(collected: Collected, recognisers: tuple[str, ...], missing: dict[str, str], problems: dict[str, list[str]]) -> Evaluation:
    mark_nearest(collected)
    made = collected.anonymized
    impostors = impostors_of(made)
    figures = figures_of(collected, impostors, withheld_reasons(missing, recognisers))
    groups = group_figures([row.get("groups", {}) for row in made.rows], _columns(collected, figures), collected.clusters)
    undetected = sum(not row["detected"] for row in made.rows)
    details = {
        "created": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "judges": judges_of(recognisers, missing),
        "groups": groups,
        "worst_ratio": worst_ratios(groups, figures),
        "distributions": distributions(collected, impostors),
        "radar": radar_scores(figures),
        "worst": worst_faces(collected),
        "emotion": _emotion(collected, missing.get("emotion")),
    }
    counts = {"measured": collected.pictures, "faces": len(made.rows), "undetected": undetected, "floor": len(collected.floor.rows)}
    return Evaluation(figures, made.rows, counts, problems, details)


def _columns(collected: Collected, figures: Mapping[str, Figure]) -> dict[str, np.ndarray]:
    """The values of the figures that are given by group; those withheld for all are left out."""
    judged = [f"{kind}_{name.replace('-', '_')}" for kind in ("reidentified", "cosine") for name in RECOGNISERS]
    wanted = {*_BY_GROUP, *judged}
    names = [spec.name for spec in FIGURES if spec.name in wanted and figures[spec.name].value is not None]
    return {name: collected.anonymized.column(name) for name in names}


def _emotion(collected: Collected, withheld: str | None) -> dict[str, Any]:
    """Which emotion became which by our network, and how often that network is right by its card."""
    if withheld is not None:
        return {"names": [], "confusion": [], "accuracy": None, "withheld": withheld}
    from fo_faceanon import emotion

    parts = collected.anonymized.emotions
    before, after = (torch.from_numpy(np.concatenate([np.zeros((0, 7), np.float32), *(pair[i] for pair in parts)])) for i in (0, 1))
    return {
        "names": list(emotion.EMOTIONS),
        "confusion": confusion(after, before).tolist(),
        "accuracy": emotion.ACCURACY,
    }
