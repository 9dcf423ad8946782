"""One score per dimension, as in the paper's Fig. 5 (Celona et al. 2025).

A figure's score is 1 at the noise floor and 0 at a documented worst value, linear between; a dimension's is the mean of its
figures'. For privacy the floor is the worst there is: there 1 is the cosine of strangers, and 0 that of the original itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fo_faceanon.evaluation.figures import DIMENSIONS, RECOGNISERS, Figure, figure_spec
from fo_faceanon.recognition.recognisers import recogniser_spec

#: Where a figure's score is 0. FID of 100 is another sort of picture; a tenth of the eye distance, and 20 degrees, is another
#: pose or face; a seventh of emotions agrees by chance; dE2000 of 20 is another colour.
WORST = {
    "fid": 100.0,
    "fid_face": 100.0,
    "detected": 0.0,
    "landmark_error": 0.1,
    "landmark_error_mesh": 0.1,
    "head_pose_error": 20.0,
    "expression_error": 0.1,
    "emotion_kept": 100 / 7,
    "blendshape_error": 0.15,
    "si_mse": 0.1,
    "shading_sine": 0.5,
    "delta_e": 20.0,
    "tone_delta_e": 20.0,
}


def radar_scores(figures: Mapping[str, Figure]) -> dict[str, dict[str, Any]]:
    """``{dimension: {"score": 0 to 1 or None, "from": [figure names]}}``; withheld figures take no part."""
    scores = {name: _score(figures[name], worst, figure_spec(name).better) for name, worst in WORST.items() if name in figures}
    scores |= {f"cosine_{key}": _privacy(figures, key) for key in _judges()}
    result: dict[str, dict[str, Any]] = {}
    for dimension in DIMENSIONS:
        known = {name: score for name, score in scores.items() if score is not None and figure_spec(name).dimension == dimension}
        mean = sum(known.values()) / len(known) if known else None
        result[dimension] = {"score": mean, "from": list(known)}
    return result


def _judges() -> list[str]:
    return [name.replace("-", "_") for name in RECOGNISERS if not recogniser_spec(name).guide_allowed]


def _score(figure: Figure, worst: float, better: str) -> float | None:
    if figure.value is None:
        return None
    best = figure.floor if figure.floor is not None else (100.0 if better == "higher" else 0.0)
    return _clipped(figure.value - worst, best - worst)


def _privacy(figures: Mapping[str, Figure], key: str) -> float | None:
    cosine, impostor = (figures[f"{kind}_{key}"].value if f"{kind}_{key}" in figures else None for kind in ("cosine", "impostor"))
    return None if cosine is None or impostor is None else _clipped(cosine - 1, impostor - 1)


def _clipped(part: float, whole: float) -> float:
    return min(max(part / whole, 0.0), 1.0) if whole else 0.0
