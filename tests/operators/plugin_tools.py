"""What the tests of the operators share: forms as the App shows them, and what they refuse."""

from __future__ import annotations

from typing import Any

import fiftyone as fo
import fiftyone.operators as foo
from fiftyone.operators.executor import ExecutionContext, Executor

from fo_faceanon.host import plugin

NAMES = (
    "anonymize_faces",
    "detect_faces",
    "predict_emotions",
    "import_consent",
    "show_failures",
    "find_missed_faces",
    "review_faces",
    "reanonymize",
    "undo",
    "check_stale",
    "compute_metrics",
    "export_safe_split",
)


def uri(name: str) -> str:
    return f"{plugin.NAME}/{name}"


def context(dataset: fo.Dataset, name: str, params: dict[str, Any] | None = None, **more: Any) -> ExecutionContext:
    request = {"dataset_name": dataset.name, "dataset_id": str(dataset._doc.id), "view": [], "params": params or {}, **more}
    return ExecutionContext(request_params=request, executor=Executor(), operator_uri=uri(name))


def form(dataset: fo.Dataset, name: str, params: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """What the App would show: the properties by name."""
    resolved = foo.get_operator(uri(name)).resolve_type(context(dataset, name, params, **more), "inputs")
    return resolved.type.properties


def errors(properties: dict[str, Any]) -> list[str]:
    return [p.error_message for p in properties.values() if p.invalid]


def words(properties: dict[str, Any]) -> str:
    """What a form says it would do."""
    return properties["what"].view.label


def run(dataset: fo.Dataset, name: str, params: dict[str, Any], **more: Any) -> list[Any]:
    """The messages that an immediate execution sends to the App; each can be sent."""
    messages = [message for message in foo.get_operator(uri(name)).execute(context(dataset, name, params, **more)) if message is not None]
    assert all(message.to_json_line() for message in messages)
    return messages


def shown(messages: list[Any]) -> dict[str, Any]:
    """The output that the App would show at the end."""
    return messages[-1].body.params["results"]
