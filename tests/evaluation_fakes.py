"""An evaluation that needs no network: every face gets figures by its number."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any

from fo_faceanon.evaluation.figures import FIGURES, Figure
from fo_faceanon.evaluation.run import Evaluation, EvaluationStep
from fo_faceanon.judging.pairs import Pairing
from fo_faceanon.records import FaceRecord


class FakeMeasure:
    """In place of `evaluation.run.evaluate_steps`: face ``k`` has an error of ``(k + 1) / 100``, and only the first is found.

    ``more``: by key, what its rows hold instead. ``broken``: keys that have a problem. ``faces``: what it was given.
    """

    def __init__(self) -> None:
        self.more: dict[str, dict[str, Any]] = {}
        self.broken: set[str] = set()
        self.faces: Mapping[str, Sequence[FaceRecord]] = {}
        self.settings: dict[str, Any] = {}
        self.closed = False

    def __call__(
        self, pairs: Pairing, *, faces: Mapping[str, Sequence[FaceRecord]], **settings: Any
    ) -> Generator[EvaluationStep, None, Evaluation]:
        self.faces, self.settings = faces, settings
        rows: list[dict[str, Any]] = []
        problems: dict[str, list[str]] = {}
        try:
            for done, pair in enumerate(pairs.pairs, 1):
                mine = [] if pair.key in self.broken else [self._row(pair.key, k) for k in range(len(faces[pair.key]))]
                rows += mine
                if pair.key in self.broken:
                    problems.setdefault("different sizes", []).append(pair.key)
                yield EvaluationStep(done, len(pairs.pairs), pair.key, mine)
        finally:
            self.closed = True
        for row in rows:
            row |= {spec.name: False for spec in FIGURES if spec.name.startswith("rank1_")}
        figures = {spec.name: Figure(None, len(rows), withheld="only a test") for spec in FIGURES}
        figures["reidentified_edgeface_s"] = Figure(1.5, len(rows), 0.5, 2.5)
        measured = len(pairs.pairs) - len(self.broken & {pair.key for pair in pairs.pairs})
        return Evaluation(figures, rows, {"measured": measured, "faces": len(rows), "undetected": 0}, problems, {"created": "today"})

    def _row(self, key: str, number: int) -> dict[str, Any]:
        row: dict[str, Any] = {spec.name: (number + 1) / 100 for spec in FIGURES if spec.per_face and not spec.name.startswith("rank1_")}
        row |= {spec.name: number == 0 for spec in FIGURES if spec.unit == "%" and spec.name in row}
        row |= {"emotion": "happiness", "emotion_anonymized": "neutral", "key": key, "number": number, "box": [0, 0, 9, 9]}
        return {**row, **self.more.get(key, {})}
