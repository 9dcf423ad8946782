"""The fields of an evaluation: every per-face figure in the faces' labels, the worst face's in the sample's document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import fiftyone as fo

from fo_faceanon.evaluation.figures import FIGURES, FigureSpec
from fo_faceanon.host.fields import FACES, STATUS

#: One face's figures by name: a number, a verdict, a label; None where it could not be measured.
Row = Mapping[str, float | bool | str | None]
#: What each face has of its own.
FACE_FIGURES = tuple(spec for spec in FIGURES if spec.per_face)
#: The most probable emotion before and after.
EMOTIONS = ("emotion", "emotion_anonymized")


def is_verdict(spec: FigureSpec) -> bool:
    """True where a single face has a yes or no, of which the figure is the share."""
    return spec.unit == "%"


def declare_figures(dataset: fo.Dataset) -> None:
    """Adds the fields, typed, so that the App can filter by them even where no sample has a value yet."""
    for spec in FACE_FIGURES:
        kind = fo.BooleanField if is_verdict(spec) else fo.FloatField
        dataset.add_sample_field(f"{FACES}.detections.{spec.name}", kind)
        if spec.better != "neither":
            dataset.add_sample_field(f"{STATUS}.{spec.name}", kind)
    for name in EMOTIONS:
        dataset.add_sample_field(f"{FACES}.detections.{name}", fo.StringField)


def write_figures(dataset: fo.Dataset, measured: Mapping[str, Sequence[Row]]) -> None:
    """Writes the figures of some samples; what a row lacks is None afterwards, also where an earlier evaluation had a value.

    Args:
        dataset: with the fields of :func:`declare_figures`.
        measured: by sample id one row per face, in the order of the sample's labels.
    """
    for spec in FACE_FIGURES:
        _write(dataset, spec, measured)
    for name in EMOTIONS:
        _set_faces(dataset, name, measured)


def set_verdicts(dataset: fo.Dataset, measured: Mapping[str, Sequence[Row]], prefix: str) -> None:
    """Writes only the figures whose name begins with ``prefix``."""
    for spec in FACE_FIGURES:
        if spec.name.startswith(prefix):
            _write(dataset, spec, measured)


def worst(spec: FigureSpec, values: Sequence[Any]) -> Any:
    """The worst of some faces' values; None where no face has one."""
    known = [value for value in values if value is not None]
    return (max if spec.better == "lower" else min)(known, default=None)


def _write(dataset: fo.Dataset, spec: FigureSpec, measured: Mapping[str, Sequence[Row]]) -> None:
    """One figure: of each face, and of the worst face of each sample."""
    _set_faces(dataset, spec.name, measured)
    if spec.better != "neither":
        values = {sample: worst(spec, [row.get(spec.name) for row in rows]) for sample, rows in measured.items()}
        _set(dataset, f"{STATUS}.{spec.name}", values)


def _set_faces(dataset: fo.Dataset, name: str, measured: Mapping[str, Sequence[Row]]) -> None:
    _set(dataset, f"{FACES}.detections.{name}", {sample: [row.get(name) for row in rows] for sample, rows in measured.items() if rows})


def _set(dataset: fo.Dataset, name: str, values: dict[str, Any]) -> None:
    if values:
        dataset.set_values(name, values, key_field="id")
