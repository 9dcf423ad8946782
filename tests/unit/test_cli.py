"""The command line: exit codes, names, refusals, JSON, and that a killed run ends as if it had never been."""

from __future__ import annotations

import csv
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from engine_fakes import write_images
from test_engine import tree
from typer.testing import CliRunner

from fo_faceanon.cli import app
from fo_faceanon.commands.names import list_files, neutral_names
from fo_faceanon.errors import OutputError
from fo_faceanon.images import metadata_residue
from fo_faceanon.journal import RunLock

SCRIPT = str(Path(__file__).parent / "fake_cli.py")


def start(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, SCRIPT, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(*arguments: object) -> tuple[int, str, str]:
    process = start(*arguments)
    out, err = process.communicate(timeout=100)
    return process.returncode, out, err


def anonymize(tmp_path: Path, *arguments: object, out: str = "out") -> tuple[int, dict, str]:
    code, stdout, err = run("anonymize", tmp_path / "in", tmp_path / out, "--json", "--workers", 2, *arguments)
    return code, json.loads(stdout), err


def wait_until(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Waits for something that a process does while it runs."""
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)


def make_input(tmp_path: Path, marked: tuple[int, ...] = ()) -> Path:
    write_images(tmp_path / "in" / "anna", 3, marked)
    write_images(tmp_path / "in" / "anna" / "holiday", 2, suffix=".jpg")
    (tmp_path / "in" / ".hidden").write_text("not listed")
    return tmp_path / "in"


def test_a_folder_with_neutral_names(tmp_path: Path) -> None:
    make_input(tmp_path)
    code, report, _ = anonymize(tmp_path)
    assert code == 0 and report["exit_code"] == 0
    assert report["images"] == {"ok": 5} and report["faces"] == {"generated": 5} and report["adds_up"]
    written = tree(tmp_path / "out")
    assert len(written) == 5 and {Path(name).suffix for name in written} == {".png", ".jpg"}
    for name in written:
        assert not any(word in name for word in ("anna", "holiday", "p00"))
        assert metadata_residue(tmp_path / "out" / name) == []
    assert {len(Path(name).parts) for name in written} == {2, 3}
    rows = list(csv.DictReader((tmp_path / "out.faceanon" / "mapping.csv").open()))
    assert {row["source"]: row["output"] in written for row in rows}["anna/holiday/p000.jpg"]
    assert b"anna" not in b"".join(written.values())


def test_same_names_on_request(tmp_path: Path) -> None:
    make_input(tmp_path)
    code, _, _ = anonymize(tmp_path, "--same-names")
    assert code == 0
    assert sorted(tree(tmp_path / "out")) == sorted(list_files(tmp_path / "in"))


def test_exit_codes_for_failures_and_reviews(tmp_path: Path) -> None:
    make_input(tmp_path, marked=(1,))
    assert anonymize(tmp_path, "--method", "filled", out="review")[:1] == (4,)
    (tmp_path / "in" / "note.txt").write_text("no image")
    code, report, _ = anonymize(tmp_path, "--method", "filled", out="both")
    assert code == 3 and report["images"] == {"failed": 1, "needs_review": 1, "ok": 4}
    problems = {problem["image"]: problem["reason"] for problem in report["problems"]}
    assert "not an image" in problems["note.txt"] and len(tree(tmp_path / "both")) == 5


def test_running_again_does_nothing_and_restart_begins_again(tmp_path: Path) -> None:
    make_input(tmp_path)
    anonymize(tmp_path)
    first = tree(tmp_path / "out")
    code, report, _ = anonymize(tmp_path)
    assert code == 0 and report["resumed"] == 5 and report["images"] == {"ok": 5} and report["faces_found"] == 5
    code, report, err = anonymize(tmp_path, "--seed", 3)
    assert code == 1 and "seed was 0 and is 3" in report["error"] and "--restart" in err
    assert tree(tmp_path / "out") == first
    code, report, _ = anonymize(tmp_path, "--seed", 3, "--restart")
    assert code == 0 and report["resumed"] == 0 and sorted(tree(tmp_path / "out")) == sorted(first)


def test_refusals_write_nothing(tmp_path: Path) -> None:
    source = make_input(tmp_path)
    before = tree(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    cases = {
        (source, source / "out"): "lies within",
        (source / "anna", source): "lies within",
        (source, source): "lies within",
        (source, tmp_path / "full"): "is not empty",
        (tmp_path / "nowhere", tmp_path / "out"): "is not a folder",
        (tmp_path / "empty", tmp_path / "out"): "holds no files",
    }
    for (a, b), words in cases.items():
        code, _, err = run("anonymize", a, b)
        assert code == 1 and words in err and "Traceback" not in err
    assert run("anonymize", source)[0] == 2
    assert run("anonymize", source, tmp_path / "out", "--method", "no-weights")[0] == 1
    (tmp_path / "full" / "mine.txt").unlink()
    assert {name: data for name, data in tree(tmp_path).items() if ".faceanon" not in name} == before


def test_two_runs_at_once(tmp_path: Path) -> None:
    make_input(tmp_path)
    with RunLock(tmp_path / "out.faceanon" / "lock"):
        code, report, _ = anonymize(tmp_path)
        assert code == 1 and "another run" in report["error"] and not (tmp_path / "out").exists()
    assert anonymize(tmp_path)[0] == 0


def test_killed_at_any_moment_it_ends_as_if_never_interrupted(tmp_path: Path) -> None:
    write_images(tmp_path / "in", 12, marked=(3,), side=256)
    (tmp_path / "in" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    arguments = ("--same-names", "--batch-size", 1, "--method", "filled")
    began = time.perf_counter()
    code, whole, _ = anonymize(tmp_path, *arguments, out="whole")
    took = time.perf_counter() - began
    assert code == 3
    moments = random.Random(7)
    interrupted = 0
    for workers in (1, 2, 2, 2):
        process = start("anonymize", tmp_path / "in", tmp_path / "killed", "--workers", workers, *arguments)
        time.sleep(moments.uniform(0.3, 0.95) * took)
        interrupted += process.poll() is None
        process.kill()
        process.communicate()
    code, report, _ = anonymize(tmp_path, *arguments, out="killed")
    assert interrupted and code == 3
    assert tree(tmp_path / "killed") == tree(tmp_path / "whole")
    assert {name: report[name] for name in ("images", "faces", "faces_found")} == {
        name: whole[name] for name in ("images", "faces", "faces_found")
    }


def test_a_terminated_run_says_so_and_leaves_nothing_half_done(tmp_path: Path) -> None:
    write_images(tmp_path / "in", 80, side=128)
    process = start("anonymize", tmp_path / "in", tmp_path / "out", "--workers", 2, "--batch-size", 1)
    wait_until(lambda: list((tmp_path / "out").rglob("*.png")), process)
    process.terminate()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "resumes" in err and "Traceback" not in err
    assert not list((tmp_path / "out").rglob(".*"))


def test_neutral_names_are_stable_secret_and_mirror_the_tree(tmp_path: Path) -> None:
    rename = neutral_names(tmp_path / "key")
    again, other = neutral_names(tmp_path / "key"), neutral_names(tmp_path / "other")
    assert rename("a/b.jpg") == again("a/b.jpg") != other("a/b.jpg")
    assert rename("a/b.jpg").split("/")[0] == rename("a/c.jpg").split("/")[0] == rename("a")
    assert rename("x/b.jpg").split("/")[1] != rename("a/b.jpg").split("/")[1]
    assert (tmp_path / "key").stat().st_mode & 0o077 == 0
    (tmp_path / "key").write_bytes(b"short")
    with pytest.raises(OutputError, match="damaged"):
        neutral_names(tmp_path / "key")


def test_help_needs_no_networks() -> None:
    code = "import sys; from fo_faceanon import cli; print([m for m in ('torch', 'numpy', 'fiftyone', 'PIL') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    for command in ((), ("anonymize",), ("weights", "list"), ("bank", "build"), ("plugin", "install"), ("demo",), ("doctor",)):
        result = CliRunner().invoke(app, [*command, "--help"])
        assert result.exit_code == 0 and "Usage" in result.output


@pytest.mark.parametrize("arguments", ["nonsense", "anonymize", "anonymize a b --workers 0", "anonymize a b --seed x", "export folder out"])
def test_wrong_usage(arguments: str) -> None:
    assert CliRunner().invoke(app, arguments.split()).exit_code == 2
    code, _, err = run(*arguments.split()) if arguments == "nonsense" else (2, "", "Usage")
    assert code == 2 and "Usage" in err and "Traceback" not in err


@pytest.mark.parametrize("command", ["methods --json", "weights list --json", "weights licences", "--version"])
def test_lists(command: str) -> None:
    result = CliRunner().invoke(app, command.split())
    assert result.exit_code == 0
    assert not command.endswith("--json") or all("licence" in row for row in json.loads(result.output))
