"""Rates, protocols and thresholds of attacks, against definitions written out pair by pair."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest

from fo_faceanon.attacks.calibration import calibrate, calibrate_by_fold, default_calibration
from fo_faceanon.attacks.folds import fold_numbers
from fo_faceanon.attacks.linkability import linked_photos, linked_sets
from fo_faceanon.attacks.protocols import across_photos, impostors, rows_of, same_photo
from fo_faceanon.attacks.rates import Search, summarise


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def faces(people: int = 12, photos: int = 3, dim: int = 24, spread: float = 0.9, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    rng = np.random.default_rng(seed)
    centres = np.repeat(rng.normal(size=(people, dim)), photos, 0)
    return unit(centres + spread * rng.normal(size=centres.shape)), [f"p{i:03d}" for i in range(people) for _ in range(photos)]


def test_across_photos_against_a_count_by_hand() -> None:
    originals, people = faces()
    probes = unit(originals + 0.2 * np.random.default_rng(1).normal(size=originals.shape))
    rates = summarise([across_photos(probes, originals, people, {1e-3: 0.5, 1e-2: 0.3})])
    genuine, first, fifth, chance = [], [], [], []
    for i, probe in enumerate(probes):
        others = [j for j in range(len(people)) if j != i]
        order = sorted(others, key=lambda j: -float(probe @ originals[j]))
        mates = [j for j in others if people[j] == people[i]]
        genuine += [float(probe @ originals[j]) for j in mates]
        first.append(people[order[0]] == people[i])
        fifth.append(any(people[j] == people[i] for j in order[:5]))
        chance.append(1 - comb(len(others) - len(mates), 5) / comb(len(others), 5))
    assert rates["tar@0.001"].value == pytest.approx(np.mean(np.array(genuine) > 0.5)) and rates["tar@0.001"].n == len(genuine) == 72
    assert rates["tar@0.01"].value == pytest.approx(np.mean(np.array(genuine) > 0.3))
    assert rates["rank1"].value == pytest.approx(np.mean(first)) and rates["rank5"].value == pytest.approx(np.mean(fifth))
    assert rates["rank5"].chance == pytest.approx(np.mean(chance)) and rates["rank1"].chance == pytest.approx(2 / 35)
    assert rates["cosine"].value == pytest.approx(np.mean(genuine), abs=1e-6) and rates["rank1"].people == 12
    low, value, high = rates["rank1"].low, rates["rank1"].value, rates["rank1"].high
    assert low is not None and high is not None and value is not None and low < value < high


def test_same_photo_ignores_other_photos_of_the_person() -> None:
    originals, people = faces()
    rates = summarise([same_photo(originals, originals, people, {1e-3: 0.9, 1e-2: 0.9})])
    assert rates["tar@0.001"].value == 1 and rates["rank1"].value == 1 and rates["tar@0.001"].n == 36
    assert rates["rank1"].chance == pytest.approx(1 / 34)  # 36 originals less two others of the person


def test_a_probe_without_a_vector_counts_as_a_guess_and_is_never_dropped() -> None:
    originals, people = faces()
    probes = np.full_like(originals, np.nan)
    rates = summarise([across_photos(probes, originals, people, {1e-3: 0.5, 1e-2: 0.3})])
    assert rates["rank1"].n == 36 and rates["rank1"].value == pytest.approx(2 / 35) == rates["rank1"].chance
    assert rates["tar@0.001"].n == 72 and rates["tar@0.001"].value == pytest.approx(1e-3)
    assert rates["cosine"].value is None


def test_equal_scores_find_nobody() -> None:
    people = [f"p{i}" for i in range(15) for _ in range(2)]
    same = np.ones((30, 8), np.float32) / 8**0.5  # one fake for all
    assert summarise([across_photos(same, same, people, {})])["rank1"].value == 0


def test_more_pictures_in_the_gallery_are_found() -> None:
    originals, people = faces(30, 1)
    again, names = faces(30, 1, seed=0)
    alone = summarise([across_photos(originals, originals, people, {})])
    assert alone["rank1"].value is None and "too few" in (alone["rank1"].withheld or "")
    held = summarise([across_photos(originals, originals, people, {}, more=again, more_people=names)])
    assert held["rank1"].value == 1


def test_thresholds_are_set_on_the_attacks_own_impostors_where_none_are_given() -> None:
    originals, people = faces(60, 4, spread=0.6)
    rates = summarise([across_photos(originals, originals, people, {})])
    scores = originals @ originals.T
    different = np.array(people)[:, None] != np.array(people)[None]
    threshold = np.quantile(scores[different], 0.999)
    wanted = scores[~different & ~np.eye(240, dtype=bool)] > threshold
    assert rates["tar@0.001"].value == pytest.approx(wanted.mean(), abs=2e-3) and 0.1 < wanted.mean() < 1
    few = summarise([across_photos(originals[:60], originals[:60], people[:60], {})])
    assert few["tar@0.001"].value is None and "10,000" in (few["tar@0.001"].withheld or "") and few["tar@0.01"].value is not None


def test_folds_are_pooled() -> None:
    originals, people = faces()
    whole = across_photos(originals, originals, people, {1e-3: 0.5, 1e-2: 0.3})
    parts = [rows_of(whole, rows, whole.thresholds) for rows in (np.arange(10), np.arange(10, 36))]
    assert summarise(parts)["rank1"].value == summarise([whole])["rank1"].value
    assert summarise(parts)["tar@0.001"] == summarise([whole])["tar@0.001"]


def test_impostors_score_as_strangers_do() -> None:
    originals, people = faces(40, 4)
    wrong = impostors(across_photos(originals, originals, people, {1e-3: 0.5, 1e-2: 0.3}), people)
    assert wrong.genuine.sum() == 40 * 4 * 4 and not (wrong.genuine & (np.array(people)[:, None] == np.array(people)[None])).any()
    right = summarise([across_photos(originals, originals, people, {})])["cosine"].value
    strangers = summarise([wrong])["cosine"].value
    assert strangers is not None and right is not None and abs(strangers) < 0.1 and right > 0.4


def test_no_hit_at_all_still_has_an_upper_bound() -> None:
    scores = np.zeros((30, 30), np.float32)
    people = [f"p{i}" for i in range(30)]
    own = np.eye(30, dtype=bool)
    rate = summarise([Search(scores, own, ~own & False, people, {1e-3: 0.5, 1e-2: 0.5})])["tar@0.001"]
    assert rate.value == 0 and rate.high == pytest.approx(1 - 0.05 ** (1 / 30)) and rate.low == 0


def test_calibration_gives_its_rate_on_fresh_impostors() -> None:
    originals, people = faces(150, 2, dim=64)
    calibration = calibrate(originals, people)
    assert calibration.pairs == 300 * 299 // 2 - 150 and not calibration.withheld
    fresh, names = faces(150, 2, dim=64, seed=5)
    scores = (fresh @ fresh.T)[np.array(names)[:, None] != np.array(names)[None]]
    for far, threshold in calibration.thresholds.items():
        assert (scores > threshold).mean() == pytest.approx(far, rel=0.5)
    few = calibrate(originals[:60], people[:60])
    assert 1e-3 not in few.thresholds and "10,000" in few.withheld[1e-3] and 1e-2 in few.thresholds
    assert default_calibration("edgeface-s") is not None and default_calibration("somebody") is None


def test_nobodys_own_pictures_set_the_threshold_of_the_attack_on_them() -> None:
    originals, people = faces(80, 2)
    part = fold_numbers(people)
    assert {len(set(part[[i for i, p in enumerate(people) if p == name]])) for name in set(people)} == {1}
    assert np.bincount(part).tolist() == [40, 40, 40, 40]
    changed = originals.copy()
    changed[part == 0] = unit(np.random.default_rng(9).normal(size=(40, 24)))
    before, after = calibrate_by_fold(originals, people), calibrate_by_fold(changed, people)
    assert before[0] == after[0] and before[1] != after[1]
    assert (fold_numbers(people[:50]) == fold_numbers(people[:50][::-1])[::-1]).all()


def test_linkability() -> None:
    originals, people = faces(30, 3)
    identical = np.repeat(unit(np.random.default_rng(2).normal(size=(30, 24))), 3, 0)  # one fake per person
    fresh = unit(np.random.default_rng(3).normal(size=(90, 24)))
    linked = linked_photos({"a": identical, "b": fresh}, people)
    assert linked["a"].value == 1 and linked["b"].value == pytest.approx(0.5, abs=0.1)
    assert linked["b"].low is not None and linked["b"].high is not None and linked["b"].low < 0.5 < linked["b"].high
    again = linked_sets({"a": fresh}, {"a": fresh}, people)["a"]
    assert again["same photo"].value == 1 and again["other photo"].value == pytest.approx(0.5, abs=0.1)
    assert linked_photos({"a": originals[:6]}, people[:6])["a"].withheld
