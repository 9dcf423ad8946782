"""What only shows in processes of their own: a killed run, two at once, no database."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import fiftyone as fo
import pytest
from host_tools import FAST, make_dataset

from fo_faceanon.errors import HostError
from fo_faceanon.host.runner import anonymize

_RUN = """
import sys
sys.path.insert(0, {tests!r})
from host_tools import FAST
from fo_faceanon.errors import FaceAnonError
from fo_faceanon.host import writer
from fo_faceanon.errors import HostError
from fo_faceanon.host.runner import anonymize
writer._MAX_RECORDS = 2
try:
    print(anonymize({name!r}, **{{**FAST, "factory": "host_tools:SlowAnonymizer", "batch_size": 1}}, output_dir={out!r}).images)
except FaceAnonError as error:
    print("refused:", error)
"""


def start(dataset_name: str, out: Path, **environment: str) -> subprocess.Popen[str]:
    code = _RUN.format(tests=str(Path(__file__).parents[1]), name=dataset_name, out=str(out))
    return subprocess.Popen([sys.executable, "-c", code], env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True)


def outputs(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def wait_for(dataset: fo.Dataset, count: int) -> None:
    for _ in range(600):
        dataset.reload()
        if dataset.has_field("faceanon") and dataset.values("faceanon.status").count("ok") >= count:
            return
        time.sleep(0.1)
    pytest.fail("the other process made no progress")


def test_killed_and_run_again(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "in", ["face"] * 12)
    dataset.persistent = True
    try:
        process = start(dataset.name, tmp_path / "out")
        wait_for(dataset, 2)
        with pytest.raises(HostError, match="another run is anonymizing"):
            anonymize(dataset, **FAST, output_dir=tmp_path / "out")
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert None in dataset.values("faceanon.status")
        report = anonymize(dataset, **FAST, output_dir=tmp_path / "out")  # the dead run's lock is taken over
        assert report.images == {"ok": 12}
        resumed = outputs(tmp_path / "out")
        assert len(resumed) == 12
        anonymize(dataset, **FAST, output_dir=tmp_path / "out", overwrite=True)
        assert outputs(tmp_path / "out") == resumed
    finally:
        dataset.persistent = False


def test_no_database(tmp_path: Path) -> None:
    process = start("any", tmp_path, FIFTYONE_DATABASE_URI="mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=300")
    answer = process.communicate(timeout=120)[0]
    assert "refused: FiftyOne's database cannot be reached" in answer and "fo-faceanon doctor" in answer
