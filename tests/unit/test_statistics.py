"""Bootstrap intervals against their definition, and figures that are withheld."""

from __future__ import annotations

import numpy as np
import pytest

from fo_faceanon.evaluation.statistics import MIN_FACES, bootstrap_interval, bootstrap_intervals, figure_of, unanimous_interval


def test_the_interval_covers_the_mean_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    hits = []
    for seed in range(200):
        low, high = bootstrap_interval(random.exponential(1, 60), samples=400, seed=seed)
        hits.append(low <= 1 <= high)
    assert 0.86 <= np.mean(hits) <= 0.99


def test_the_interval_agrees_with_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    values = np.random.default_rng(1).normal(3, 2, 80)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(2)).confidence_interval
    assert bootstrap_interval(values, samples=4000) == pytest.approx(tuple(theirs), abs=0.05)


def test_faces_of_one_picture_are_drawn_together() -> None:
    pictures = np.repeat(np.arange(20), 5)
    values = np.repeat(np.random.default_rng(3).normal(size=20), 5)  # five copies say no more than one
    apart, together = bootstrap_interval(values), bootstrap_interval(values, pictures)
    alone = bootstrap_interval(values[::5])
    assert together == pytest.approx(alone, abs=1e-9)
    assert together[1] - together[0] > 1.8 * (apart[1] - apart[0])


def test_columns_are_independent_of_each_other_and_nan_is_left_out() -> None:
    random = np.random.default_rng(4)
    table = random.normal(size=(50, 3))
    table[::7, 1] = np.nan
    table[:, 2] = np.nan
    low, high = bootstrap_intervals(table)
    assert (low[0], high[0]) == pytest.approx(bootstrap_interval(table[:, 0]))
    assert low[1] < np.nanmean(table[:, 1]) < high[1]
    assert np.isnan([low[2], high[2]]).all()


def test_a_figure_counts_what_is_missing_and_stands_beside_its_floor() -> None:
    values = np.array([1.0, 0.0, np.nan] * MIN_FACES)
    figure = figure_of(values, share=True, floor=np.array([1, 1, np.nan]), missing=2)
    assert figure.value == pytest.approx(50) and figure.n == 2 * MIN_FACES and figure.missing == MIN_FACES + 2
    assert figure.low is not None and figure.high is not None and figure.low < 50 < figure.high
    assert figure.floor == pytest.approx(100) and figure.floor_n == 2 and figure.withheld is None


@pytest.mark.parametrize("values", [np.ones(MIN_FACES - 1), np.full(40, np.nan), np.zeros(0)])
def test_a_figure_of_too_few_faces_is_withheld_with_the_reason(values: np.ndarray) -> None:
    figure = figure_of(values)
    assert figure.value is None and figure.low is None and figure.withheld and str(MIN_FACES) in figure.withheld


@pytest.mark.parametrize("answer", [0, 1])
def test_a_share_of_none_or_all_is_not_certain(answer: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    exact = stats.binomtest(answer * 40, 40).proportion_ci(method="exact")
    assert unanimous_interval(bool(answer), 40) == pytest.approx((exact.low, exact.high))
    figure = figure_of(np.full(40, answer), share=True)
    assert (figure.low, figure.high) == pytest.approx((100 * exact.low, 100 * exact.high))
    pairs = figure_of(np.full(40, answer), np.arange(40) // 2, share=True)  # two faces of one picture are one answer
    assert (pairs.high or 0) - (pairs.low or 0) > (figure.high or 0) - (figure.low or 0)
    assert figure_of(np.full(40, 0.5)).low == 0.5  # no share: it did not vary
