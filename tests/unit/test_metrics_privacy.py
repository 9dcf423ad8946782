"""What an attacker with the originals makes of anonymized faces, against definitions written out face by face."""

from __future__ import annotations

import numpy as np
import pytest

from fo_faceanon.metrics import privacy


def vectors(seed: int, n: int = 40, d: int = 16) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(n, d))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_own_cosines_are_scipys() -> None:
    distance = pytest.importorskip("scipy.spatial.distance")
    a, b = vectors(0), vectors(1)
    expected = [1 - distance.cosine(x, y) for x, y in zip(a, b, strict=True)]
    assert privacy.own_cosines(a, b) == pytest.approx(expected, abs=1e-5)


def test_the_nearest_original_is_its_own_where_all_others_are_less_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    originals = vectors(0)
    probes = originals + 0.35 * vectors(1)
    expected = (probes @ originals.T).argmax(1) == np.arange(40)
    assert 0 < expected.sum() < 40 or expected.all()
    assert privacy.nearest_is_own(probes, originals).tolist() == expected.tolist()
    monkeypatch.setattr(privacy, "_ROWS", 7)  # in blocks
    assert privacy.nearest_is_own(probes, originals).tolist() == expected.tolist()
    chosen = np.array([30, 2, 17])
    assert privacy.nearest_is_own(probes[chosen], originals, chosen).tolist() == expected[chosen].tolist()


def test_no_vector_and_a_tie_are_no_recognition() -> None:
    originals = vectors(0, 4)
    probes = originals.copy()
    probes[1] = np.nan
    originals[3] = originals[2]
    assert privacy.nearest_is_own(probes, originals).tolist() == [True, False, False, False]
    assert privacy.accept_rate(privacy.own_cosines(probes, originals), 0.5) == 0.5 or np.isnan(probes[1]).all()


def test_shares_count_everyone() -> None:
    assert privacy.accept_rate(np.array([0.9, np.nan, 0.1, 0.6]), 0.5) == 0.5
    assert np.isnan(privacy.accept_rate(np.zeros(0), 0.5))


def test_impostors_are_other_people() -> None:
    a, b = vectors(0, 12), vectors(1, 12)
    people = ["x"] * 4 + [None] * 4 + ["y"] * 4
    expected = [a[i] @ b[j] for i in range(12) for j in range(12) if i != j and (people[i] is None or people[i] != people[j])]
    assert np.sort(privacy.impostor_scores(a, b, people)) == pytest.approx(np.sort(expected), abs=1e-5)
    assert len(privacy.impostor_scores(a, b)) == 132
