"""The engine with a stand-in for the anonymizer: every path of it ends in a record, and in a file only where all checks pass."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from engine_fakes import FACTORY, write_images

from fo_faceanon.engine import Item, Options, run_items, stages, stream
from fo_faceanon.errors import FaceAnonError, InputError, OutputError, WeightsError
from fo_faceanon.faces import Face
from fo_faceanon.images import decode_image, encode_image, file_sha256
from fo_faceanon.journal import Journal
from fo_faceanon.records import RunReport


def options(method: str = "mask", **more: object) -> Options:
    return Options(method, **{"device": "cpu", "workers": 1, "factory": FACTORY, **more})


def items_of(paths: list[Path], output: Path) -> list[Item]:
    return [Item(path.stem, path, output / path.stem) for path in paths]


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def on_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sends CPU work through the path for accelerators."""
    monkeypatch.setattr("fo_faceanon.engine._runner", lambda options: stream.run_stream)


def test_records_and_files_agree(tmp_path: Path) -> None:
    paths = write_images(tmp_path / "in", 5)
    records = list(run_items(items_of(paths, tmp_path / "out"), options()))
    assert [record.key for record in records] == [path.stem for path in paths]
    for record, path in zip(records, paths, strict=True):
        assert record.status == "ok" and record.reason is None and all(record.checks.values())
        assert record.source_sha256 == file_sha256(path)
        assert record.output_sha256 == file_sha256(record.output)
        assert (record.width, record.height) == (48, 48)
        assert Path(record.output) == tmp_path / "out" / f"{path.stem}.png"
    report = RunReport.from_records("run", "mask", records)
    assert report.adds_up and report.faces == {"generated": 5}


@pytest.mark.parametrize("more", [{"batch_size": 1}, {"batch_size": 3}, {"workers": 2}, {"workers": 2, "batch_size": 1}])
def test_output_does_not_depend_on_workers_or_batches(tmp_path: Path, more: dict[str, int]) -> None:
    paths = write_images(tmp_path / "in", 7, suffix=".jpg")
    assert len(list(run_items(items_of(paths, tmp_path / "one"), options()))) == 7
    assert {record.status for record in run_items(items_of(paths, tmp_path / "two"), options(**more))} == {"ok"}
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_given_faces_reach_the_anonymizer(tmp_path: Path) -> None:
    (path,) = write_images(tmp_path / "in", 1)
    item = Item("a", path, tmp_path / "out" / "a", faces=(Face((2, 3, 10, 12)),))
    (record,) = run_items([item], options())
    changed = (decode_image(record.output).pixels != decode_image(path).pixels).any(-1)
    rows, columns = np.nonzero(changed)
    assert (columns.min(), rows.min(), columns.max(), rows.max()) == (2, 3, 9, 11)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("raise", "ValueError: boom"),
        ("leak", "outside of the masks"),
        ("unchanged", "original pixels"),
        ("recognised", "recognised as its original"),
        ("error", "could not be replaced"),
    ],
)
@pytest.mark.parametrize("accelerator", [False, True])
def test_one_bad_image_fails_closed_and_alone(
    tmp_path: Path, fault: str, reason: str, accelerator: bool, request: pytest.FixtureRequest
) -> None:
    if accelerator:
        request.getfixturevalue("on_accelerator")
    paths = write_images(tmp_path / "in", 6, marked=(2,))
    stale = tmp_path / "out" / "p002.jpg"
    stale.parent.mkdir()
    stale.write_bytes(b"an earlier output")
    records = {record.key: record for record in run_items(items_of(paths, tmp_path / "out"), options(fault))}
    bad = records.pop("p002")
    assert bad.status == "failed" and reason in bad.reason
    assert bad.output is None and bad.output_sha256 is None
    assert all(face.action == "failed" for face in bad.faces)
    assert all(record.status == "ok" for record in records.values()) and len(records) == 5
    assert sorted(tree(tmp_path / "out")) == sorted(f"{key}.png" for key in records)


def test_a_filled_face_needs_review(tmp_path: Path) -> None:
    paths = write_images(tmp_path / "in", 2, marked=(1,))
    records = list(run_items(items_of(paths, tmp_path / "out"), options("filled")))
    assert [record.status for record in records] == ["ok", "needs_review"]
    assert "1 of 1 faces could only be filled" in records[1].reason and Path(records[1].output).exists()


def test_bad_files_get_a_record_each(tmp_path: Path) -> None:
    good, short = write_images(tmp_path / "in", 2)
    short.write_bytes(short.read_bytes()[:60])
    empty, text = tmp_path / "in" / "empty.png", tmp_path / "in" / "text.png"
    empty.touch()
    text.write_text("no image")
    missing = tmp_path / "in" / "missing.png"
    items = items_of([short, empty, text, missing, good], tmp_path / "out")
    records = list(run_items(items, options()))
    assert [record.status for record in records] == ["failed"] * 4 + ["ok"]
    assert all(record.reason and str(tmp_path) not in record.reason for record in records[:4])
    assert len(tree(tmp_path / "out")) == 1


def test_weights_are_missed_before_the_first_image(tmp_path: Path) -> None:
    paths = write_images(tmp_path / "in", 2)
    for workers in (1, 2):
        with pytest.raises(WeightsError, match="weights get fake"):
            list(run_items(items_of(paths, tmp_path / "out"), options("no-weights", workers=workers)))
    assert not (tmp_path / "out").exists()


def test_an_image_that_kills_its_worker_twice_fails_and_nothing_hangs(tmp_path: Path) -> None:
    paths = write_images(tmp_path / "in", 9, marked=(4,))
    records = {r.key: r for r in run_items(items_of(paths, tmp_path / "out"), options("die", workers=2, batch_size=2))}
    assert sorted(records) == [path.stem for path in paths]
    assert records.pop("p004").reason.startswith("its worker process ended twice")
    assert all(record.status == "ok" for record in records.values())


def test_workers_that_never_start_end_the_run(tmp_path: Path) -> None:
    paths = write_images(tmp_path / "in", 2)
    with pytest.raises(FaceAnonError, match="die while they start"):
        list(run_items(items_of(paths, tmp_path / "out"), options("die-at-start", workers=2)))


def test_items_are_read_as_they_are_needed(tmp_path: Path) -> None:
    paths = write_images(tmp_path / "in", 1)
    read = 0

    def endless() -> Iterator[Item]:
        nonlocal read
        while True:
            read += 1
            yield Item(str(read), paths[0], tmp_path / "out" / str(read))

    for workers, most in ((1, 10), (2, 30)):
        read = 0
        records = run_items(endless(), options(workers=workers, batch_size=2))
        for _ in range(4):
            next(records)
        records.close()
        assert read <= most


def test_closing_ends_the_workers(tmp_path: Path) -> None:
    paths = write_images(tmp_path / "in", 20)
    before = children()
    records = run_items(items_of(paths, tmp_path / "out"), options(workers=2, batch_size=1))
    next(records)
    started = children() - before
    assert started
    records.close()
    assert not children() & started
    assert not list((tmp_path / "out").glob(".*"))


def children() -> set[int]:
    """Live child processes of this one."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid() and fields[0] != "Z":
            found.add(int(entry.parent.name))
    return found


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
def test_a_disk_that_takes_no_more_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    paths = write_images(tmp_path / "in", 6)
    replace, calls = os.replace, 0

    def full(source: str, target: str) -> None:
        nonlocal calls
        calls += 1
        if calls > 2:
            raise OSError(code, os.strerror(code))
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    done = []
    with pytest.raises(OutputError, match=r"cannot write .*"):
        done.extend(record.key for record in run_items(items_of(paths, tmp_path / "out"), options(batch_size=1)))
    monkeypatch.undo()
    assert sorted(tree(tmp_path / "out")) == ["p000.png", "p001.png"]


def test_out_of_memory_halves_the_batch(tmp_path: Path, on_accelerator: None) -> None:
    paths = write_images(tmp_path / "in", 12)
    records = list(run_items(items_of(paths, tmp_path / "out"), options("oom", batch_size=8, workers=2)))
    assert [record.status for record in records] == ["ok"] * 12


def test_shrinking_lasts(tmp_path: Path) -> None:
    limit = stream._Limit(8, 100)
    limit.shrink()
    limit.shrink()
    assert (limit.images, limit.pixels) == (2, 25)


def test_the_accelerator_path_writes_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = write_images(tmp_path / "in", 7)
    list(run_items(items_of(paths, tmp_path / "one"), options()))
    monkeypatch.setattr("fo_faceanon.engine._runner", lambda options: stream.run_stream)
    monkeypatch.setattr(stream, "_MAX_PIXELS", 48 * 48 * 2)
    records = list(run_items(items_of(paths, tmp_path / "two"), options(workers=3)))
    assert [record.key for record in records] == [path.stem for path in paths]
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_groups_keep_to_their_pixels(tmp_path: Path) -> None:
    sizes: list[int] = []

    class Counting:
        def __call__(self, images: list, faces: list) -> list:
            from engine_fakes import FakeAnonymizer

            sizes.append(len(images))
            return FakeAnonymizer("mask")(images, faces)

    paths = write_images(tmp_path / "in", 5)
    records = list(stages.process(items_of(paths, tmp_path / "out"), Counting(), "mask", max_pixels=2 * 48 * 48))
    assert sizes == [2, 2, 1] and len(records) == 5


def test_a_resumed_run_yields_all_records_and_does_only_the_rest(tmp_path: Path) -> None:
    paths = write_images(tmp_path / "in", 6)
    items = items_of(paths, tmp_path / "out")
    with Journal(tmp_path / "journal", {}) as journal:
        first = [record.to_dict() for record in run_items(items[:4], options(), journal)]
    (tmp_path / "out" / "p001.png").write_bytes(b"damaged")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    time.sleep(0.01)
    with Journal(tmp_path / "journal", {}) as journal:
        records = [record.to_dict() for record in run_items(items, options(), journal)]
        assert journal.resumed == 3
    records.sort(key=lambda record: record["key"])
    assert [record["key"] for record in records] == [item.key for item in items]
    assert [records[i] for i in (0, 2, 3)] == [first[i] for i in (0, 2, 3)]
    assert file_sha256(tmp_path / "out" / "p001.png") == first[1]["output_sha256"]
    redone = [path.name for path, old in times.items() if path.stat().st_mtime_ns != old]
    assert redone == ["p001.png"]


def test_suffixes(tmp_path: Path) -> None:
    kept = Item("a", Path("a.JPEG"), tmp_path / "a.JPEG", keep_suffix=True)
    assert stages.output_path(kept, "JPEG") == tmp_path / "a.JPEG"
    assert stages.output_path(kept, "PNG") == tmp_path / "a.JPEG.png"
    assert stages.output_path(Item("a", Path("a.b.gif"), tmp_path / "x.y"), "PNG") == tmp_path / "x.y.png"


@pytest.mark.parametrize("name", ["workers", "batch_size"])
def test_numbers_must_be_positive(name: str) -> None:
    with pytest.raises(InputError, match=f"{name} must be at least 1"):
        Options(**{name: 0})


def test_the_real_anonymizer_gives_the_same_bytes_in_any_process(tmp_path: Path) -> None:
    path = tmp_path / "astronaut.png"
    path.write_bytes(encode_image(skimage.data.astronaut()))
    face = (Face((180.0, 70.0, 275.0, 180.0)),)
    records = []
    for workers in (1, 2):
        item = Item("a", path, tmp_path / str(workers) / "a", faces=face)
        records += run_items([item], Options("blur", device="cpu", workers=workers))
    assert [record.status for record in records] == ["ok", "ok"]
    assert records[0].output_sha256 == records[1].output_sha256 != records[0].source_sha256
    assert records[0].faces == records[1].faces and records[0].faces[0].recognisers
