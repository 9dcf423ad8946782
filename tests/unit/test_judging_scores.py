"""Scores of recognition against definitions written out pair by pair."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from fo_faceanon.judging import scores


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def gallery() -> tuple[np.ndarray, list[str]]:
    rng = np.random.default_rng(3)
    people = [p for p in "abcdefgh" for _ in range(3)]
    centres = {p: rng.normal(size=16) for p in "abcdefgh"}
    return unit(np.stack([centres[p] + 0.9 * rng.normal(size=16) for p in people])).astype(np.float32), people


def test_across_photos_is_what_it_says(gallery: tuple[np.ndarray, list[str]]) -> None:
    originals, people = gallery
    probes = unit(originals + 0.3 * np.random.default_rng(4).normal(size=originals.shape))
    genuine, impostors, hits = [], [], {1: [], 5: []}
    for i, probe in enumerate(probes):
        values = {j: float(probe @ originals[j]) for j in range(len(people)) if j != i}
        genuine += [values[j] for j in values if people[j] == people[i]]
        impostors += [values[j] for j in values if people[j] != people[i]]
        ordered = sorted(values, key=values.__getitem__, reverse=True)
        for k, list_ in hits.items():
            list_.append(any(people[j] == people[i] for j in ordered[:k]))
    found = scores.across_photos(probes, originals, people, 0.4, ranks=(1, 5))
    assert found["tar"] == pytest.approx(np.mean(np.array(genuine) > 0.4))
    assert found["far"] == pytest.approx(np.mean(np.array(impostors) > 0.4))
    assert found["rank1"] == pytest.approx(np.mean(hits[1])) and 0 < found["rank1"] < 1
    assert found["rank5"] == pytest.approx(np.mean(hits[5])) and found["rank5"] > found["rank1"]
    wins = np.mean([(g > h) + 0.5 * (g == h) for g in genuine for h in impostors])
    assert found["auc"] == pytest.approx(wins)
    assert found["pairs"] == len(genuine) == 48 and found["probes"] == 24


def test_the_pictures_own_original_is_no_evidence_nor_are_other_faces_of_the_same_picture(gallery: tuple[np.ndarray, list[str]]) -> None:
    _, people = gallery
    unlike = np.eye(len(people), dtype=np.float32)  # every picture is like itself alone
    assert scores.across_photos(unlike, unlike, people, 0.5)["tar"] == 0
    assert scores.same_photo(unlike, unlike, 0.5)["rank1"] == 1
    pictures = np.repeat(np.arange(8), 3)  # all photographs of a person are one picture: nothing to find anyone by
    assert scores.across_photos(unlike, unlike, people, 0.5, own=pictures)["probes"] == 0


def test_people_with_one_photograph_can_only_be_impostors(gallery: tuple[np.ndarray, list[str]]) -> None:
    originals, people = gallery
    lonely = scores.across_photos(originals, originals, [*people[:-3], "x", "y", "z"], 0.4)
    assert lonely["probes"] == 21 and lonely["pairs"] == 42


def test_faces_without_a_vector_are_not_recognised(gallery: tuple[np.ndarray, list[str]]) -> None:
    originals, people = gallery
    probes = np.full_like(originals, np.nan)
    probes[0] = originals[0]
    across, same = scores.across_photos(probes, originals, people, 0.0), scores.same_photo(probes, originals, 0.0)
    assert across["tar"] <= 2 / 48 and across["rank1"] <= 1 / 24 and across["rank10"] <= 1 / 24
    assert same["n"] == 1 and same["cosine"] == pytest.approx(1) and same["accepted"] == same["rank1"] == pytest.approx(1 / 24)


def test_threshold_and_area_follow_their_definitions() -> None:
    rng = np.random.default_rng(5)
    genuine, impostors = rng.normal(1, 1, 300), rng.normal(0, 1, 5000)
    for far in (1e-3, 1e-2):
        assert scores.accept_rate(impostors, scores.threshold_at(impostors, far)) == pytest.approx(far, abs=1e-4)
    wins = (genuine[:, None] > impostors).mean() + 0.5 * (genuine[:, None] == impostors).mean()
    assert scores.area_under_curve(genuine, impostors) == pytest.approx(wins)
    assert scores.area_under_curve(np.ones(4), np.ones(9)) == 0.5
    assert np.isnan(scores.area_under_curve(np.ones(0), np.ones(9))) and np.isnan(scores.accept_rate(np.zeros(0), 0.5))


def test_a_tie_goes_against_the_attacker() -> None:
    same = np.array([[True, False, False]])
    assert scores.rank_rate(np.array([[0.5, 0.5, 0.1]]), same) == 0
    assert scores.rank_rate(np.array([[0.5, 0.5, 0.1]]), same, 2) == 1
    assert scores.rank_rate(np.array([[np.nan, 0.5, 0.1]]), same, 3) == 0


def test_impostors_are_pairs_of_different_faces_and_people(gallery: tuple[np.ndarray, list[str]]) -> None:
    originals, people = gallery
    full = originals @ originals.T
    assert scores.impostor_scores(originals, originals).mean() == pytest.approx(full[~np.eye(24, dtype=bool)].mean(), abs=1e-6)
    strangers = full[~scores.same_person(people, people)]
    assert np.sort(scores.impostor_scores(originals, originals, people)) == pytest.approx(np.sort(strangers), abs=1e-6)
    drawn = scores.impostor_scores(originals, originals, people, most=300)
    assert 200 < len(drawn) <= 300 and drawn.max() <= strangers.max() + 1e-6 and drawn.mean() == pytest.approx(strangers.mean(), abs=0.05)


def test_somebody_unknown_is_like_nobody() -> None:
    assert scores.same_person([None, "a"], [None, "a"]).tolist() == [[False, False], [False, True]]


def test_halves_split_people_for_good() -> None:
    names = [f"Person_{a}_{b}" for a, b in combinations(range(30), 2)]
    halves = [scores.half_of(name) for name in names]
    assert set(halves) == {"A", "B"} and 0.4 < halves.count("A") / len(halves) < 0.6
