"""Correlations with their intervals, and intervals of means."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from pruncam.choices import check_choice, check_number

METHODS = ("pearson", "spearman", "kendall")
_DRAWN = 2**15  # rows that are drawn at a time: they stay in the cache


@dataclass(frozen=True)
class Correlation:
    """A correlation coefficient in [-1, 1], its 95 % interval, its two-sided p-value and degrees of freedom."""

    method: str
    value: float
    low: float
    high: float
    p_value: float
    df: int


@dataclass(frozen=True)
class Interval:
    """An estimate and its confidence interval."""

    value: float
    low: float
    high: float


def correlation(x: ArrayLike, y: ArrayLike, method: str = "pearson") -> Correlation:
    """Correlation of two series of the same length n, with df = n - 2.

    Intervals by Fisher's z: standard error 1/sqrt(n - 3) for Pearson, sqrt((1 + r^2/2)/(n - 3)) for Spearman (Bonett
    and Wright 2000), sqrt(0.437/(n - 4)) for Kendall's tau-b (Fieller et al. 1957). A constant series has no
    correlation: every field but df is nan.

    Raises ValueError for an unknown method, series of different length, fewer than 5 points, or values not finite.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    check_choice("correlation", method, METHODS)
    if x.shape != y.shape or x.ndim != 1 or len(x) < 5:
        raise ValueError(f"a correlation needs two series of the same length, 5 or more, got {x.shape} and {y.shape}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("a correlation needs finite values, got nan or infinity")
    n = len(x)
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return Correlation(method, math.nan, math.nan, math.nan, math.nan, n - 2)
    test = {"pearson": stats.pearsonr, "spearman": stats.spearmanr, "kendall": stats.kendalltau}[method](x, y)
    r = float(test.statistic)
    error = {
        "pearson": 1 / math.sqrt(n - 3),
        "spearman": math.sqrt((1 + r**2 / 2) / (n - 3)),
        "kendall": math.sqrt(0.437 / (n - 4)),
    }[method]
    z = math.atanh(r) if abs(r) < 1 else math.copysign(math.inf, r)
    half = stats.norm.ppf(0.975) * error
    return Correlation(method, r, math.tanh(z - half), math.tanh(z + half), float(test.pvalue), n - 2)


def bootstrap_mean(values: ArrayLike, *, samples: int, seed: int, confidence: float = 0.95) -> Interval:
    """The mean of one-dimensional values and its percentile bootstrap interval.

    Raises ValueError where there is no value, one is not finite, `samples` is below 100, or `confidence` not in (0, 1).
    """
    values = _finite(values, at_least=1)
    return bootstrap_means(values[:, None], samples=samples, seed=seed, confidence=confidence)[0]


def bootstrap_means(
    values: ArrayLike,
    *,
    samples: int,
    seed: int,
    confidence: float = 0.95,
    strata: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> list[Interval]:
    """The means of several columns over the same images, each with its percentile bootstrap interval.

    Parameters
    ----------
    values : (n, columns), finite
        Rows are drawn with replacement, all columns together.
    strata, weights : (n,) indices from 0, and (strata,) shares that sum to 1; both or none
        With them rows are drawn within their stratum, and a mean is the weighted sum of the strata's means.

    Raises ValueError as `bootstrap_mean`, and where a stratum with a weight has no row.
    """
    values = np.asarray(values, dtype=float)
    if values.ndim != 2 or values.size == 0 or not np.isfinite(values).all():
        raise ValueError(f"bootstrap means need finite values (n, columns) and at least one row, got {values.shape}")
    _check_confidence(confidence)
    check_number("samples", samples, whole=True)
    if samples < 100:
        raise ValueError(f"a bootstrap interval needs at least 100 samples, got {samples}")
    if (strata is None) != (weights is None):
        raise ValueError("strata and weights go together: give both or none")
    strata = np.zeros(len(values), dtype=int) if strata is None else np.asarray(strata)
    weights = np.ones(1) if weights is None else np.asarray(weights, dtype=float)
    if strata.shape != values.shape[:1] or strata.dtype.kind not in "iu" or strata.min() < 0:
        raise ValueError(f"strata must be one index from 0 for each of {len(values)} rows, got {strata.shape}")
    if weights.ndim != 1 or not (weights >= 0).all() or not math.isclose(weights.sum(), 1, abs_tol=1e-9):
        raise ValueError("weights must be shares, one per stratum, not negative and 1 in sum")
    if strata.max() >= len(weights):
        raise ValueError(f"every stratum needs a weight: there are {len(weights)}, and a row of stratum {strata.max()}")
    groups = [np.flatnonzero(strata == k) for k in range(len(weights))]
    if any(weight > 0 and len(group) == 0 for weight, group in zip(weights, groups, strict=True)):
        raise ValueError("every stratum with a weight needs at least one row")
    generator, means, estimate = np.random.default_rng(seed), np.zeros((samples, values.shape[1])), 0.0
    for weight, group in zip(weights, groups, strict=True):
        if len(group) == 0:
            continue
        part = values[group]
        estimate = estimate + weight * part.mean(0)
        means += weight * resampled_sums(part, samples, generator) / len(part)
    lows, highs = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    return [
        Interval(float(value), float(low), float(high)) for value, low, high in zip(estimate, lows, highs, strict=True)
    ]


def resampled_sums(values: np.ndarray, samples: int, generator: np.random.Generator) -> np.ndarray:
    """Sums of the columns of (n, columns) over n rows that are drawn with replacement, (samples, columns)."""
    n, sums = len(values), []
    for left in range(samples, 0, -(step := max(1, _DRAWN // n))):
        drawn = generator.integers(0, n, (min(step, left), n))
        drawn += n * np.arange(len(drawn))[:, None]
        counts = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape).astype(float)
        # Row by row: a product of matrices may sum in another order where there are more rows.
        sums += [row @ values for row in counts]
    return np.stack(sums)


def t_interval(values: ArrayLike, *, confidence: float = 0.95) -> Interval:
    """The mean of repeated measurements (seeds) and its Student t interval; infinite for a single one."""
    values = _finite(values, at_least=1)
    _check_confidence(confidence)
    mean = float(values.mean())
    if len(values) == 1:
        return Interval(mean, -math.inf, math.inf)
    half = float(stats.t.ppf((1 + confidence) / 2, len(values) - 1) * stats.sem(values))
    return Interval(mean, mean - half, mean + half)


def mean_difference(one: ArrayLike, other: ArrayLike, *, confidence: float = 0.95) -> Interval:
    """The mean of `one` minus that of `other` and its interval by Welch's t; a single `one` is taken as known.

    Raises ValueError where `other` has fewer than 2 values, or one is not finite.
    """
    one, other = _finite(one, at_least=1), _finite(other, at_least=2)
    if len(one) == 1:
        return t_interval(one - other, confidence=confidence)
    _check_confidence(confidence)
    found = stats.ttest_ind(one, other, equal_var=False).confidence_interval(confidence)
    return Interval(float(one.mean() - other.mean()), float(found.low), float(found.high))


def _check_confidence(confidence: float) -> None:
    check_number("confidence", confidence)
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be in (0, 1), such as 0.95, got {confidence}")


def _finite(values: ArrayLike, at_least: int) -> np.ndarray:
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or len(values) < at_least or not np.isfinite(values).all():
        raise ValueError(f"an interval needs {at_least} or more finite values in one dimension, got {values.shape}")
    return values
