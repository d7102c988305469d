"""The rate up to which pruning costs little, given the complexity of the data (beyond the paper).

The paper concludes that complexity allows a better choice of the pruning percentage (abstract,
Section 5), but does not say how to choose. This is a choice with its uncertainty.
"""

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from pruncam._core.validation import check_number, is_number, short_repr
from pruncam.statistics import as_numbers

_MIN_DATASETS = 4  # for an interval
_TAIL = 0.025  # share of the data sets that an interval may miss on either side


@dataclass(frozen=True)
class SafeRate:
    """A pruning rate in [0, 1] and the interval for the rate of another data set.

    `why` tells what they rest on. Without enough data sets the interval is NaN.
    """

    rate: float
    low: float
    high: float
    why: str


def crossing(
    rates: ArrayLike,
    losses: ArrayLike,
    max_loss: float,
) -> np.ndarray:
    """Return the rate at which a curve of losses first rises above `max_loss`.

    The curve starts at a loss of 0 at rate 0 and is linear between the rates. If it never rises
    that high, the result is the last rate. A gain at a higher rate does not undo a loss.

    Parameters
    ----------
    rates : array-like of shape (rates,), ascending, in (0, 1)
    losses : array-like of shape (..., rates)
    max_loss : float, above 0

    Returns
    -------
    array of shape (...)
    """
    x = np.r_[0.0, rates]
    losses = np.asarray(losses, dtype=float)
    start = np.zeros((*losses.shape[:-1], 1))
    y = np.maximum.accumulate(np.concatenate([start, losses], axis=-1), axis=-1)
    is_above = y > max_loss
    after = np.where(is_above.any(-1), is_above.argmax(-1), len(x) - 1)
    loss_before = _take(y, after - 1)
    loss_after = _take(y, after)
    # A curve that stays below ends at its last rate: no division by a flat curve's 0.
    share = np.divide(
        max_loss - loss_before,
        loss_after - loss_before,
        out=np.ones_like(loss_before),
        where=loss_after > max_loss,
    )
    return x[after - 1] + share * (x[after] - x[after - 1])


def _take(values: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Return one value per row: (..., n) and indices (...) -> (...)."""
    return np.take_along_axis(values, indices[..., None], axis=-1)[..., 0]


def largest_rates(table: pd.DataFrame, max_loss: float = 1.0) -> pd.DataFrame:
    """Return for each data set the rate up to which at most `max_loss` points are lost.

    Columns: dataset, csg, rate, and `lost`, whether more is ever lost. Takes the arguments of
    `safe_rate` and raises the same errors, but one data set is enough.
    """
    _check(table, max_loss)
    rows = []
    for dataset, part in table.groupby("dataset", sort=False):
        curve = part.sort_values("rate")
        rows.append(
            {
                "dataset": dataset,
                "csg": float(curve["csg"].iloc[0]),
                "rate": float(crossing(curve["rate"], curve["acc_drop"], max_loss)),
                "lost": bool((curve["acc_drop"] > max_loss).any()),
            }
        )
    return pd.DataFrame(rows)


def safe_rate(
    table: pd.DataFrame,
    csg: float,
    max_loss: float = 1.0,
) -> SafeRate:
    """Return how far a network may be pruned on data of a given complexity.

    Each data set gives one point: the logarithm of its CSG, and the rate up to which at most
    `max_loss` points are lost (`largest_rates`). A line through the points that an outlier hardly
    turns (rank regression, Jaeckel 1972) gives the rate. The interval is jackknife+ (Barber et al.
    2021): the line is fitted again without each data set, and its error there widens the interval.

    Parameters
    ----------
    table : DataFrame with a row per data set and rate, of one rule and one network per data set
        `dataset`, its `csg` above 0, `rate` in (0, 1), and `acc_drop`, the unpruned accuracy minus
        the pruned one, in points.
    csg : float, above 0
        Complexity of the data in question, measured like those in the table.
    max_loss : float, points of accuracy in (0, 100]

    Returns
    -------
    SafeRate
        Clipped to [0, 1]. With fewer than four data sets the interval is NaN.

    Raises
    ------
    ValueError
        If a column is missing, a value is not finite, a rate is repeated, a data set has two CSGs,
        or there are not two data sets of different CSG.

    Examples
    --------
    >>> easy = pd.DataFrame({"dataset": "easy", "csg": 1, "rate": [0.2, 0.6], "acc_drop": [0, 2]})
    >>> hard = pd.DataFrame({"dataset": "hard", "csg": 10, "rate": [0.2, 0.6], "acc_drop": [1, 3]})
    >>> estimate = safe_rate(pd.concat([easy, hard]), csg=10**0.5)  # between easy 0.4, hard 0.2
    >>> round(estimate.rate, 3), estimate.why
    (0.3, '2 data sets allow a line but no interval: 4 are needed for one')
    """
    _check(table, max_loss)
    check_number("csg", csg)
    if not 0 < csg < math.inf:
        raise ValueError(f"csg must be a number above 0, got {short_repr(csg)}")
    points = largest_rates(table, max_loss)
    if points["csg"].nunique() < 2:
        raise ValueError(
            f"a line needs two data sets of different CSG, got {len(points)} data sets of one"
        )
    x = np.log(points["csg"].to_numpy())
    y = points["rate"].to_numpy()
    rate = _clipped(_line_at(math.log(csg), x, y))
    notes = _notes(points, csg)
    if len(points) < _MIN_DATASETS:
        basis = f"{len(points)} data sets allow a line but no interval"
        why = f"{basis}: {_MIN_DATASETS} are needed for one"
        return SafeRate(rate, math.nan, math.nan, "; ".join([why, *notes]))
    low, high, coverage = _interval_at(math.log(csg), x, y)
    basis = f"a line through {len(points)} data sets"
    why = f"{basis}; the interval is guaranteed to hold for {coverage:.0%} of such data sets"
    return SafeRate(rate, low, high, "; ".join([why, *notes]))


def _notes(points: pd.DataFrame, csg: float) -> list[str]:
    """Return reservations about the line at this CSG, in words."""
    notes = []
    if not points["lost"].all():
        names = ", ".join(map(str, points.loc[~points["lost"], "dataset"]))
        notes.append(f"{names} never lost as much: the largest measured rate is used")
    x = np.log(points["csg"])
    if not x.min() <= math.log(csg) <= x.max():
        least = points["csg"].min()
        most = points["csg"].max()
        interval = f"the {least:.3g} to {most:.3g} of the data sets"
        notes.append(f"a CSG of {csg:.3g} lies outside {interval}: extrapolated")
    return notes


def _line_at(
    position: float,
    x: np.ndarray,
    y: np.ndarray,
) -> float:
    """Return the rank-regression line through (x, y) at a position; level if all x are the same.

    Its slope is the median of the slopes of all pairs, weighted by their distance in x: two data
    sets of almost the same complexity say little about it. Its height is the median residual.
    """
    slope = _slope(x, y)
    return float(np.median(y - slope * x) + slope * position)


def _slope(x: np.ndarray, y: np.ndarray) -> float:
    first, second = np.triu_indices(len(x), 1)
    differs = x[first] != x[second]
    first, second = first[differs], second[differs]
    if len(first) == 0:
        return 0.0
    distances = x[second] - x[first]
    slopes = (y[second] - y[first]) / distances
    order = np.argsort(slopes)
    cumulated = np.cumsum(np.abs(distances)[order])
    middle = np.searchsorted(cumulated, cumulated[-1] / 2)
    return slopes[order][middle]


def _interval_at(
    position: float,
    x: np.ndarray,
    y: np.ndarray,
) -> tuple[float, float, float]:
    """Return the jackknife+ interval at a position, within [0, 1], and its sure coverage."""
    count = len(x)
    lows = []
    highs = []
    for k in range(count):
        others = np.arange(count) != k
        line = partial(_line_at, x=x[others], y=y[others])
        error = abs(y[k] - line(x[k]))
        estimate = line(position)
        lows.append(estimate - error)
        highs.append(estimate + error)
    rank = max(1, math.floor(_TAIL * (count + 1)))  # of the bound, from the outermost
    low = sorted(lows)[rank - 1]
    high = sorted(highs)[-rank]
    coverage = 1 - 2 * rank / (count + 1)
    return _clipped(low), _clipped(high), coverage


def _clipped(rate: float) -> float:
    return float(np.clip(rate, 0, 1))


def _check(table: pd.DataFrame, max_loss: float) -> None:
    """Raise ValueError unless the table is a sweep and `max_loss` a number of points."""
    columns = ["dataset", "csg", "rate", "acc_drop"]
    is_table = isinstance(table, pd.DataFrame) and {*columns} <= set(table.columns)
    if not is_table or table.empty:
        raise ValueError(
            f"a sweep is a table with the columns {', '.join(columns)} and at least one row, "
            f"got {short_repr(table)}"
        )
    if not table.columns.is_unique:
        raise ValueError(f"a sweep is a table in which {', '.join(columns)} come once each")
    numbers = [as_numbers(name, table[name]) for name in columns[1:]]
    csg, rates, drops = numbers
    if not all(np.isfinite(values).all() for values in numbers) or (csg <= 0).any():
        raise ValueError(
            "a sweep needs a number in every cell of csg, rate and acc_drop, and a csg above 0"
        )
    in_range = ((rates > 0) & (rates < 1)).all()
    if not in_range or table.duplicated(["dataset", "rate"]).any():
        raise ValueError(
            "the rates of a sweep lie in (0, 1), each once for a data set: choose one rule"
        )
    if not (np.abs(drops) <= 100).all():
        raise ValueError(
            "a sweep needs acc_drop in points of accuracy, from -100 to 100, "
            f"got {drops.min():g} to {drops.max():g}"
        )
    if len(table[["dataset", "csg"]].drop_duplicates()) > table["dataset"].nunique():
        raise ValueError("a data set has one csg, this table has several for one: average them")
    if not is_number(max_loss) or not 0 < max_loss <= 100:
        raise ValueError(
            f"max_loss must be points of accuracy in (0, 100], got {short_repr(max_loss)}"
        )
