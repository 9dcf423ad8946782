"""Commands that hand over to another part: what they pass on, what they print, and their exit codes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from fo_faceanon.cli import app
from fo_faceanon.doctor import Check
from fo_faceanon.donors import bank, build
from fo_faceanon.errors import InputError
from fo_faceanon.records import RunReport
from fo_faceanon.registry import parse_dials


def invoke(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


class Calls:
    """Records the arguments it is called with, and returns a value."""

    def __init__(self, value: object) -> None:
        self.value = value
        self.args: tuple = ()
        self.kwargs: dict = {}

    def __call__(self, *args: object, **kwargs: object) -> object:
        self.args, self.kwargs = args, kwargs
        return self.value


@pytest.mark.parametrize(("images", "code"), [({"ok": 2}, 0), ({"ok": 1, "needs_review": 1}, 4), ({"failed": 1, "needs_review": 1}, 3)])
def test_anonymize_a_dataset(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, images: dict[str, int], code: int) -> None:
    calls = Calls(RunReport("key", "mask", images, {"generated": 2}, 2))
    monkeypatch.setitem(sys.modules, "fo_faceanon.host.runner", SimpleNamespace(anonymize=calls))
    result = invoke(
        "anonymize", "fiftyone:people", tmp_path, "--method", "mask", "--seed", 4, "--restart", "--dial", "shape=0.25", "--json"
    )
    assert result.exit_code == code
    values = json.loads(result.stdout)
    assert values["images"] == images and values["dataset"] == "people" and values["exit_code"] == code
    assert calls.args == ("people", "mask")
    assert calls.kwargs["overwrite"] and calls.kwargs["output_dir"] == tmp_path and calls.kwargs["seed"] == 4
    assert calls.kwargs["shape"] == 0.25 and "bandwidth" not in calls.kwargs and "workers" not in calls.kwargs
    assert invoke("anonymize", "fiftyone:people", "--same-names").exit_code == 2


@pytest.mark.parametrize(("withheld", "code"), [({}, 0), ({"not reviewed": 3}, 4)])
def test_export(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, withheld: dict[str, int], code: int) -> None:
    calls = Calls(SimpleNamespace(to_dict=lambda: {"exported": 5, "withheld": withheld}))
    monkeypatch.setitem(sys.modules, "fo_faceanon.host.export", SimpleNamespace(export_safe_split=calls))
    result = invoke(
        "export", "fiftyone:people", tmp_path, "--type", "ImageDirectory", "--dry-run", "--label-field", "a", "--label-field", "b", "--json"
    )
    assert result.exit_code == code and json.loads(result.stdout)["withheld"] == withheld
    assert calls.args == ("people", tmp_path)
    assert calls.kwargs["dataset_type"] == "ImageDirectory" and calls.kwargs["dry_run"] and calls.kwargs["label_fields"] == ["a", "b"]
    assert "exported: 5" in invoke("export", "fiftyone:people", tmp_path).stdout


@pytest.mark.parametrize(("ok", "code"), [(True, 0), (None, 0), (False, 1)])
def test_doctor(monkeypatch: pytest.MonkeyPatch, ok: bool | None, code: int) -> None:
    monkeypatch.setattr("fo_faceanon.doctor.diagnose", lambda database: [Check("database", ok, f"database {database}", "a fix")])
    assert invoke("doctor").exit_code == code
    result = invoke("doctor", "--no-database", "--json")
    assert result.exit_code == code and json.loads(result.stdout)[0]["detail"] == "database False"


def test_demo_and_plugin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls = Calls({"sheet": "sheet.png"})
    monkeypatch.setitem(sys.modules, "fo_faceanon.demo", SimpleNamespace(run_demo=calls))
    monkeypatch.setitem(sys.modules, "fo_faceanon.host.plugin", SimpleNamespace(install=lambda: tmp_path))
    assert json.loads(invoke("demo", "--out", tmp_path, "--json").stdout) == {"sheet": "sheet.png"}
    assert calls.args == (tmp_path,) and calls.kwargs["app"] is False
    assert str(tmp_path) in invoke("plugin", "install").stdout.replace("\n", "")


def test_bank(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def render(out: Path, size: int, candidates: int, seed: int, progress: Any, like: Path | None) -> Path:
        assert like == tmp_path
        progress(1, candidates, "rendering")
        progress(size, size, "choosing")
        return out

    monkeypatch.setattr(build, "build_bank", render)
    result = invoke("bank", "build", "--out", tmp_path, "--size", 3, "--candidates", 9, "--like", tmp_path)
    assert result.exit_code == 0 and result.stdout.replace("\n", "").endswith(str(tmp_path))
    monkeypatch.setattr(
        bank, "DonorBank", lambda folder: type("Bank", (), {"folder": folder, "card": {"donors": 3}, "__len__": lambda self: 6})()
    )
    assert json.loads(invoke("bank", "info", tmp_path, "--json").stdout) == {"folder": str(tmp_path), "rows": 6, "donors": 3}


def test_weights_get(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def get(name: str, progress: Any) -> Path:
        progress(1, 2)
        return tmp_path / name

    monkeypatch.setattr("fo_faceanon.weights.get_weight", get)
    result = invoke("weights", "get", "yunet", "bisenet")
    assert result.exit_code == 0 and "MIT" in result.stderr
    assert [Path(line).name for line in result.stdout.split()] == ["yunet", "bisenet"]


@pytest.mark.parametrize("text", ["shape", "=1", "shape="])
def test_a_dial_without_a_value_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "in").mkdir()
    result = invoke("anonymize", tmp_path / "in", tmp_path / "out", "--dial", text)
    assert isinstance(result.exception, InputError) and "name=value" in str(result.exception)


def test_dials_are_numbers_or_text() -> None:
    assert parse_dials(["shape=0.5", "k=2", "light=none"]) == {"shape": 0.5, "k": 2, "light": "none"}
