"""Correlations with their intervals."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from pruncam._core.validation import check_choice, check_number
from pruncam.statistics._checks import all_finite, as_numbers

METHODS = ("pearson", "spearman", "kendall")
_ROUNDING = 1e-12  # of a squared correlation
_TESTS = {
    "pearson": stats.pearsonr,
    "spearman": stats.spearmanr,
    "kendall": stats.kendalltau,
}


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
    check_choice("correlation", method, METHODS)
    x = as_numbers("x", x)
    y = as_numbers("y", y)
    if x.shape != y.shape or x.ndim != 1 or len(x) < 5:
        raise ValueError(
            "a correlation needs two series of the same length, 5 or more, "
            f"got {x.shape} and {y.shape}"
        )
    if not all_finite(x, y):
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
    check_number("undefined", undefined)
    x = as_numbers("x", x)
    rows = as_numbers("rows", rows)
    is_series = x.ndim == 1 and len(x) >= 2
    if not is_series or rows.ndim != 2 or rows.shape[1] != len(x):
        raise ValueError(
            "a rank correlation needs x of shape (n,) and rows of shape (m, n), n at least 2, "
            f"got {x.shape} and {rows.shape}"
        )
    if not all_finite(x, rows):
        raise ValueError("a rank correlation needs finite values, got nan or infinity")
    mean_rank = (len(x) + 1) / 2
    ranks_x = stats.rankdata(x) - mean_rank
    ranks = stats.rankdata(rows, axis=1) - mean_rank
    squares_x = (ranks_x**2).sum()
    squares = (ranks**2).sum(axis=1)
    norms = np.sqrt(squares_x * squares)
    result = np.full(len(rows), float(undefined))
    return np.divide(ranks @ ranks_x, norms, out=result, where=norms > 0)


def partial_rank_correlation(x: ArrayLike, y: ArrayLike, control: ArrayLike) -> float:
    """Return Spearman's correlation of two series without what they share with a third.

    It is the correlation of what is left of the ranks of x and y when each is predicted linearly
    from the ranks of `control` (partial correlation). NaN where x or y is constant or has the ranks
    of `control`: nothing is left then.

    Parameters
    ----------
    x, y, control : array-like of shape (n,), n >= 3, finite

    Raises
    ------
    ValueError
        If the lengths differ, n < 3, or a value is not finite.

    Examples
    --------
    >>> round(partial_rank_correlation([1, 2, 3, 4], [1, 3, 2, 4], [2, 1, 3, 4]), 3)
    0.873
    """
    series = [as_numbers("x, y and control", values) for values in (x, y, control)]
    shapes = {values.shape for values in series}
    if len(shapes) > 1 or series[0].ndim != 1 or len(series[0]) < 3:
        raise ValueError(
            "a partial correlation needs three series of the same length, 3 or more, "
            f"got {', '.join(str(values.shape) for values in series)}"
        )
    if not all_finite(*series):
        raise ValueError("a partial correlation needs finite values, got nan or infinity")
    xy, xz = rank_correlation(series[0], series[1:])
    (yz,) = rank_correlation(series[1], series[2:])
    left = (1 - xz**2) * (1 - yz**2)
    if not left > _ROUNDING:
        return math.nan
    return float((xy - xz * yz) / math.sqrt(left))


def _standard_error(method: str, r: float, n: int) -> float:
    """Return the standard error of Fisher's z of a correlation r over n points."""
    if method == "pearson":
        return 1 / math.sqrt(n - 3)
    if method == "spearman":
        return math.sqrt((1 + r**2 / 2) / (n - 3))
    return math.sqrt(0.437 / (n - 4))
