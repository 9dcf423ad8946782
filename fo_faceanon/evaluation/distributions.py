"""Beyond means: histograms beside the floor and strangers, and the faces that fare worst."""

from __future__ import annotations

from typing import Any

import numpy as np

from fo_faceanon.evaluation.collect import Collected
from fo_faceanon.evaluation.figures import FIGURES
from fo_faceanon.recognition import THRESHOLDS

#: Ends and number of bins; values beyond an end are in its bin.
_BINS = {"landmark_error": (0.0, 0.15, 60), "delta_e": (0.0, 30.0, 60), "si_mse": (0.0, 0.1, 50)}
_COSINES = {"dlib": (0.6, 1.0, 50)}
_COSINE = (-0.4, 1.0, 56)
#: Faces listed per figure.
MOST = 20


def distributions(collected: Collected, impostors: dict[str, np.ndarray]) -> dict[str, Any]:
    """``{figure: {"edges", "counts": {"anonymized", "floor", "impostors"}, "threshold"}}`` of identity cosines and three more."""
    made, floor, result = collected.anonymized, collected.floor, {}
    for name, scores in impostors.items():
        figure = f"cosine_{name.replace('-', '_')}"
        values = {"anonymized": made.column(figure), "impostors": scores, "floor": floor.column(figure)}
        result[figure] = {**_histogram(values, _COSINES.get(name, _COSINE)), "threshold": THRESHOLDS[name][0]}
    for figure, bins in _BINS.items():
        result[figure] = _histogram({"anonymized": made.column(figure), "floor": floor.column(figure)}, bins)
    return result


def _histogram(values: dict[str, np.ndarray], bins: tuple[float, float, int]) -> dict[str, Any]:
    low, high, number = bins
    edges = np.linspace(low, high, number + 1)
    counts = {key: np.histogram(np.clip(v[np.isfinite(v)].astype(float), low, high), edges)[0].tolist() for key, v in values.items()}
    return {"edges": edges.round(6).tolist(), "counts": counts}


def worst_faces(collected: Collected) -> dict[str, list[dict[str, Any]]]:
    """The faces that fare worst in every figure with a value per face: ``{figure: [{"value", "key", "number", "box"}]}``.

    Of figures that are yes or no, those faces for which the answer is the bad one.
    """
    rows, result = collected.anonymized.rows, {}
    for spec in FIGURES:
        if not spec.per_face or spec.name.endswith("_steady"):
            continue
        known = [(row[spec.name], row) for row in rows if row.get(spec.name) is not None]
        if spec.unit == "%":
            known = [(100.0 * value, row) for value, row in known if value is (spec.better == "lower")]
        ordered = sorted(known, key=lambda entry: (-entry[0] if spec.better == "lower" else entry[0], entry[1]["key"], entry[1]["number"]))
        if ordered:
            result[spec.name] = [
                {"value": value, **{name: row[name] for name in ("key", "number", "box")}} for value, row in ordered[:MOST]
            ]
    return result
