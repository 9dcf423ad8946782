"""What the forms share."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from typing import Any

import fiftyone as fo
import fiftyone.operators as foo
import fiftyone.operators.types as types

#: Of this plugin; the package's must be the same, since each is made for the other.
VERSION = "0.1.0"
#: The environment variable with the secret of consistent identities.
SALT = "FACEANON_SALT"
_MISSING = "The package fo-faceanon is not installed where FiftyOne runs: `pip install fo-faceanon`, and start FiftyOne again."


def package_missing(inputs: types.Object) -> bool:
    """True where fo_faceanon is missing or of another version; the form then says so and cannot be executed."""
    fault = _package_fault()
    if fault:
        refuse(inputs, "missing", fault)
    return fault is not None


def _package_fault() -> str | None:
    if importlib.util.find_spec("fo_faceanon") is None:
        return _MISSING
    from fo_faceanon import __version__

    if __version__ == VERSION:
        return None
    return (
        f"This plugin is of version {VERSION}, and the package fo-faceanon of version {__version__}: "
        "run `fo-faceanon plugin install` where FiftyOne runs, and reload the App."
    )


def refuse(inputs: types.Object, name: str, message: str) -> None:
    """Adds an error that keeps the form from being executed."""
    prop = inputs.view(name, types.Error(label=message))
    prop.invalid = True
    prop.error_message = message


def require_package() -> None:
    """Raises a plain error where fo_faceanon is missing or of another version: SDK calls see no form."""
    fault = _package_fault()
    if fault:
        raise RuntimeError(fault.replace("`", ""))


def choices(values: Iterable[str], labels: Iterable[str] | None = None) -> types.Dropdown:
    """A dropdown over ``values``."""
    menu = types.Dropdown()
    values = list(values)
    for value, label in zip(values, labels or values, strict=True):
        menu.add_choice(value, label=label)
    return menu


def fields_of(dataset: fo.Dataset, kind: type | tuple[type, ...]) -> list[str]:
    """Label fields of one kind."""
    kinds = kind if isinstance(kind, tuple) else (kind,)
    schema = dataset.get_field_schema(embedded_doc_type=list(kinds))
    return list(schema)


def attributes_of(dataset: fo.Dataset, field: str, kind: type) -> list[str]:
    """Attributes of one kind of the Detections in a field."""
    prefix = f"{field}.detections."
    schema = dataset.get_field_schema(flat=True)
    names = [name[len(prefix) :] for name, found in schema.items() if name.startswith(prefix) and isinstance(found, kind)]
    return [name for name in names if name != "mask_path"]


def show_progress(ctx: Any, fraction: float, label: str) -> Any:
    """Progress of a run: on the run's document where it is delegated, else a message for the App to be yielded."""
    if ctx.delegated:
        return ctx.set_progress(progress=fraction, label=label)
    return ctx.ops.set_progress(progress=fraction, label=label)


def show_output(ctx: Any, schema: types.Property, values: dict[str, Any]) -> Any:
    """Results as a message for the App to be yielded; the schema goes as JSON, since FiftyOne would fail to send the object."""
    return ctx.ops.show_output(schema.to_json(), values)


def hidden_list(inputs: types.Object, name: str) -> None:
    """A list of texts that only Python gives: the App has the selection."""
    inputs.list(name, types.String(), required=False, view=types.HiddenView())


def redone(report: Any) -> tuple[str, str]:
    """What a redo came to, and what to do next, in words."""
    done = {status: count for status, count in report.images.items() if status != "unchanged"}
    words = f"{sum(done.values())} of {count(sum(report.images.values()), 'sample')} made again"
    after = "Look at what came out: what still needs review is in **Show failures**."
    if report.reasons:
        after += f"\n\nWhat stayed as it was, and remarks:\n\n{count_table(report.reasons)}"
    return words, after


def count(number: int, noun: str) -> str:
    """A number with its noun: ``1 sample``, ``2 samples``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def count_table(counts: dict[str, int]) -> str:
    """Counts as a Markdown table."""
    if not counts:
        return "none"
    rows = [f"| {name} | {count} |" for name, count in sorted(counts.items(), key=lambda pair: -pair[1])]
    return "\n".join(["| | |", "|---|---|", *rows])


def execute(operator: foo.Operator, samples: Any, params: dict[str, Any], delegate: bool = False) -> Any:
    """Runs an operator from Python on a dataset or view, through FiftyOne's executor."""
    where = {"dataset": samples} if isinstance(samples, fo.Dataset) else {"view": samples}
    return foo.execute_operator(operator.uri, ctx={**where, "params": params}, request_delegation=delegate)
