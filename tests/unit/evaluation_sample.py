"""An evaluation in the JSON of ``fo-faceanon evaluate``, made up, for tests of what reads it."""

from __future__ import annotations

from typing import Any

import numpy as np

from fo_faceanon.evaluation.figures import DIMENSIONS, FIGURES, RECOGNISERS, Figure
from fo_faceanon.evaluation.groups import worst_ratios

EMOTIONS = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger")
WITHHELD = "MediaPipe's weights are not here: fo-faceanon weights get face-landmarker"
GROUPS = {
    "skin_tone": ("very light", "light", "intermediate", "tan", "brown", "dark"),
    "age": ("child < 13", "teen 13-19", "20-39", "40-59", "60+"),
    "sex": ("female", "male"),
    "face_size": ("< 40 px", "40-80 px", "> 80 px"),
    "pose": ("frontal", "half turned", "turned"),
}
_VALUES = {"%": 98.5, "degrees": 2.4, "inter-ocular": 0.0213}
_SPECIAL = {"fid": 5.31, "kid": 0.82, "emotion_kept": 71.4, "delta_e": 4.62, "si_mse": 0.0102}


def figure(value: float | None, n: int = 583, missing: int = 0, floor: float | None = None, withheld: str | None = None) -> dict[str, Any]:
    """One figure, with an interval of a tenth either way."""
    low, high = (None, None) if value is None else (value * 0.9, value * 1.1)
    return {
        "value": value,
        "n": 0 if value is None else n,
        "low": low,
        "high": high,
        "missing": missing,
        "floor": floor,
        "floor_n": 200 if floor is not None else 0,
        "withheld": withheld,
    }


def sample_evaluation() -> dict[str, Any]:
    """Every section filled; 478 points, head pose and blendshapes withheld."""
    figures, groups = {spec.name: _figure(spec.name, spec.unit) for spec in FIGURES}, _groups()
    return {
        "format": 1,
        "version": "0.1.0",
        "created": "2026-11-20 15:00 UTC",
        "original": "photographs",
        "anonymized": "photographs-donor",
        "counts": {"pictures": 612, "paired": 605, "measured": 600, "faces": 583, "undetected": 12},
        "problems": {"original without partner": [f"group/{i:04d}.jpg" for i in range(7)], "different sizes": ["a/1.png", "a/2.png"]},
        "judges": [{"name": name, "licence": "research only", "role": "identity"} for name in RECOGNISERS],
        "figures": figures,
        "groups": groups,
        "worst_ratio": ratios(groups, figures),
        "distributions": _distributions(),
        "radar": {
            name: {"score": score, "from": ["delta_e"]}
            for name, score in zip(DIMENSIONS, (0.71, 0.93, 0.64, 0.55, 0.82, 0.78), strict=True)
        },
        "worst": {"delta_e": [{"key": f"group/{i:04d}.jpg", "number": 0, "value": 14.0 - i} for i in range(3)]},
        "emotion": {"names": list(EMOTIONS), "confusion": _confusion(), "accuracy": 0.61},
        "seconds": 812.0,
    }


def ratios(groups: dict[str, Any], figures: dict[str, Any]) -> dict[str, Any]:
    """The worst groups, as an evaluation gives them."""
    return worst_ratios(groups, {name: Figure(**values) for name, values in figures.items()})


def sample_attack() -> dict[str, Any]:
    """The JSON of an attack: two recognisers, anonymized and solid fill, an inversion that was not done."""
    outcomes = [
        {
            "attack": attack,
            "pictures": pictures,
            "recogniser": recogniser,
            "role": "guide" if recogniser == "dlib" else "judge",
            "thresholds": "LFW half A",
            "rates": {
                "tar@0.001": {"value": 0.004, "n": 720, "people": 60, "low": 0.001, "high": 0.009, "chance": 0.001, "withheld": None},
                "rank1": {"value": None, "n": 12, "people": 9, "low": None, "high": None, "chance": 0.016, "withheld": "only 12"},
            },
        }
        for attack in ("same photo", "across photos")
        for pictures in ("anonymized", "solid fill")
        for recogniser in ("edgeface-s", "dlib")
    ]
    said = "0.4 % of 720 pairs are accepted at a false-accept rate of 1e-3 with another photograph of the person, by edgeface-s"
    return {
        "format": 1,
        "verdict": {
            "level": "not recognised",
            "text": f"not recognised: {said}",
            "reason": said,
            "strength": "same photo and across photos",
            "findings": [{"level": "not recognised", "sentence": said}],
            "notes": ["no solid fill was measured beside it"],
        },
        "counts": {"pictures": 240, "faces": 240, "people": 60},
        "problems": {"cannot be read": {"count": 1, "names": ["x.jpg"]}},
        "withheld": {"inversion": "12 faces are too few to learn a restoration from"},
        "attacks": outcomes,
    }


def _figure(name: str, unit: str) -> dict[str, Any]:
    if name in ("landmark_error_mesh", "head_pose_error", "blendshape_error"):
        return figure(None, withheld=WITHHELD)
    if name.startswith("reidentified"):
        return figure(2.4 if name.endswith("edgeface_s") else 0.3, floor=100.0)
    if name.startswith("rank1"):
        return figure(1.1, floor=100.0)
    if name.startswith(("cosine", "impostor")):
        return figure(0.112 if name.startswith("cosine") else 0.031, floor=0.987)
    value = _SPECIAL.get(name, _VALUES.get(unit, 0.0471))
    return figure(value, missing=12 if unit == "inter-ocular" else 0, floor=value / 3 if unit != "%" else 94.0)


def _groups() -> dict[str, Any]:
    rng = np.random.default_rng(1)
    made: dict[str, Any] = {}
    for grouping, names in GROUPS.items():
        made[grouping] = {}
        for index, name in enumerate(names):
            n = 8 if index == len(names) - 1 and len(names) > 3 else int(rng.integers(40, 300))
            values = {
                "cosine_edgeface_s": 0.11,
                "reidentified_edgeface_s": 2.4,
                "detected": 98.5,
                "landmark_error": 0.0213,
                "emotion_kept": 71.4,
                "delta_e": 4.62,
            }
            made[grouping][name] = {
                "n": n,
                "figures": {
                    k: figure(None, withheld="only 8 faces: fewer than 20") if n < 20 else figure(min(v * rng.uniform(0.7, 1.4), 99.0), n)
                    for k, v in values.items()
                },
            }
    return made


def _distributions() -> dict[str, Any]:
    rng = np.random.default_rng(2)
    cosine = {"anonymized": rng.normal(0.11, 0.12, 583), "impostors": rng.normal(0.03, 0.1, 5000), "floor": rng.normal(0.97, 0.02, 200)}
    made = {name: _histogram(cosine, -0.4, 1.0, {"threshold": 0.34}) for name in ("cosine_edgeface_s", "cosine_facenet_casia")}
    made["landmark_error"] = _histogram({"anonymized": rng.gamma(4, 0.005, 571), "floor": rng.gamma(4, 0.002, 200)}, 0, 0.08)
    made["delta_e"] = _histogram({"anonymized": rng.gamma(4, 1.1, 583), "floor": rng.gamma(4, 0.2, 200)}, 0, 15)
    return made


def _histogram(values: dict[str, np.ndarray], low: float, high: float, more: dict[str, float] | None = None) -> dict[str, Any]:
    edges = np.linspace(low, high, 41)
    counts = {key: np.histogram(np.clip(v, low, high), edges)[0].tolist() for key, v in values.items()}
    return {"edges": edges.round(4).tolist(), "counts": counts, **(more or {})}


def _confusion() -> list[list[int]]:
    counts = np.random.default_rng(3).integers(0, 6, (7, 7)) + np.diag([210, 190, 14, 11, 3, 5, 9])
    return counts.tolist()
