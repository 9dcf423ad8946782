"""How far a run is, and what it adds up to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from fo_faceanon.records import ImageRecord, RunReport


@dataclass(frozen=True, slots=True)
class Step:
    """How far a run is: ``done`` of ``total`` images, and the record of the last one."""

    done: int
    total: int
    record: ImageRecord


class Ledger:
    """The exposure ledger, counted as records come: memory does not grow with the dataset."""

    def __init__(self) -> None:
        self.images: Counter[str] = Counter()
        self._faces: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._found = 0

    def add(self, record: ImageRecord) -> None:
        one = RunReport.from_records("", "", [record])
        self.images.update(one.images)
        self._faces.update(one.faces)
        self._reasons.update(one.reasons)
        self._found += one.faces_found

    def report(self, key: str, method: str, seconds: float) -> RunReport:
        return RunReport(key, method, dict(self.images), dict(self._faces), self._found, dict(self._reasons), seconds)
