"""The scores that the benchmarks report, against definitions written out pair by pair."""

from __future__ import annotations

import importlib.util
from itertools import combinations
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest


def benchmark(name: str) -> ModuleType:
    path = Path(__file__).resolve().parents[2] / "benchmarks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


scores = benchmark("scores")


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def gallery() -> tuple[np.ndarray, list[str]]:
    rng = np.random.default_rng(3)
    people = [p for p in "abcdefgh" for _ in range(3)]
    centres = {p: rng.normal(size=16) for p in set(people)}
    return unit(np.stack([centres[p] + 0.9 * rng.normal(size=16) for p in people])).astype(np.float32), people


def test_across_photos_is_what_it_says(gallery: tuple[np.ndarray, list[str]]) -> None:
    originals, people = gallery
    probes = unit(originals + 0.3 * np.random.default_rng(4).normal(size=originals.shape))
    genuine, impostors, hits = [], [], []
    for i, probe in enumerate(probes):
        others = [j for j in range(len(people)) if j != i]
        values = {j: float(probe @ originals[j]) for j in others}
        genuine += [values[j] for j in others if people[j] == people[i]]
        impostors += [values[j] for j in others if people[j] != people[i]]
        hits.append(people[max(values, key=values.__getitem__)] == people[i])
    found = scores.across_photos(probes, originals, people, 0.4)
    assert found["tar"] == pytest.approx(np.mean(np.array(genuine) > 0.4))
    assert found["far"] == pytest.approx(np.mean(np.array(impostors) > 0.4))
    assert found["rank1"] == pytest.approx(np.mean(hits)) and 0 < found["rank1"] < 1
    assert found["pairs"] == len(genuine) == 48


def test_the_pictures_own_original_is_no_evidence(gallery: tuple[np.ndarray, list[str]]) -> None:
    _, people = gallery
    unlike = np.eye(len(people), dtype=np.float32)  # every picture is like itself alone
    assert scores.across_photos(unlike, unlike, people, 0.5)["tar"] == 0
    assert scores.same_photo(unlike, unlike, 0.5)["rank1"] == 1


def test_pictures_without_a_vector_are_not_recognised(gallery: tuple[np.ndarray, list[str]]) -> None:
    originals, people = gallery
    probes = np.full_like(originals, np.nan)
    probes[0] = originals[0]
    across, same = scores.across_photos(probes, originals, people, 0.0), scores.same_photo(probes, originals, 0.0)
    assert across["tar"] <= 2 / 48 and across["rank1"] <= 1 / 24
    assert same["n"] == 1 and same["cosine"] == pytest.approx(1) and same["accepted"] == same["rank1"] == pytest.approx(1 / 24)


def test_threshold_and_area_follow_their_definitions() -> None:
    rng = np.random.default_rng(5)
    genuine, impostors = rng.normal(1, 1, 300), rng.normal(0, 1, 5000)
    for far in (1e-3, 1e-2):
        assert (impostors > scores.threshold_at(impostors, far)).mean() == pytest.approx(far, abs=1e-4)
    wins = (genuine[:, None] > impostors).mean() + 0.5 * (genuine[:, None] == impostors).mean()
    assert scores.area_under_curve(genuine, impostors) == pytest.approx(wins)
    assert scores.area_under_curve(np.ones(4), np.ones(9)) == 0.5


def test_halves_split_people_for_good() -> None:
    names = [f"Person_{a}_{b}" for a, b in combinations(range(30), 2)]
    halves = [scores.half_of(name) for name in names]
    assert set(halves) == {"A", "B"} and 0.4 < halves.count("A") / len(halves) < 0.6
    assert scores.half_of("Ada_Lovelace") == scores.half_of("Ada_Lovelace")
