"""Anonymizes a folder of images into another folder."""

from __future__ import annotations

import csv
import io
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fo_faceanon import __version__
from fo_faceanon.commands.names import clean_temporaries, list_files, neutral_names, same_name
from fo_faceanon.engine import Item, Options, run_items
from fo_faceanon.errors import FaceAnonError, InputError, OutputError
from fo_faceanon.images import write_atomic
from fo_faceanon.journal import Journal, RunLock, discard
from fo_faceanon.records import ImageRecord, RunReport

_MAX_PROBLEMS = 100  # listed in the result; the journal has them all


@dataclass(slots=True)
class FolderResult:
    """What became of a folder."""

    report: RunReport
    journal: Path
    resumed: int = 0
    problems: list[dict[str, str | None]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class FolderJob:
    """A folder to anonymize.

    Args:
        source: the folder of originals.
        output: the folder to write; it must be empty, or hold what an earlier run of the same job wrote.
        options: how to anonymize.
        journal: folder of the journal, the mapping of names and their key; outside of both.
        same_names: keep names and tree; else both become neutral.
        restart: remove what an earlier run wrote, and begin again.
    """

    source: Path
    output: Path
    options: Options
    journal: Path
    same_names: bool = False
    restart: bool = False

    def run(self, progress: Callable[[ImageRecord], None], total: Callable[[int], None] = lambda count: None) -> FolderResult:
        """Does the job, resuming an earlier run of it.

        Args:
            progress: called with each image's record.
            total: called once with the number of files.

        Raises:
            InputError: the source is no folder, or the folders lie within each other.
            OutputError: the output cannot be written, is another's, or another run is writing it.
        """
        self._check_folders()
        count = sum(1 for _ in list_files(self.source))
        if not count:
            raise InputError(f"{self.source} holds no files; give the folder that holds the images")
        with RunLock(self.journal / "lock"):
            self._prepare_output()
            with Journal(self.journal, self._configuration()) as journal:
                total(count)
                return self._run(journal, progress)

    def _run(self, journal: Journal, progress: Callable[[ImageRecord], None]) -> FolderResult:
        start = time.perf_counter()
        result = FolderResult(RunReport("", self.options.method), self.journal)

        def records() -> Iterator[ImageRecord]:
            for record in run_items(self._items(), self.options, journal):
                if record.status in ("failed", "needs_review") and len(result.problems) < _MAX_PROBLEMS:
                    result.problems.append({"image": record.key, "status": record.status, "reason": record.reason})
                progress(record)
                yield record

        result.report = RunReport.from_records(self.output.name, self.options.method, records())
        result.report.seconds = round(time.perf_counter() - start, 3)
        if not result.report.adds_up:
            raise FaceAnonError(f"the counts of faces do not add up: {result.report.to_dict()}; this is a bug, please report it")
        result.resumed = journal.resumed
        clean_temporaries(self.output)  # of workers that were killed
        self._write_mapping(journal)
        return result

    def _items(self) -> Iterator[Item]:
        rename = same_name if self.same_names else neutral_names(self.journal / "names.key")
        for key in list_files(self.source):
            yield Item(key, self.source / key, self.output / rename(key), keep_suffix=self.same_names)

    def _configuration(self) -> dict[str, object]:
        names = "same" if self.same_names else "neutral"
        return {
            **self.options.configuration,
            "version": __version__,
            "source": str(self.source),
            "output": str(self.output),
            "names": names,
        }

    def _check_folders(self) -> None:
        if not self.source.is_dir():
            raise InputError(f"{self.source} is not a folder; give the folder that holds the images")
        for a, b in ((self.output, self.source), (self.source, self.output), (self.journal, self.source), (self.journal, self.output)):
            if a == b or b in a.parents:
                raise InputError(f"{a} lies within {b}; originals, results and the journal need folders apart from each other")
        if self.output.exists() and not self.output.is_dir():
            raise OutputError(f"{self.output} is not a folder; choose another output folder")
        if not any(self.journal.glob("journal-*.jsonl")) and self.output.is_dir() and any(self.output.iterdir()):
            raise OutputError(
                f"{self.output} is not empty, and {self.journal} holds no journal of an earlier run into it; choose a new folder"
            )

    def _prepare_output(self) -> None:
        try:
            if self.restart:
                discard(self.journal, self.output)
            self.output.mkdir(parents=True, exist_ok=True)
            if not os.access(self.output, os.W_OK):
                raise OutputError(f"{self.output} cannot be written to; choose a folder that you may write to")
            clean_temporaries(self.output)
        except OSError as error:
            raise OutputError(f"cannot use {self.output}: {error.strerror or error}") from error

    def _write_mapping(self, journal: Journal) -> None:
        """Which output is whose: for the owner of the originals only."""
        text = io.StringIO()
        rows = csv.writer(text)
        rows.writerow(("source", "output", "status"))
        for record in journal:
            written = Path(record.output).relative_to(self.output).as_posix() if record.output else ""
            rows.writerow((record.key, written, record.status))
        write_atomic(self.journal / "mapping.csv", text.getvalue().encode("utf-8", "surrogateescape"))
