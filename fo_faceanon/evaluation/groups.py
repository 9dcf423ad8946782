"""Whether it is as good for everyone: groups of the original faces, and how much worse the worst of them fares.

Skin tone is the individual typology angle of the original's skin under the picture's light; age and sex are what the bundled
attribute network takes a face for, not what anybody said of themselves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fo_faceanon.evaluation.figures import Figure, figure_spec
from fo_faceanon.evaluation.statistics import MIN_FACES, bootstrap_intervals, figure_of
from fo_faceanon.metrics.colour import ITA_CLASSES, ita_class

#: Upper limits (excluded) of groups, in years, pixels between the eyes' centres, and degrees of yaw to either side.
_AGES = ((13, "child < 13"), (20, "teen 13-19"), (40, "20-39"), (60, "40-59"), (math.inf, "60+"))
_SIZES = ((20, "< 20 px"), (40, "20-39 px"), (80, "40-79 px"), (math.inf, "80+ px"))
_YAWS = ((15, "frontal < 15°"), (35, "turned 15-34°"), (math.inf, "profile 35°+"))
#: The groups of each grouping, in the order of reports.
GROUPS: dict[str, tuple[str, ...]] = {
    "skin_tone": tuple(name for _, name in ITA_CLASSES),
    "age": tuple(name for _, name in _AGES),
    "sex": ("female", "male"),
    "face_size": tuple(name for _, name in _SIZES),
    "pose": tuple(name for _, name in _YAWS),
}


def group_labels(ita: float, age: float, male: float, interocular: float, yaw: float) -> dict[str, str]:
    """The groups of one face; a grouping is left out where its measure is NaN.

    Args:
        ita: individual typology angle in degrees.
        age: apparent, in years.
        male: probability.
        interocular: distance of the eye centres in pixels.
        yaw: in degrees.
    """
    labels = {
        "skin_tone": ita_class(ita) if math.isfinite(ita) else None,
        "age": _band(_AGES, age),
        "sex": ("male" if male > 0.5 else "female") if math.isfinite(male) else None,
        "face_size": _band(_SIZES, interocular),
        "pose": _band(_YAWS, abs(yaw)),
    }
    return {grouping: label for grouping, label in labels.items() if label is not None}


def _band(bands: Sequence[tuple[float, str]], value: float) -> str | None:
    return next((name for limit, name in bands if value < limit), None) if math.isfinite(value) else None


def group_figures(
    labels: Sequence[Mapping[str, str]], columns: Mapping[str, np.ndarray], clusters: np.ndarray
) -> dict[str, dict[str, dict[str, Any]]]:
    """``{grouping: {group: {"n", "figures": {name: figure}}}}``, of groups with at least one face.

    Args:
        labels: of each face, by grouping.
        columns: the values of each figure, ``N``; NaN where a face was not measured.
        clusters: ``N`` numbers that faces share which are drawn together.
    """
    result: dict[str, dict[str, dict[str, Any]]] = {}
    for grouping, groups in GROUPS.items():
        found = np.array([entry.get(grouping, "") for entry in labels], object)
        for group in groups:
            rows = np.flatnonzero(found == group)
            if len(rows):
                figures = _figures({name: values[rows] for name, values in columns.items()}, clusters[rows])
                entry = {"n": len(rows), "figures": {name: figure.to_dict() for name, figure in figures.items()}}
                result.setdefault(grouping, {})[group] = entry
    return result


def _figures(columns: Mapping[str, np.ndarray], clusters: np.ndarray) -> dict[str, Figure]:
    """One set of resamples for all figures of a group."""
    if len(clusters) < MIN_FACES or not columns:
        return {name: figure_of(values) for name, values in columns.items()}
    low, high = bootstrap_intervals(np.stack(list(columns.values()), 1), clusters)
    shares = {name: figure_spec(name).unit == "%" for name in columns}
    ends = dict(zip(columns, zip(low.tolist(), high.tolist(), strict=True), strict=True))
    return {name: figure_of(values, clusters, share=shares[name], interval=ends[name]) for name, values in columns.items()}


def worst_ratios(groups: Mapping[str, Mapping[str, Any]], figures: Mapping[str, Figure]) -> dict[str, dict[str, dict[str, Any]]]:
    """``{grouping: {figure: {"group", "ratio", "apart"}}}``: how many times worse than all faces the worst group fares.

    Group over all where lower is better; where higher is, what the group lacks of 100 % over what all lack. ``apart``: whether the
    group's interval leaves out the value of all. Only where all faces leave something to divide by, of figures that have a better
    direction, and where several groups have a value.
    """
    result: dict[str, dict[str, dict[str, Any]]] = {}
    for grouping, entries in groups.items():
        for name, figure in figures.items():
            better = figure_spec(name).better
            overall = 0.0 if figure.value is None else _badness(better, figure.value)
            found = {group: entry["figures"].get(name, {}) for group, entry in entries.items()}
            known = {group: _badness(better, one["value"]) for group, one in found.items() if one.get("value") is not None}
            if better != "neither" and overall > 0 and len(known) > 1:
                group = max(known, key=lambda key: known[key])
                worst = {"group": group, "ratio": known[group] / overall, "apart": _apart(found[group], figure.value)}
                result.setdefault(grouping, {})[name] = worst
    return result


def _apart(group: Mapping[str, Any], overall: float | None) -> bool:
    low, high = group.get("low"), group.get("high")
    return None not in (low, high, overall) and not low <= overall <= high  # type: ignore[operator]


def _badness(better: str, value: float) -> float:
    return 100.0 - value if better == "higher" else value
