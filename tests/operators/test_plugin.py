"""The plugin, through FiftyOne's own registry and executor."""

from __future__ import annotations

import dataclasses
import importlib.util
import subprocess
import sys
from pathlib import Path

import fiftyone as fo
import fiftyone.operators as foo
import pytest
from fiftyone.operators.delegated import DelegatedOperationService
from host_tools import make_dataset
from plugin_tools import NAMES, context, errors, form, uri

from fo_faceanon import engine
from fo_faceanon.errors import HostError
from fo_faceanon.host import plugin


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every run uses the fill of the tests, in this process."""
    real = engine.run_items
    changes = {"factory": "host_tools:FillAnonymizer", "workers": 1}
    monkeypatch.setattr(engine, "run_items", lambda items, options: real(items, dataclasses.replace(options, **changes)))


@pytest.fixture
def dataset(tmp_path: Path) -> fo.Dataset:
    return make_dataset(tmp_path / "in", ["face", "face", "empty", "bad"])


def test_registered_without_errors() -> None:
    assert foo.OperatorRegistry().list_errors() == []
    assert [foo.operator_exists(uri(name)) for name in NAMES] == [True] * len(NAMES)
    listed = {o.name for o in foo.list_operators() if o.uri.startswith(plugin.NAME)}
    assert listed == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_form_resolves(dataset: fo.Dataset, name: str) -> None:
    assert form(dataset, name)
    operator = foo.get_operator(uri(name))
    operator.resolve_type(context(dataset, name, {"dry_run": True}), "outputs")


def test_anonymize_form_offers_what_there_is(dataset: fo.Dataset) -> None:
    assert "faces_field" not in form(dataset, "anonymize_faces")
    dataset.set_values("people", [fo.Detections(detections=[fo.Detection(label="x", consent=True, person="a")])] * 4, dynamic=True)
    params = {"faces_field": "people", "identity_mode": "consistent"}
    shown = form(dataset, "anonymize_faces", params)
    assert shown["faces_field"].type.values == ["people"]
    assert shown["keep_field"].type.values == ["consent"] and shown["person_field"].type.values == ["label", "person"]
    assert "donor" in shown["method"].type.values and "view_target" in shown
    assert "FACEANON_SALT" in errors(shown)[0]


def test_immediate_run_reports_progress(dataset: fo.Dataset) -> None:
    operator = foo.get_operator(uri("anonymize_faces"))
    params = {"method": "mask", "identity_mode": "fresh", "seed": 0, "overwrite": False}
    messages = [m for m in operator.execute(context(dataset, "anonymize_faces", params)) if m is not None]
    assert all(message.to_json_line() for message in messages)
    kinds = [m.body.operator_uri.rsplit("/", 1)[-1] for m in messages]
    assert kinds[-2:] == ["reload_dataset", "show_output"] and set(kinds[:-2]) == {"set_progress"}
    assert messages[-3].body.params == {"label": "Done: 2 ok, 1 no_faces, 1 failed", "progress": 1.0}
    assert "| ok | 2 |" in messages[-1].body.params["results"]["images"]
    assert dataset.values("faceanon.status") == ["ok", "ok", "no_faces", "failed"]


def test_from_python_and_delegated(dataset: fo.Dataset) -> None:
    operator = foo.get_operator(uri("anonymize_faces"))
    operator(dataset.limit(1), method="mask")
    assert dataset.values("faceanon.status") == ["ok", None, None, None]
    queued = operator(dataset, method="mask", delegate=True)
    assert queued.delegated
    service = DelegatedOperationService()
    service.execute_queued_operations(log=True, monitor=False)
    done = service.list_operations(dataset_name=dataset.name)[0]
    assert str(done.run_state) == "completed" and done.status.progress == 1.0
    dataset.reload()
    assert dataset.values("faceanon.status") == ["ok", "ok", "no_faces", "failed"]


def test_a_bad_parameter_is_refused(dataset: fo.Dataset) -> None:
    with pytest.raises(Exception, match="method"):
        foo.get_operator(uri("anonymize_faces"))(dataset, method="magic")
    assert not dataset.has_field("faceanon")


def test_review_and_export(dataset: fo.Dataset, tmp_path: Path) -> None:
    assert "not anonymized yet" in errors(form(dataset, "export_safe_split"))[0]
    foo.get_operator(uri("anonymize_faces"))(dataset, method="mask")
    show = foo.get_operator(uri("show_failures"))
    assert show(dataset).result["count"] == 2
    assert show(dataset, reason="faceanon: failed").result["count"] == 1
    foo.get_operator(uri("review_faces"))(dataset)
    assert show(dataset).result["count"] == 1
    export = foo.get_operator(uri("export_safe_split"))
    out = tmp_path / "out"
    dry = export(dataset, out, dry_run=True).result
    assert dry["exported"] == 3 and "**3** of 4 samples would be exported" in dry["summary"] and not out.exists()
    assert export(dataset, out, "ImageDirectory").result["exported"] == 3 and len(list(out.iterdir())) == 3
    with pytest.raises(Exception, match="not empty"):
        export(dataset, out)


def test_export_form_follows_the_layout(dataset: fo.Dataset) -> None:
    foo.get_operator(uri("anonymize_faces"))(dataset, method="mask")
    assert "label_fields" in form(dataset, "export_safe_split")
    assert "label_fields" not in form(dataset, "export_safe_split", {"dataset_type": "ImageDirectory"})
    shown = form(dataset, "export_safe_split", {"dataset_type": "ImageClassificationDirectoryTree"})
    assert "has none" in errors(shown)[0]


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_package_is_a_form_and_no_traceback(dataset: fo.Dataset, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n, *a: None if n == "fo_faceanon" else real(n, *a))
    shown = form(dataset, name)
    assert "pip install fo-faceanon" in errors(shown)[0]


def test_the_plugin_imports_without_the_package() -> None:
    """In a fresh process where importing fo_faceanon fails, the operators still register."""
    folder = str(plugin.plugin_source()[0])
    code = (
        "import sys; sys.modules['fo_faceanon'] = None\n"
        "import importlib.util as u\n"
        f"s = u.spec_from_file_location('faceanon_plugin', {folder + '/__init__.py'!r}, submodule_search_locations=[{folder!r}])\n"
        "m = u.module_from_spec(s); sys.modules['faceanon_plugin'] = m; s.loader.exec_module(m)\n"
        "class P:\n  def register(self, o): print(o.__name__)\n"
        "m.register(P())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert len(done.stdout.split()) == len(NAMES) and "ReviewFaces" in done.stdout, done.stderr


def test_install_links_a_checkout_and_copies_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, _ = plugin.plugin_source()
    linked = plugin.install(tmp_path / "plugins")
    assert linked.is_symlink() and linked.resolve() == source
    monkeypatch.setattr(plugin, "plugin_source", lambda: (source, False))
    for _ in range(2):  # again: brought up to date
        copied = plugin.install(tmp_path / "plugins")
        assert not copied.is_symlink() and (copied / "fiftyone.yml").read_text() == (source / "fiftyone.yml").read_text()
    assert source.is_dir() and [p.name for p in (tmp_path / "plugins").iterdir()] == ["fo-faceanon"]


def test_install_moves_nothing_of_others(tmp_path: Path) -> None:
    other = tmp_path / "fo-faceanon"
    other.mkdir()
    (other / "mine.txt").write_text("mine")
    with pytest.raises(HostError, match="move it away"):
        plugin.install(tmp_path)
    assert (other / "mine.txt").exists()
