"""The operator that measures: its form explains itself, it reports progress, writes fields and a page, and runs delegated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fiftyone as fo
import fiftyone.operators as foo
import pytest
from evaluation_fakes import FakeMeasure
from fiftyone.operators.delegated import DelegatedOperationService
from fiftyone.operators.executor import ExecutionContext, Executor
from host_tools import FAST, make_dataset

from fo_faceanon.host import evaluate as host
from fo_faceanon.host import plugin
from fo_faceanon.host.runner import anonymize

URI = f"{plugin.NAME}/compute_metrics"


@pytest.fixture(autouse=True)
def measure(monkeypatch: pytest.MonkeyPatch) -> FakeMeasure:
    """Every evaluation is the tests' own."""
    fake = FakeMeasure()
    monkeypatch.setattr(host, "measure_steps", fake)
    return fake


@pytest.fixture
def dataset(tmp_path: Path) -> fo.Dataset:
    return make_dataset(tmp_path / "in", ["face", "face", "bad"])


def context(dataset: fo.Dataset, params: dict[str, Any] | None = None) -> ExecutionContext:
    request = {"dataset_name": dataset.name, "dataset_id": str(dataset._doc.id), "view": [], "params": params or {}}
    return ExecutionContext(request_params=request, executor=Executor(), operator_uri=URI)


def form(dataset: fo.Dataset, params: dict[str, Any] | None = None) -> dict[str, Any]:
    return foo.get_operator(URI).resolve_type(context(dataset, params), "inputs").type.properties


def errors(properties: dict[str, Any]) -> list[str]:
    return [p.error_message for p in properties.values() if p.invalid]


def test_the_form_says_what_is_measured_and_what_it_takes(dataset: fo.Dataset, tmp_path: Path) -> None:
    assert "not anonymized yet" in errors(form(dataset))[0]
    anonymize(dataset, **FAST)
    shown = form(dataset)
    assert errors(shown) == [] and "2 of 3 samples" in shown["cost"].view.label and "per face" in shown["cost"].view.label
    assert {"auto", "cpu"} <= set(shown["device"].type.values) and "view_target" in shown
    dataset.set_values("anonymized_filepath", [None] * 3)
    assert "None of these 3 samples" in errors(form(dataset))[0]


@pytest.mark.parametrize(("path", "fault"), [("report.pdf", "HTML file"), ("/no/such/folder/report.html", "There is no folder")])
def test_a_report_that_cannot_be_written_is_refused_in_the_form(dataset: fo.Dataset, path: str, fault: str) -> None:
    anonymize(dataset, **FAST)
    assert fault in errors(form(dataset, {"report": path}))[0]
    with pytest.raises(Exception, match=r"report|Report"):
        foo.get_operator(URI)(dataset, report=path)


def test_an_immediate_run_shows_progress_and_the_main_figures(dataset: fo.Dataset, tmp_path: Path, measure: FakeMeasure) -> None:
    anonymize(dataset, **FAST)
    params = {"device": "cpu", "noise_floor": False, "report": str(tmp_path / "report.html")}
    messages = [m for m in foo.get_operator(URI).execute(context(dataset, params)) if m is not None]
    kinds = [m.body.operator_uri.rsplit("/", 1)[-1] for m in messages]
    assert kinds[-2:] == ["reload_dataset", "show_output"] and set(kinds[:-2]) == {"set_progress"}
    results = messages[-1].body.params["results"]
    assert "takes 1.5 % of 2 faces for their original" in results["summary"] and "report.html" in results["next"]
    assert (tmp_path / "report.html").is_file() and dataset.first().faceanon["landmark_error"] == 0.01
    assert measure.settings["device"] == "cpu" and measure.settings["floor"] is False


def test_from_python_on_a_view_and_delegated(dataset: fo.Dataset) -> None:
    anonymize(dataset, **FAST)
    operator = foo.get_operator(URI)
    operator(dataset.limit(1))
    assert dataset.values("faceanon.landmark_error") == [0.01, None, None]
    assert operator(dataset, delegate=True).delegated
    service = DelegatedOperationService()
    service.execute_queued_operations(log=True, monitor=False)
    done = service.list_operations(dataset_name=dataset.name)[0]
    assert str(done.run_state) == "completed" and done.status.progress == 1.0
    dataset.reload()
    assert dataset.values("faceanon.landmark_error") == [0.01, 0.01, None]
