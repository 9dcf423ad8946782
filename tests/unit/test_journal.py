"""The journal vouches only for what is there, survives torn writes, and refuses what does not fit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fo_faceanon.errors import OutputError
from fo_faceanon.images import file_sha256
from fo_faceanon.journal import Journal, RunLock, discard
from fo_faceanon.records import FaceRecord, ImageRecord


def done(folder: Path, key: str, status: str = "ok") -> ImageRecord:
    """A record whose files exist."""
    source, output = folder / f"{key}.in", folder / f"{key}.out"
    source.write_text(f"in {key}")
    output.write_text(f"out {key}")
    faces = [FaceRecord((1.0, 2.0, 3.0, 4.0), 0.5, "user", "generated", "mask", 3)]
    hashes = {"source_sha256": file_sha256(source), "output_sha256": file_sha256(output)}
    return ImageRecord(key, status, "mask", output=str(output), faces=faces, **hashes)


def test_what_is_done_is_vouched_for(tmp_path: Path) -> None:
    record = done(tmp_path, "a")
    with Journal(tmp_path / "j", {"seed": 1}) as journal:
        journal.append(record)
    with Journal(tmp_path / "j", {"seed": 1}) as journal:
        assert journal.vouched("a", tmp_path / "a.in") == record
        assert journal.vouched("b", tmp_path / "a.in") is None
        assert journal.resumed == 1


@pytest.mark.parametrize("fault", ["output changed", "output gone", "source changed", "source gone", "failed"])
def test_what_changed_is_not(tmp_path: Path, fault: str) -> None:
    record = done(tmp_path, "a", "failed" if fault == "failed" else "ok")
    with Journal(tmp_path / "j", {}) as journal:
        journal.append(record)
        file = tmp_path / ("a.out" if fault.startswith("output") else "a.in")
        if fault.endswith("changed"):
            file.write_text("other")
        elif fault.endswith("gone"):
            file.unlink()
        assert journal.vouched("a", tmp_path / "a.in") is None


def test_the_last_record_of_a_key_counts(tmp_path: Path) -> None:
    record = done(tmp_path, "a")
    with Journal(tmp_path / "j", {}) as journal:
        journal.append(record)
        journal.append(ImageRecord("a", "failed", "mask", reason="gone bad"))
        assert [r.status for r in journal] == ["failed"]
    with Journal(tmp_path / "j", {}) as journal:
        assert journal.vouched("a", tmp_path / "a.in") is None


def test_a_journal_cut_anywhere_loses_only_the_end(tmp_path: Path) -> None:
    records = [done(tmp_path, key) for key in "abc"]
    with Journal(tmp_path / "j", {"seed": 1}) as journal:
        for record in records:
            journal.append(record)
    path = tmp_path / "j" / "journal-00000.jsonl"
    whole = path.read_bytes()
    for length in range(0, len(whole), 37):
        path.write_bytes(whole[:length])
        kept = max(whole[:length].count(b"\n") - 1, 0)
        with Journal(tmp_path / "j", {"seed": 1}) as journal:
            assert [record.key for record in journal] == list("abc")[:kept]
            journal.append(records[2])
        with Journal(tmp_path / "j", {"seed": 1}) as journal:
            assert journal.vouched("c", tmp_path / "c.in") == records[2]


def test_a_damaged_line_costs_its_image_only(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", {}) as journal:
        for key in "abc":
            journal.append(done(tmp_path, key))
    path = tmp_path / "j" / "journal-00000.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = b"\0" * (len(lines[2]) - 1) + b"\n"
    path.write_bytes(b"".join(lines))
    with Journal(tmp_path / "j", {}) as journal:
        assert [record.key for record in journal] == ["a", "c"]


def test_another_configuration_is_refused_in_words(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", {"method": "blur", "seed": 1}) as journal:
        journal.append(done(tmp_path, "a"))
    with pytest.raises(OutputError, match=r"method was 'blur' and is 'mask'.*--restart"):
        Journal(tmp_path / "j", {"method": "mask", "seed": 1})


def test_a_run_that_did_nothing_binds_nobody(tmp_path: Path) -> None:
    Journal(tmp_path / "j", {"method": "blr"}).close()
    with Journal(tmp_path / "j", {"method": "blur"}) as journal:
        journal.append(done(tmp_path, "a"))
    with Journal(tmp_path / "j", {"method": "blur"}) as journal:
        assert journal.vouched("a", tmp_path / "a.in") is not None


def test_shards_share_a_folder(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", {}, shard=0) as one, Journal(tmp_path / "j", {}, shard=1) as two:
        one.append(done(tmp_path, "a"))
        two.append(done(tmp_path, "b"))
    with Journal(tmp_path / "j", {}, shard=2) as journal:
        assert {record.key for record in journal} == {"a", "b"}
        assert journal.vouched("b", tmp_path / "b.in")


def test_discard_removes_only_what_the_journal_names_below_the_output(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    inside, foreign = done(tmp_path / "out", "a"), tmp_path / "out" / "mine.txt"
    foreign.write_text("keep")
    outside = done(tmp_path, "b")
    with Journal(tmp_path / "j", {}) as journal:
        journal.append(inside)
        journal.append(outside)
    assert discard(tmp_path / "j", tmp_path / "out") == 1
    assert not Path(inside.output).exists() and foreign.exists() and Path(outside.output).exists()
    assert not list((tmp_path / "j").glob("*.jsonl"))


def test_a_journal_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "j").write_text("a file")
    with pytest.raises(OutputError, match="cannot write the journal"):
        Journal(tmp_path / "j", {})


HOLD = """
import sys
from pathlib import Path
from fo_faceanon.journal import RunLock
with RunLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_lock_holds_against_a_live_run_and_not_against_a_killed_one(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"held\n"
        with pytest.raises(OutputError, match=f"another run .process {other.pid} on"), RunLock(path):
            pass
        other.kill()
        other.wait()
        with RunLock(path):
            assert str(other.pid) not in path.read_text()
    with RunLock(path):
        pass


def test_records_are_plain_json(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", {"b": 1, "a": 2}) as journal:
        journal.append(done(tmp_path, "ä"))
    lines = (tmp_path / "j" / "journal-00000.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["configuration"] == {"a": 2, "b": 1}
    assert json.loads(lines[1])["key"] == "ä"
