"""Means with bootstrap intervals, and when there are too few faces for one."""

from __future__ import annotations

import numpy as np

from fo_faceanon.evaluation.figures import Figure

#: Faces below which no mean is given.
MIN_FACES = 10
#: Clusters times resamples that are held at once: bounds memory.
_CELLS = 4_000_000


def bootstrap_interval(
    values: np.ndarray, clusters: np.ndarray | None = None, level: float = 0.95, samples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval of a mean (Efron 1979), with whole clusters drawn anew (Davison and Hinkley 1997, 3.8).

    Args:
        values: ``N``; NaN is left out.
        clusters: ``N`` numbers; faces with one number (of one picture, or person) are drawn together. By default each by itself.
        level: of the interval.
        samples: resamples.
        seed: of the draws.

    Returns:
        Both ends; NaN where there is no value.
    """
    low, high = bootstrap_intervals(np.asarray(values, float)[:, None], clusters, level, samples, seed)
    return float(low[0]), float(high[0])


def bootstrap_intervals(
    values: np.ndarray, clusters: np.ndarray | None = None, level: float = 0.95, samples: int = 2000, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """The same for every column of ``N x K`` values on one set of draws: ``K`` lower and ``K`` upper ends."""
    known = np.isfinite(values)
    numbers = np.arange(len(values)) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    size = int(numbers.max()) + 1 if len(numbers) else 0
    if not known.any():
        return np.full(values.shape[1], np.nan), np.full(values.shape[1], np.nan)
    sums, counts = np.zeros((size, values.shape[1])), np.zeros((size, values.shape[1]))
    np.add.at(sums, numbers, np.where(known, values, 0))
    np.add.at(counts, numbers, known)
    random = np.random.default_rng(seed)
    means = []
    for start in range(0, samples, step := max(_CELLS // size, 1)):
        drawn = random.multinomial(size, np.full(size, 1 / size), min(step, samples - start)).astype(float)
        with np.errstate(invalid="ignore"):  # a resample without any value of a column says nothing of it
            means.append((drawn @ sums) / (drawn @ counts))
    tail, able = (1 - level) / 2, known.any(0)
    ends = np.full((2, values.shape[1]), np.nan)
    ends[:, able] = np.nanquantile(np.concatenate(means)[:, able], [tail, 1 - tail], axis=0)
    return ends[0], ends[1]


def unanimous_interval(yes: bool, n: int, level: float = 0.95) -> tuple[float, float]:
    """Interval of a share after ``n`` answers that were all the same (Clopper and Pearson 1934): resamples of those say nothing."""
    reach = 1 - ((1 - level) / 2) ** (1 / n)
    return (1 - reach, 1.0) if yes else (0.0, reach)


def figure_of(
    values: np.ndarray,
    clusters: np.ndarray | None = None,
    *,
    share: bool = False,
    floor: np.ndarray | None = None,
    missing: int = 0,
    least: int = MIN_FACES,
    withheld: str | None = None,
    interval: tuple[float, float] | None = None,
) -> Figure:
    """The mean of one value per face as a figure.

    Args:
        values: ``N``; NaN where a face could not be measured, which counts as missing.
        clusters: ``N`` numbers of pictures or persons, for the interval.
        share: whether the values are yes (1) or no (0): the figure is then in percent.
        floor: the same of the originals re-encoded; NaN is left out.
        missing: more faces that should have counted.
        least: faces below which the value is withheld.
        withheld: a reason to withhold the value whatever its number.
        interval: both ends, where they were bootstrapped already.
    """
    values, scale = np.asarray(values, float), 100.0 if share else 1.0
    known = np.isfinite(values)
    n, missing = int(known.sum()), missing + int((~known).sum())
    base, base_n = _floor(floor, scale)
    if withheld is None and n < least:
        withheld = f"only {n} {'face' if n == 1 else 'faces'} could be measured, and a mean needs {least}"
    if withheld is not None:
        return Figure(None, n, missing=missing, withheld=withheld)
    low, high = interval or bootstrap_interval(values, clusters)
    if share and low == high:
        low, high = unanimous_interval(low > 0.5, n if clusters is None else len(np.unique(np.asarray(clusters)[known])))
    return Figure(float(values[known].mean()) * scale, n, low * scale, high * scale, missing, base, base_n)


def _floor(floor: np.ndarray | None, scale: float) -> tuple[float | None, int]:
    known = np.asarray([] if floor is None else floor, float)
    known = known[np.isfinite(known)]
    return (float(known.mean()) * scale, len(known)) if len(known) else (None, 0)
