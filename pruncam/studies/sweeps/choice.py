"""How far may a network be pruned before it loses a point, given the complexity of its data? (beyond the paper)

The paper concludes that complexity allows for a better choice of the pruning percentage (abstract, Section 5) and does
not say how to choose. Here is a choice with its uncertainty.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from pruncam.choices import is_number, shown

ENOUGH = 4  # data sets without which no interval is given
TAIL = 0.025  # of the data sets, on either side, that an interval may miss where there are enough of them


@dataclass(frozen=True)
class SafeRate:
    """A pruning rate in [0, 1], the interval that another data set's may lie in, and why; nan where there is none."""

    rate: float
    low: float
    high: float
    why: str


def crossing(rates: ArrayLike, losses: ArrayLike, max_loss: float) -> np.ndarray:
    """The rate up to which at most `max_loss` is lost: where a curve, from 0 at rate 0, first rises above it.

    `rates` is (rates,) and rises within (0, 1), `losses` (..., rates), what comes back (...). Between two rates the
    curve is a straight line; after a loss, a gain at a higher rate does not count; a curve that never loses so much
    gives the last rate.
    """
    x, losses = np.r_[0.0, rates], np.asarray(losses, dtype=float)
    y = np.maximum.accumulate(np.concatenate([np.zeros((*losses.shape[:-1], 1)), losses], axis=-1), axis=-1)
    above = y > max_loss
    after = np.where(above.any(-1), above.argmax(-1), len(x) - 1)
    before, reached = (np.take_along_axis(y, k[..., None], -1)[..., 0] for k in (after - 1, after))
    # The last rate where the loss stays below: no division by a flat curve's 0.
    share = np.divide(max_loss - before, reached - before, out=np.ones_like(before), where=reached > max_loss)
    return x[after - 1] + share * (x[after] - x[after - 1])


def largest_rates(table: pd.DataFrame, max_loss: float = 1.0) -> pd.DataFrame:
    """A row per data set: its CSG, the rate up to which at most `max_loss` points are lost, and whether they ever are.

    Takes and refuses what `safe_rate` does, and needs one data set only.
    """
    _check(table, max_loss)
    rows = []
    for half, part in table.groupby("half", sort=False):
        part = part.sort_values("rate")
        rate = float(crossing(part["rate"], part["acc_drop"], max_loss))
        lost = bool((part["acc_drop"] > max_loss).any())
        rows.append({"half": half, "csg": float(part["csg"].iloc[0]), "rate": rate, "lost": lost})
    return pd.DataFrame(rows)


def safe_rate(table: pd.DataFrame, csg: float, max_loss: float = 1.0) -> SafeRate:
    """How far a network may be pruned on data of this complexity before it loses `max_loss` points.

    Each data set gives one point: the logarithm of its CSG, and the rate up to which at most so much was lost
    (`largest_rates`). Through them goes a line that an outlier hardly turns (rank regression, Jaeckel 1972). Its
    interval is jackknife+ (Barber et al. 2021): the line is fitted again without each data set, and errs by what it
    errs there.

    Parameters
    ----------
    table : a row per data set and rate: `half`, its `csg` above 0, `rate` in (0, 1), `acc_drop` in points
        One rule, one network per data set. `acc_drop` is the unpruned accuracy minus the pruned one.
    csg : complexity of the data in question, above 0, measured as those in the table were
    max_loss : points of accuracy, above 0

    Returns
    -------
    SafeRate
        Clipped to [0, 1]. With fewer than four data sets the line is there and the interval is nan.

    Raises
    ------
    ValueError
        If a column is missing, a value is not finite, a rate stands twice, a data set has two CSGs, or the data sets
        are fewer than two or all of the same CSG.

    Examples
    --------
    >>> one = pd.DataFrame({"half": "easy", "csg": 1.0, "rate": [0.2, 0.6], "acc_drop": [0.0, 2.0]})
    >>> two = pd.DataFrame({"half": "hard", "csg": 10.0, "rate": [0.2, 0.6], "acc_drop": [1.0, 3.0]})
    >>> found = safe_rate(pd.concat([one, two]), csg=10**0.5)  # halfway between them: easy 0.4, hard 0.2
    >>> round(found.rate, 3), found.why
    (0.3, '2 data sets carry a line and no interval: 4 are needed for one')
    """
    _check(table, max_loss)
    if not is_number(csg) or not 0 < csg < math.inf:
        raise ValueError(f"csg must be a number above 0, got {shown(csg)}")
    points = largest_rates(table, max_loss)
    if points["csg"].nunique() < 2:
        raise ValueError(f"a line needs two data sets of different CSG, got {len(points)} data sets of one")
    x, y, asked = np.log(points["csg"].to_numpy()), points["rate"].to_numpy(), math.log(csg)
    rate = float(np.clip(_line(x, y, asked), 0, 1))
    notes = []
    if not points["lost"].all():
        unlost = ", ".join(points.loc[~points["lost"], "half"])
        notes.append(f"{unlost} never lost so much: the largest measured rate stands in")
    if not x.min() <= asked <= x.max():
        least, most = points["csg"].min(), points["csg"].max()
        notes.append(f"a CSG of {csg:.3g} lies outside the {least:.3g} to {most:.3g} of the data sets: extrapolated")
    if len(points) < ENOUGH:
        why = f"{len(points)} data sets carry a line and no interval: {ENOUGH} are needed for one"
        return SafeRate(rate, math.nan, math.nan, "; ".join([why, *notes]))
    low, high, coverage = _interval(x, y, asked)
    why = f"a line through {len(points)} data sets; the interval is sure to hold for {coverage:.0%} of such data sets"
    return SafeRate(rate, low, high, "; ".join([why, *notes]))


def _line(x: np.ndarray, y: np.ndarray, asked: float) -> float:
    """The rank-regression line through (x, y) at `asked`; level where all x are the same.

    Its slope is the median of the slopes of all pairs, weighted by how far apart in x they are: two data sets that are
    all but equally complex say little about it. The middle of the residuals tells its height.
    """
    first, second = np.triu_indices(len(x), 1)
    apart = x[first] != x[second]
    first, second = first[apart], second[apart]
    slope = 0.0
    if len(first):
        slopes, weights = (y[second] - y[first]) / (x[second] - x[first]), np.abs(x[second] - x[first])
        order = np.argsort(slopes)
        total = np.cumsum(weights[order])
        slope = slopes[order][np.searchsorted(total, total[-1] / 2)]
    return float(np.median(y - slope * x) + slope * asked)


def _interval(x: np.ndarray, y: np.ndarray, asked: float) -> tuple[float, float, float]:
    """Jackknife+ at `asked`, within [0, 1], and the share of new data sets that it is sure to hold for."""
    count = len(x)
    lows, highs = [], []
    for k in range(count):
        others = np.arange(count) != k
        error = abs(y[k] - _line(x[others], y[others], x[k]))
        middle = _line(x[others], y[others], asked)
        lows.append(middle - error)
        highs.append(middle + error)
    beyond = max(1, math.floor(TAIL * (count + 1)))  # how many of them each end leaves out, and the end itself
    low, high = sorted(lows)[beyond - 1], sorted(highs)[-beyond]
    low, high = np.clip([low, high], 0, 1)
    return float(low), float(high), 1 - 2 * beyond / (count + 1)


def _check(table: pd.DataFrame, max_loss: float) -> None:
    columns = ["half", "csg", "rate", "acc_drop"]
    if not isinstance(table, pd.DataFrame) or not {*columns} <= set(table.columns) or table.empty:
        raise ValueError(
            f"a sweep is a table with the columns {', '.join(columns)} and a row or more, got {shown(table)}"
        )
    values = table[columns[1:]].to_numpy(dtype=float)
    if not np.isfinite(values).all() or (values[:, 0] <= 0).any():
        raise ValueError("a sweep needs a number in every cell of csg, rate and acc_drop, and a csg above 0")
    if not ((values[:, 1] > 0) & (values[:, 1] < 1)).all() or table.duplicated(["half", "rate"]).any():
        raise ValueError("the rates of a sweep lie in (0, 1), each once for a data set: choose one rule")
    if len(table[["half", "csg"]].drop_duplicates()) > len(table["half"].drop_duplicates()):
        raise ValueError("a data set has one csg, and this table has several for one: average them")
    if not is_number(max_loss) or not 0 < max_loss <= 100:
        raise ValueError(f"max_loss is in points of accuracy, above 0 and at most 100, got {shown(max_loss)}")
