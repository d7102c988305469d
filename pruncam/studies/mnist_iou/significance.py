"""Tests that the thesis leaves open: normal distribution, and chains as independent units."""

import itertools
import math
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from pruncam._core.seeds import derive
from pruncam.studies.mnist_iou.analysis import BASE, rows_of
from pruncam.studies.mnist_iou.chains import ACCURACY, FEWEST, Chains, over_levels
from pruncam.studies.mnist_iou.config import MnistIouConfig
from pruncam.studies.mnist_iou.cuts import CUTS, series_of, single_seeds

SIGNIFICANCE = 0.05  # of every test
_SCORES = ("iou", "accuracy_noisy", "accuracy_clean")
_FEWEST = 3  # points of a Shapiro-Wilk test
_MOST = 2000  # permutations; drawn at random if there are more


def normality(config: MnistIouConfig, level_table: pd.DataFrame) -> pd.DataFrame:
    """Return Shapiro and Wilk's test of normality of the IoU and the accuracies over the levels.

    Of the means of the seeds, as in the thesis, and of each seed. W is 1 for a normal sample and
    lower for others; a p-value of at most 0.05 speaks against a normal distribution. Both are NaN
    over fewer than three levels, or if a series is constant. The levels of a chain are nested, so
    the test describes a series; it does not prove where it comes from.
    """
    series = series_of(config) | single_seeds(config.all_seeds)
    rows = []
    for name, seeds in series.items():
        chains = Chains(rows_of(level_table, BASE, seeds))
        for score in _SCORES:
            values = chains.scores(score).mean(axis=0)
            w, p_value = shapiro_wilk(values)
            row = {"series": name, "score": score, "levels": len(values)}
            rows.append(row | {"w": w, "p_value": p_value})
    return pd.DataFrame(rows)


def shapiro_wilk(values: np.ndarray) -> tuple[float, float]:
    """Return W and the p-value of Shapiro and Wilk's test; NaN if it is not defined."""
    if len(values) < _FEWEST or np.ptp(values) == 0:
        return math.nan, math.nan
    test = stats.shapiro(values)
    return float(test.statistic), float(test.pvalue)


def chain_permutation(config: MnistIouConfig, level_table: pd.DataFrame) -> pd.DataFrame:
    """Return a permutation test of whole chains: does IoU follow the accuracy of its own network?

    Levels of one chain are nested, so only whole chains may be exchanged. By cut: the mean Pearson
    correlation of IoU with the accuracy of the same seed (`own`) and of other seeds
    (`other_seeds`), over the levels of more than `cut` % accuracy. `p_value` is the share of
    pairings of IoU and accuracy of the seeds whose mean is at least `own`: all pairings or, of more
    than 2,000, as many drawn at random. If it is not small, the pruning level explains the
    correlation as well as the network does.
    """
    chains = Chains(rows_of(level_table, BASE, config.all_seeds))
    seed = derive(config.seeds[0], "permuted chains")
    return pd.DataFrame([{"cut": cut} | _permutation(chains, cut, seed) for cut in CUTS])


def _permutation(chains: Chains, cut: float, seed: int) -> dict[str, Any]:
    """Return the test over the chains that have 5 levels above the cut; NaN with fewer than two."""
    accuracy = chains.scores(ACCURACY)
    is_used = (accuracy > cut).sum(axis=1) >= FEWEST
    pairs = _pair_correlations(chains.scores("iou")[is_used], accuracy[is_used], cut)
    count = len(pairs)
    row: dict[str, Any] = {"seeds": count}
    if count < 2:
        return row | dict.fromkeys(("own", "other_seeds", "p_value"), math.nan)
    own = np.diag(pairs).mean()
    rows = np.arange(count)
    permuted = np.array([pairs[rows, order].mean() for order in _orders(count, seed)])
    return row | {
        "own": own,
        "other_seeds": pairs[~np.eye(count, dtype=bool)].mean(),
        "p_value": (permuted >= own - 1e-12).mean(),
    }


def _pair_correlations(iou: np.ndarray, accuracy: np.ndarray, cut: float) -> np.ndarray:
    """Return the correlation of the IoU of every seed (row) with every accuracy (column).

    A constant IoU follows nothing: 0.
    """
    pairs = [[over_levels(score, other, above=cut) for other in accuracy] for score in iou]
    return np.nan_to_num(np.array(pairs).reshape(len(iou), len(iou)))


def _orders(count: int, seed: int) -> list[np.ndarray]:
    """Return all orders of `count` chains, or the given one and others drawn at random."""
    if math.factorial(count) <= _MOST:
        return [np.array(order) for order in itertools.permutations(range(count))]
    random = np.random.default_rng(seed)
    return [np.arange(count), *(random.permutation(count) for _ in range(_MOST - 1))]
