"""Measurements made up face by face, for the tests of what is computed from them."""

from __future__ import annotations

from typing import Any

import numpy as np

from fo_faceanon.evaluation.measure import Compared, Measured


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def made_up(n: int = 24, keep: float = 0.0, seed: int = 0, missing: tuple[int, ...] = (), floor: int = 8) -> list[Measured]:
    """``n`` pictures of one face each. ``keep``: share of the original's identity; ``missing``: faces that were not found again."""
    random = np.random.default_rng(seed)
    before, other = unit(random.normal(size=(n, 32))), unit(random.normal(size=(n, 32)))
    after = unit(keep * before + (1 - keep) * other)
    result = []
    for i in range(n):
        row = _row(i, float(before[i] @ after[i]), i not in missing, float(random.uniform(0.02, 0.04)))
        twin = _compared(_row(i, 1.0, True, 0.002), before[i : i + 1], before[i : i + 1])
        result.append(Measured(_compared(row, before[i : i + 1], after[i : i + 1]), twin if i < floor else None))
    return result


def _row(i: int, cosine: float, detected: bool, error: float) -> dict[str, Any]:
    row: dict[str, Any] = {"key": f"{i:03}.png", "number": 0, "person": None, "box": [0.0, 0.0, 50.0, 50.0], "steady": i % 4 != 0}
    row |= {"detected": detected, "detected_second": True, "cosine_edgeface_s": cosine, "reidentified_edgeface_s": cosine > 0.34}
    row |= {"delta_e": 5.0 + i / 10, "si_mse": 0.01, "emotion_kept": detected and i % 3 != 0}
    row["groups"] = {"sex": "male" if i % 2 else "female", "age": "60+" if i < 3 else "20-39"}
    if detected:
        row |= {"landmark_error": error, "landmark_error_steady": error if row["steady"] else None}
    return row


def _compared(row: dict[str, Any], before: np.ndarray, after: np.ndarray) -> Compared:
    emotions = np.eye(7, dtype=np.float32)[:1]
    return Compared([row], {"edgeface-s": (before, after)}, (emotions, emotions), None, None)
