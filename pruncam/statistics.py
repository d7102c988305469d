"""Correlations with their intervals, and intervals of means."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from pruncam._core.validation import check_choice, check_number

METHODS = ("pearson", "spearman", "kendall")
_TESTS = {
    "pearson": stats.pearsonr,
    "spearman": stats.spearmanr,
    "kendall": stats.kendalltau,
}
_MIN_SAMPLES = 100  # of a bootstrap
_CHUNK = 2**15  # row indices drawn at a time: they stay in the CPU cache


@dataclass(frozen=True)
class Correlation:
    """A correlation coefficient with its 95 % interval and two-sided p-value.

    `value`, `low` and `high` lie in [-1, 1]; `df` is the number of degrees of freedom.
    """

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

    def text(self, digits: int = 3) -> str:
        """Return the estimate and its interval in words: "0.123 [0.100, 0.150]".

        Examples
        --------
        >>> Interval(0.1234, 0.1, 0.15).text()
        '0.123 [0.100, 0.150]'
        """
        return f"{self.value:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"


def distance_from(interval: Interval, value: float) -> Interval:
    """Return the absolute distance between an estimate and a number, with its interval.

    The lower bound is 0 where the number lies within the interval.

    Examples
    --------
    >>> distance_from(Interval(2.0, 1.5, 3.0), 1.0)
    Interval(value=1.0, low=0.5, high=2.0)
    >>> distance_from(Interval(2.0, 1.5, 3.0), 2.5)
    Interval(value=0.5, low=0.0, high=1.0)
    """
    low = interval.low - value
    high = interval.high - value
    nearest, farthest = sorted((abs(low), abs(high)))
    if low <= 0 <= high:
        nearest = 0.0
    return Interval(abs(interval.value - value), nearest, farthest)


def correlation(
    x: ArrayLike,
    y: ArrayLike,
    method: str = "pearson",
) -> Correlation:
    """Correlate two series of the same length n; df = n - 2.

    The intervals use Fisher's z, with the standard error 1/sqrt(n - 3) for Pearson,
    sqrt((1 + r^2/2)/(n - 3)) for Spearman (Bonett and Wright 2000) and sqrt(0.437/(n - 4)) for
    Kendall's tau-b (Fieller et al. 1957). If a series is constant, the correlation is undefined:
    every field but df is NaN.

    Parameters
    ----------
    x, y : array-like of shape (n,), n >= 5, finite
    method : "pearson", "spearman" or "kendall"

    Raises
    ------
    ValueError
        If the method is unknown, the lengths differ, n < 5, or a value is not finite.
    """
    x = np.asarray(x, dtype=float)
    y = np.asarray(y, dtype=float)
    check_choice("correlation", method, METHODS)
    if x.shape != y.shape or x.ndim != 1 or len(x) < 5:
        raise ValueError(
            "a correlation needs two series of the same length, 5 or more, "
            f"got {x.shape} and {y.shape}"
        )
    if not _all_finite(x, y):
        raise ValueError("a correlation needs finite values, got nan or infinity")
    n = len(x)
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        nan = math.nan
        return Correlation(method, value=nan, low=nan, high=nan, p_value=nan, df=n - 2)
    test = _TESTS[method](x, y)
    r = float(test.statistic)
    z = math.atanh(r) if abs(r) < 1 else math.copysign(math.inf, r)
    margin = stats.norm.ppf(0.975) * _standard_error(method, r, n)
    return Correlation(
        method=method,
        value=r,
        low=math.tanh(z - margin),
        high=math.tanh(z + margin),
        p_value=float(test.pvalue),
        df=n - 2,
    )


def rank_correlation(
    x: ArrayLike,
    rows: ArrayLike,
    *,
    undefined: float = math.nan,
) -> np.ndarray:
    """Return Spearman's correlation of one series with each of several others.

    Tied values share their mean rank. Unlike `correlation`, this takes as few as two points, gives
    no interval, and treats all rows at once (as a bootstrap needs).

    Parameters
    ----------
    x : array-like of shape (n,), n >= 2, finite
    rows : array-like of shape (m, n), finite
    undefined : float
        Result where x or a row is constant, so that the correlation is undefined: NaN by default.
        A bootstrap that counts draws without an order as "no correlation" passes 0.

    Returns
    -------
    array of shape (m,), in [-1, 1]

    Raises
    ------
    ValueError
        If the shapes do not fit, n < 2, or a value is not finite.

    Examples
    --------
    >>> rank_correlation([1, 2, 5], [[10, 20, 30], [3, 2, 1], [4, 4, 4]])
    array([ 1., -1., nan])
    """
    x = np.asarray(x, dtype=float)
    rows = np.asarray(rows, dtype=float)
    is_series = x.ndim == 1 and len(x) >= 2
    if not is_series or rows.ndim != 2 or rows.shape[1] != len(x):
        raise ValueError(
            "a rank correlation needs x of shape (n,) and rows of shape (m, n), n at least 2, "
            f"got {x.shape} and {rows.shape}"
        )
    if not _all_finite(x, rows):
        raise ValueError("a rank correlation needs finite values, got nan or infinity")
    mean_rank = (len(x) + 1) / 2
    ranks_x = stats.rankdata(x) - mean_rank
    ranks = stats.rankdata(rows, axis=1) - mean_rank
    squares_x = (ranks_x**2).sum()
    squares = (ranks**2).sum(axis=1)
    norms = np.sqrt(squares_x * squares)
    result = np.full(len(rows), float(undefined))
    return np.divide(ranks @ ranks_x, norms, out=result, where=norms > 0)


def bootstrap_mean(
    values: ArrayLike,
    *,
    samples: int,
    seed: int,
    confidence: float = 0.95,
) -> Interval:
    """Return the mean of one-dimensional values and its percentile bootstrap interval.

    Raises ValueError if there is no value, a value is not finite, `samples` is below 100, or
    `confidence` is not in (0, 1).
    """
    column = _finite(values, at_least=1)[:, None]
    intervals = bootstrap_means(column, samples=samples, seed=seed, confidence=confidence)
    return intervals[0]


def bootstrap_means(
    values: ArrayLike,
    *,
    samples: int,
    seed: int,
    confidence: float = 0.95,
    strata: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> list[Interval]:
    """Return the mean of each column and its percentile bootstrap interval.

    Parameters
    ----------
    values : array-like of shape (n, columns), finite
        Rows (such as images) are drawn with replacement, all columns together.
    samples : int, at least 100
        Number of bootstrap samples.
    seed : int
    confidence : float, in (0, 1)
    strata, weights : (n,) indices from 0, and (strata,) shares that sum to 1; both or neither
        With them, rows are drawn within their stratum, and a mean is the weighted sum of the means
        of the strata.

    Raises
    ------
    ValueError
        As `bootstrap_mean` does, and if a stratum has no weight, or a weight but no row.
    """
    values = np.asarray(values, dtype=float)
    if values.ndim != 2 or values.size == 0 or not _all_finite(values):
        raise ValueError(
            "bootstrap means need finite values (n, columns) and at least one row, "
            f"got {values.shape}"
        )
    _check_confidence(confidence)
    check_number("samples", samples, whole=True)
    if samples < _MIN_SAMPLES:
        raise ValueError(
            f"a bootstrap interval needs at least {_MIN_SAMPLES} samples, got {samples}"
        )
    groups, shares = _strata(len(values), strata, weights)
    generator = np.random.default_rng(seed)
    estimates = np.zeros(values.shape[1])
    means = np.zeros((samples, values.shape[1]))
    for share, group in zip(shares, groups, strict=True):
        if len(group) == 0:
            continue
        part = values[group]
        estimates += share * part.mean(0)
        means += share * resampled_sums(part, samples, generator) / len(part)
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    lows, highs = np.quantile(means, tails, axis=0)
    columns = zip(estimates.tolist(), lows.tolist(), highs.tolist(), strict=True)
    return [Interval(value, low, high) for value, low, high in columns]


def resampled_sums(
    values: np.ndarray,
    samples: int,
    generator: np.random.Generator,
) -> np.ndarray:
    """Return column sums of `samples` bootstrap samples: (n, columns) -> (samples, columns)."""
    n = len(values)
    step = max(1, _CHUNK // n)
    sums = []
    for start in range(0, samples, step):
        count = min(step, samples - start)
        drawn = generator.integers(0, n, (count, n))
        drawn += n * np.arange(count)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=drawn.size)
        counts = counts.reshape(drawn.shape).astype(float)
        # Row by row: a matrix product may sum in another order when there are more rows.
        sums += [row @ values for row in counts]
    return np.stack(sums)


def t_interval(values: ArrayLike, *, confidence: float = 0.95) -> Interval:
    """Return the mean of repeated measurements, such as seeds, and its Student t interval.

    The interval of a single value is infinite. Raises ValueError if there is no value, a value is
    not finite, or `confidence` is not in (0, 1).
    """
    values = _finite(values, at_least=1)
    _check_confidence(confidence)
    mean = float(values.mean())
    df = len(values) - 1
    if df == 0:
        return Interval(mean, -math.inf, math.inf)
    quantile = stats.t.ppf((1 + confidence) / 2, df)
    margin = float(quantile * stats.sem(values))
    return Interval(mean, mean - margin, mean + margin)


def mean_difference(
    x: ArrayLike,
    y: ArrayLike,
    *,
    confidence: float = 0.95,
) -> Interval:
    """Return the mean of x minus the mean of y, with its interval by Welch's t.

    If x is a single value, it is taken as known: the interval is Student's, of the mean of y.
    Raises ValueError if x is empty, y has fewer than 2 values, or a value is not finite.
    """
    x = _finite(x, at_least=1)
    y = _finite(y, at_least=2)
    if len(x) == 1:
        return t_interval(x - y, confidence=confidence)
    _check_confidence(confidence)
    test = stats.ttest_ind(x, y, equal_var=False)
    interval = test.confidence_interval(confidence)
    difference = float(x.mean() - y.mean())
    return Interval(difference, float(interval.low), float(interval.high))


def _standard_error(method: str, r: float, n: int) -> float:
    """Return the standard error of Fisher's z of a correlation r over n points."""
    if method == "pearson":
        return 1 / math.sqrt(n - 3)
    if method == "spearman":
        return math.sqrt((1 + r**2 / 2) / (n - 3))
    return math.sqrt(0.437 / (n - 4))


def _strata(
    n: int,
    strata: ArrayLike | None,
    weights: ArrayLike | None,
) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the row indices of every stratum and the weights; one stratum by default."""
    if strata is None and weights is None:
        return [np.arange(n)], np.ones(1)
    if strata is None or weights is None:
        raise ValueError("strata and weights go together: give both or neither")
    strata = np.asarray(strata)
    weights = np.asarray(weights, dtype=float)
    is_integer = strata.dtype.kind in "iu"
    if strata.shape != (n,) or not is_integer or strata.min() < 0:
        raise ValueError(
            f"strata must be one index from 0 for each of {n} rows, got {strata.shape}"
        )
    is_not_negative = weights.ndim == 1 and (weights >= 0).all()
    if not is_not_negative or not math.isclose(weights.sum(), 1, abs_tol=1e-9):
        raise ValueError("weights must be shares, one per stratum, not negative and 1 in sum")
    if strata.max() >= len(weights):
        raise ValueError(
            f"every stratum needs a weight: there are {len(weights)} weights, "
            f"and a row of stratum {strata.max()}"
        )
    groups = [np.flatnonzero(strata == k) for k in range(len(weights))]
    sizes = np.array([len(group) for group in groups])
    if (sizes[weights > 0] == 0).any():
        raise ValueError("every stratum with a weight needs at least one row")
    return groups, weights


def _check_confidence(confidence: float) -> None:
    check_number("confidence", confidence)
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be in (0, 1), such as 0.95, got {confidence}")


def _all_finite(*arrays: np.ndarray) -> bool:
    return all(np.isfinite(array).all() for array in arrays)


def _finite(values: ArrayLike, at_least: int) -> np.ndarray:
    """Return `values` as a float array; raise ValueError unless they suffice for an interval."""
    array = np.asarray(values, dtype=float)
    if array.ndim != 1 or len(array) < at_least or not _all_finite(array):
        raise ValueError(
            f"an interval needs {at_least} or more finite values in one dimension, "
            f"got {array.shape}"
        )
    return array
