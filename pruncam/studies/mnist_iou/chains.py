"""Chains of pruned networks of several trainings, and correlations that respect the nesting.

Every level of a chain is pruned from the level before, so its levels are not independent points.
Only trainings are independent: a chain gives one correlation, and intervals are over chains.
"""

import itertools
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from pruncam.statistics import Interval, correlation, t_interval

FEWEST = 5  # points of a correlation
ACCURACY = "accuracy_noisy"


@dataclass(frozen=True)
class Chains:
    """The scores of several trainings under one configuration, each pruned level by level.

    `levels` are rows of `analysis.levels`; `guessing` is the accuracy in % of always naming the
    most frequent class. `lowered` is subtracted from the cuts that say which networks still work:
    the points by which the unpruned network is less accurate than on the main data set.
    """

    levels: pd.DataFrame
    guessing: float = 10.0
    lowered: float = 0.0

    @cached_property
    def _ordered(self) -> pd.DataFrame:
        return self.levels.sort_values(["seed", "level"])

    def __len__(self) -> int:
        return self.levels["seed"].nunique()

    @property
    def seeds(self) -> list[int]:
        """The seeds of the chains, in ascending order."""
        return sorted(self.levels["seed"].unique())

    def without(self, seed: int) -> "Chains":
        """Return all chains but that of one seed."""
        return replace(self, levels=self.levels[self.levels["seed"] != seed])

    @property
    def last_level(self) -> int:
        """The number of the sparsest level."""
        return int(self.levels["level"].max())

    @property
    def sparsity(self) -> np.ndarray:
        """The mean share of pruned weights, (levels,)."""
        return 1 - self.scores("density").mean(axis=0)

    def scores(self, column: str) -> np.ndarray:
        """Return a column of `levels`, (seeds, levels)."""
        return self._ordered[column].to_numpy(dtype=float).reshape(len(self), -1)

    def change(self, column: str, before: int, after: int) -> np.ndarray:
        """Return the change of a score between two levels, (seeds,)."""
        scores = self.scores(column)
        return scores[:, after] - scores[:, before]

    def correlations(
        self,
        column: str = "iou",
        method: str = "pearson",
        above: float = 0.0,
        accuracy: str = ACCURACY,
    ) -> np.ndarray:
        """Return the correlation of a score and accuracy over the levels of each chain, (seeds,).

        Over the levels of more than `above` % accuracy; see `over_levels`.
        """
        pairs = zip(self.scores(column), self.scores(accuracy), strict=True)
        return np.array([over_levels(*pair, method, above) for pair in pairs])

    def correlation_of_means(
        self, column: str = "iou", method: str = "pearson", above: float = 0.0
    ) -> float:
        """Return the correlation of the scores averaged over chains first, as in the thesis."""
        score, accuracy = self.scores(column), self.scores(ACCURACY)
        return over_levels(score.mean(axis=0), accuracy.mean(axis=0), method, above)

    def correlation_of_unpruned(self, column: str = "iou", method: str = "pearson") -> float:
        """Return the correlation over the unpruned networks of all chains.

        Fewer than 5 networks show no relation: 0.
        """
        score, accuracy = self.scores(column)[:, 0], self.scores(ACCURACY)[:, 0]
        value = over_levels(score, accuracy, method)
        return 0.0 if np.isnan(value) else value


def over_levels(
    score: np.ndarray, accuracy: np.ndarray, method: str = "pearson", above: float = 0.0
) -> float:
    """Return the correlation of two series (levels,) over the levels above an accuracy in %.

    NaN over fewer than 5 levels that have a score, or if a series is constant.
    """
    is_used = (accuracy > above) & ~np.isnan(score)
    if is_used.sum() < FEWEST:
        return np.nan
    return correlation(score[is_used], accuracy[is_used], method).value


def mean_correlation(values: np.ndarray) -> Interval:
    """Return the mean of the correlations of several chains, with its t interval in [-1, 1].

    Undefined correlations (NaN) are left out. The interval of a single one is NaN, and so is the
    mean of none.
    """
    defined = values[~np.isnan(values)]
    if len(defined) < 2:
        value = defined[0] if len(defined) else np.nan
        return Interval(value, np.nan, np.nan)
    mean = t_interval(defined)
    return Interval(mean.value, max(mean.low, -1.0), min(mean.high, 1.0))


def loss_between_trainings(scores: np.ndarray) -> float:
    """Return the mean relative loss in % from one training to another.

    `scores` (seeds,) are those of two or more networks that differ by their seed alone.
    """
    pairs = itertools.permutations(scores, 2)
    return float(np.mean([100 * (1 - other / one) for one, other in pairs]))
