"""Agreement and distance of emotions against SciPy and counting, and blendshapes by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fo_faceanon.errors import InputError
from fo_faceanon.metrics.expression import blendshape_error, confusion, emotion_distance, emotion_kept


def probabilities(seed: int, n: int = 30) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).dirichlet(np.full(7, 0.4), n))


def test_the_distance_is_scipys_and_a_metric_of_zero_to_one() -> None:
    distance = pytest.importorskip("scipy.spatial.distance")
    a, b = probabilities(0), probabilities(1)
    expected = [distance.jensenshannon(p, q, base=2) for p, q in zip(a.numpy(), b.numpy(), strict=True)]
    assert emotion_distance(a, b).numpy() == pytest.approx(expected, abs=1e-9)
    assert emotion_distance(a, a).numpy() == pytest.approx(0, abs=1e-7)
    assert float(emotion_distance(torch.eye(7)[:1], torch.eye(7)[1:2])) == pytest.approx(1)


def test_an_undetected_face_keeps_no_emotion_and_an_unknown_original_says_nothing() -> None:
    a, b = probabilities(0, 4), probabilities(0, 4)
    a[1], b[2] = torch.nan, torch.nan
    kept = emotion_kept(a, b)
    assert kept[[0, 1, 3]].tolist() == [1, 0, 1] and kept[2].isnan()
    assert emotion_distance(a, b).isnan().tolist() == [False, True, True, False]
    assert int(confusion(a, b).sum()) == 2


def test_confusion_counts_originals_in_rows() -> None:
    a, b = probabilities(0), probabilities(1)
    expected = np.zeros((7, 7), int)
    for p, q in zip(a.argmax(1).tolist(), b.argmax(1).tolist(), strict=True):
        expected[q, p] += 1
    assert confusion(a, b).tolist() == expected.tolist()
    assert float(emotion_kept(a, b).mean()) == pytest.approx(np.trace(expected) / 30)


def test_blendshapes_by_hand() -> None:
    a, b = torch.zeros(2, 52), torch.zeros(2, 52)
    a[0, 3], b[0, 9], a[1] = 0.5, 0.02, torch.nan
    error = blendshape_error(a, b)
    assert float(error[0]) == pytest.approx(0.52 / 52) and error[1].isnan()
    with pytest.raises(InputError, match="one shape"):
        blendshape_error(a, b[:, :5])
