"""Intervals by resampling: images, and the trainings that models come from."""

import math
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import ArrayLike

from pruncam._core.validation import check_number, check_seed, short_repr
from pruncam.statistics._checks import (
    as_numbers,
    check_confidence,
    finite_values,
    within_range,
)
from pruncam.statistics.intervals import Interval

_MIN_SAMPLES, _MAX_SAMPLES = 100, 10**7  # of a bootstrap
_CHUNK = 2**15  # row indices drawn at a time: they stay in the CPU cache


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
    column = finite_values(values, at_least=1)[:, None]
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
    values = _finite_array(values, "(n, columns)")
    check_confidence(confidence)
    _check_samples(samples)
    groups, shares = _strata(len(values), strata, weights)
    generator = np.random.default_rng(check_seed(seed))
    estimates = np.zeros(values.shape[1])
    means = np.zeros((samples, values.shape[1]))
    for share, group in zip(shares, groups, strict=True):
        if len(group) == 0:
            continue
        part = values[group]
        estimates += share * part.mean(0)
        means += share * resampled_sums(part, samples, generator) / len(part)
    return percentile_intervals(estimates, means, confidence=confidence)


def _finite_array(values: ArrayLike, shape: str) -> np.ndarray:
    """Return finite values as an array of as many axes as `shape` names, none of them empty."""
    array = as_numbers("values", values)
    if array.ndim != len(shape.split(",")) or array.size == 0 or not within_range(array):
        raise ValueError(
            f"bootstrap means need finite values {shape}, no axis empty, got {array.shape}"
        )
    return array


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


def crossed_means(values: ArrayLike, *, samples: int, seed: int) -> np.ndarray:
    """Return bootstrap means of values that vary with the training and with the image.

    Trainings and images are drawn independently of each other, since all models see the same
    images (the bootstrap of crossed factors, Owen 2007). One training fewer is drawn than there
    are: with as many, the variance over n trainings would come out too small by (n - 1)/n (Rao and
    Wu 1988). With a single training only images are drawn, and the means say nothing about the
    next training.

    Parameters
    ----------
    values : array-like of shape (trainings, images, columns), finite
    samples : int, at least 100
    seed : int

    Returns
    -------
    array of shape (samples, columns)

    Raises
    ------
    ValueError
        If the shape does not fit, a value is not finite, or `samples` is below 100.
    """
    values = _finite_array(values, "(trainings, images, columns)")
    _check_samples(samples)
    trainings, images, columns = values.shape
    generator = np.random.default_rng(check_seed(seed))
    rows = values.transpose(1, 0, 2).reshape(images, trainings * columns)
    means = resampled_sums(rows, samples, generator) / images
    means = means.reshape(samples, trainings, columns)
    if trainings == 1:
        return means[:, 0]
    drawn = generator.integers(0, trainings, (samples, trainings - 1))
    return np.take_along_axis(means, drawn[:, :, None], axis=1).mean(axis=1)


def percentile_intervals(
    estimates: ArrayLike,
    resampled: ArrayLike,
    *,
    confidence: float = 0.95,
) -> list[Interval]:
    """Return each estimate (columns,) with the percentile interval of its column.

    `resampled` has shape (samples, columns). Raises ValueError if `confidence` is not in (0, 1).
    """
    check_confidence(confidence)
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    estimates, resampled = _resampled_columns(estimates, resampled)
    lows, highs = np.quantile(resampled, tails, axis=0)
    columns = zip(estimates.tolist(), lows.tolist(), highs.tolist(), strict=True)
    return [Interval(value, low, high) for value, low, high in columns]


def simultaneous_intervals(
    estimates: ArrayLike,
    resampled: ArrayLike,
    *,
    confidence: float = 0.95,
) -> list[Interval]:
    """Return each estimate (columns,) with an interval that holds for all columns at once.

    The intervals reach as many standard errors to both sides as the largest deviation of a column
    does in 95 % of the samples (max-statistic; Romano and Wolf 2005). A claim about the smallest or
    largest of many estimates needs them, see `extreme`. `resampled` has shape (samples, columns).
    Raises ValueError if `confidence` is not in (0, 1).
    """
    check_confidence(confidence)
    estimates, resampled = _resampled_columns(estimates, resampled)
    deviations = resampled - estimates
    errors = deviations.std(axis=0, ddof=1)
    varies = errors > 0
    reach = 0.0
    if varies.any():
        largest = np.abs(deviations[:, varies] / errors[varies]).max(axis=1)
        reach = float(np.quantile(largest, confidence))
    columns = zip(estimates.tolist(), (reach * errors).tolist(), strict=True)
    return [Interval(value, value - margin, value + margin) for value, margin in columns]


def extreme(
    intervals: Iterable[Interval],
    select: Callable[[Iterable[float]], float],
) -> Interval:
    """Return the smallest or largest of several estimates with its interval; `select`: min or max.

    If the intervals hold simultaneously, so does the result: the smallest mean lies above the
    smallest lower bound and below the smallest upper bound.

    Examples
    --------
    >>> extreme([Interval(2.0, 1.0, 3.0), Interval(2.5, 0.5, 4.5)], min)
    Interval(value=2.0, low=0.5, high=3.0)
    """
    if select is not min and select is not max:
        raise ValueError(f"select must be min or max, got {short_repr(select)}")
    try:
        bounds = list(intervals)
    except TypeError:
        bounds = []
    if not bounds or not all(isinstance(bound, Interval) for bound in bounds):
        raise TypeError(f"intervals must be one or more of Interval, got {short_repr(intervals)}")
    return Interval(
        select(bound.value for bound in bounds),
        select(bound.low for bound in bounds),
        select(bound.high for bound in bounds),
    )


def _check_samples(samples: int) -> None:
    check_number("samples", samples, whole=True)
    if samples < _MIN_SAMPLES:
        raise ValueError(
            f"a bootstrap interval needs at least {_MIN_SAMPLES} samples, got {samples}"
        )
    if samples > _MAX_SAMPLES:
        raise ValueError(f"samples must be at most {_MAX_SAMPLES:,}, got {short_repr(samples)}")


def _resampled_columns(estimates: ArrayLike, resampled: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return estimates (columns,) and their samples (samples, columns) as arrays.

    Raises TypeError or ValueError if they are not numbers of these shapes.
    """
    columns = as_numbers("estimates", estimates)
    samples = as_numbers("resampled", resampled)
    is_fit = columns.ndim == 1 and samples.ndim == 2 and samples.shape[1:] == columns.shape
    if not is_fit or samples.size == 0:
        raise ValueError(
            "estimates (columns,) need resampled values (samples, columns), "
            f"got {columns.shape} and {samples.shape}"
        )
    return columns, samples


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
    strata = as_numbers("strata", strata)
    weights = as_numbers("weights", weights)
    is_index = (strata >= 0) & (strata == np.floor(strata))
    if strata.shape != (n,) or not is_index.all():
        raise ValueError(
            f"strata must be one index from 0 for each of {n} rows, got {strata.shape}"
        )
    is_not_negative = weights.ndim == 1 and (weights >= 0).all()
    if not is_not_negative or not math.isclose(weights.sum(), 1, abs_tol=1e-9):
        raise ValueError("weights must be shares, one per stratum, not negative and 1 in sum")
    if strata.max() >= len(weights):
        raise ValueError(
            f"every stratum needs a weight: there are {len(weights)} weights, "
            f"and a row of stratum {strata.max():g}"
        )
    groups = [np.flatnonzero(strata == k) for k in range(len(weights))]
    sizes = np.array([len(group) for group in groups])
    if (sizes[weights > 0] == 0).any():
        raise ValueError("every stratum with a weight needs at least one row")
    return groups, weights
