"""Soft emotion labels: what the teachers say, weighed by how they did on faces that were labelled by eye.

The teachers say neutral or happy far too often and rarely mean the same by the rest. A multinomial logistic regression reads their log
probabilities (and MediaPipe's blendshapes where there are any) and is fitted to training faces labelled by eye, with the rare classes
weighing more: what it returns supposes that emotions differ less in frequency than they do.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from fo_faceanon.errors import InputError
from fo_faceanon.networks.emotion import EMOTIONS

#: Names of pictures labelled by eye, by set and emotion.
BY_EYE = Path(__file__).parents[1] / "data" / "emotion.by_eye.json"
#: A face labelled by eye keeps this much doubt, shared with the regression's opinion of it.
DOUBT = 0.15
#: The regression's probabilities are raised to this power: a pupil of hesitant labels never says anything rare.
SHARPEN = 1.5
#: How far the classes are balanced: 0 leaves them as frequent as they are, 1 makes them equally frequent.
BALANCE = 1.0
#: Columns of ``<set>.teachers.npz`` that hold probabilities.
TEACHERS = ("face_api", "fer")


def by_eye(set_name: str, names: np.ndarray) -> Tensor:
    """``N`` class indices of the faces of a set, -1 where nobody looked."""
    labels = json.loads(BY_EYE.read_text()).get(set_name, {})
    index = {name: EMOTIONS.index(emotion) for emotion, files in labels.items() for name in files}
    return torch.tensor([index.get(str(name), -1) for name in names])


def evidence(columns: Mapping[str, np.ndarray], blendshapes: bool) -> Tensor:
    """``N x F``: logarithms of the teachers' probabilities, with or without the square roots of the blendshapes.

    Raises:
        InputError: a teacher's column is missing.
    """
    missing = [name for name in TEACHERS if name not in columns]
    if missing:
        raise InputError(f"the faces lack what {', '.join(missing)} said of them: run fo_faceanon.training.emotion_teachers first")
    parts = [torch.from_numpy(columns[name]).float().clamp_min(1e-4).log() / 3 for name in TEACHERS]
    if blendshapes:
        parts.append(torch.from_numpy(columns["blendshapes"]).float().clamp(0, 1).sqrt() * 2)
    return torch.cat(parts, 1)


class Regression:
    """Multinomial logistic regression with a ridge penalty, its classes balanced as far as :data:`BALANCE` says.

    Args:
        features: ``N x F``.
        labels: ``N`` class indices.
        ridge: penalty on the squared coefficients of standardized features, per face.
    """

    def __init__(self, features: Tensor, labels: Tensor, ridge: float = 0.01) -> None:
        self._mean, self._std = features.mean(0), features.std(0).clamp_min(0.05)
        counts = torch.bincount(labels, minlength=len(EMOTIONS)).float()
        weights = (counts.sum() / (counts > 0).sum() / counts.clamp_min(1)) ** BALANCE
        self._matrix = torch.zeros(features.shape[1] + 1, len(EMOTIONS), requires_grad=True)
        inputs = self._standardized(features)
        optimizer = torch.optim.LBFGS([self._matrix], max_iter=300, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = F.cross_entropy(inputs @ self._matrix, labels, weights) + ridge * self._matrix[:-1].square().sum()
            loss.backward()
            return loss

        optimizer.step(closure)
        self._matrix = self._matrix.detach()

    def _standardized(self, features: Tensor) -> Tensor:
        return F.pad((features - self._mean) / self._std, (0, 1), value=1.0)

    def __call__(self, features: Tensor) -> Tensor:
        """``N x 7`` probabilities."""
        return (self._standardized(features) @ self._matrix).softmax(1)


def _sharpened(probabilities: Tensor) -> Tensor:
    return F.normalize(probabilities**SHARPEN, p=1, dim=1)


def soft_labels(
    sets: Mapping[str, Mapping[str, np.ndarray]], eyes: Mapping[str, Tensor], exclude: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """``N x 7`` probabilities per set.

    Args:
        sets: per set, the columns that ``emotion_teachers`` wrote.
        eyes: per set, ``N`` labels by eye, -1 for none.
        exclude: per set, ``N`` bool: labels by eye that only test; neither the regression nor the result uses them.
    """
    out: dict[str, Tensor] = {}
    used = {name: torch.where(exclude[name], -1, eyes[name]) for name in sets}
    for with_shapes in (False, True):
        features = {name: evidence(columns, with_shapes) for name, columns in sets.items() if not with_shapes or "blendshapes" in columns}
        if not features:
            continue
        fit = {name: (used[name] >= 0) & values.isfinite().all(1) for name, values in features.items()}
        model = Regression(torch.cat([features[n][fit[n]] for n in features]), torch.cat([used[n][fit[n]] for n in features]))
        for name, values in features.items():
            known = values.isfinite().all(1)
            old = out.get(name, torch.zeros(len(values), len(EMOTIONS)))
            out[name] = torch.where(known[:, None], _sharpened(model(values.nan_to_num())), old)
    for name, labels in used.items():
        seen = F.one_hot(labels.clamp_min(0), len(EMOTIONS)).float() * (1 - DOUBT) + out[name] * DOUBT
        out[name] = torch.where(labels[:, None] >= 0, seen, out[name])
    return out
