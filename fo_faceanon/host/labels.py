"""Labels rebuilt from a whitelist: geometry and class of the named fields, and the attributes that were asked for; nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import fiftyone as fo
import numpy as np

from fo_faceanon.errors import ExportError

_SINGLE: dict[type, tuple[str, ...]] = {
    fo.Classification: ("label",),
    fo.Detection: ("label", "bounding_box"),
    fo.Keypoint: ("label", "points"),
    fo.Polyline: ("label", "points", "closed", "filled"),
}
_LISTS: dict[type, str] = {
    fo.Classifications: "classifications",
    fo.Detections: "detections",
    fo.Keypoints: "keypoints",
    fo.Polylines: "polylines",
}
#: Attributes that identify a label, or lead to a file.
_NEVER = ("id", "_id", "_cls", "tags", "instance", "mask_path", "map_path", "filepath")


def check_fields(dataset: fo.Dataset, label_fields: Sequence[str], attributes: Sequence[str]) -> None:
    """Raises ExportError for a field that is missing or of a kind that cannot be rebuilt, and for attributes that never leave."""
    for name in label_fields:
        field = dataset.get_field(name)
        kind = getattr(field, "document_type", None)
        if kind not in _SINGLE and kind not in _LISTS:
            known = ", ".join(k.__name__ for k in (*_SINGLE, *_LISTS))
            why = f"it is of another kind than {known}" if field else "it does not exist"
            raise ExportError(f"label field '{name}' cannot be exported: {why}")
    forbidden = sorted(set(attributes) & set(_NEVER))
    if forbidden:
        raise ExportError(f"attributes {', '.join(forbidden)} identify a label or lead to a file, and are never exported")


def rebuild(label: fo.Label | None, attributes: Sequence[str]) -> fo.Label | None:
    """A new label, with a new id, that holds only what the whitelist allows."""
    if label is None:
        return None
    kind = type(label)
    if kind in _LISTS:
        items = [_rebuild_one(item, attributes) for item in label[_LISTS[kind]]]
        return kind(**{_LISTS[kind]: items})
    return _rebuild_one(label, attributes)


def label_texts(label: fo.Label | None) -> set[str]:
    """The class names in a rebuilt label."""
    if label is None:
        return set()
    items = label[_LISTS[type(label)]] if type(label) in _LISTS else [label]
    return {item.label for item in items if item.label}


def _rebuild_one(label: fo.Label, attributes: Sequence[str]) -> fo.Label:
    kept = {name: label[name] for name in _SINGLE[type(label)]}
    extra = {name: _plain(name, label[name]) for name in attributes if label.has_field(name) and label[name] is not None}
    return type(label)(**kept, **extra)


def _plain(name: str, value: Any) -> Any:
    """The value, where it is plain data; embedded documents can hold anything."""
    if isinstance(value, str | bool | int | float) or (isinstance(value, np.ndarray) and value.dtype != object):
        return value
    if isinstance(value, list | tuple) and all(isinstance(item, str | bool | int | float) for item in value):
        return list(value)
    kind = type(value).__name__
    raise ExportError(f"attribute '{name}' holds a {kind}; only text, numbers, truth values, lists of them and masks are exported")
