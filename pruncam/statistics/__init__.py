"""Correlations, and confidence intervals by formula and by resampling."""

from pruncam.statistics._checks import as_numbers
from pruncam.statistics.bootstrap import (
    bootstrap_mean,
    bootstrap_means,
    crossed_means,
    extreme,
    percentile_intervals,
    simultaneous_intervals,
)
from pruncam.statistics.correlations import (
    METHODS,
    Correlation,
    correlation,
    partial_rank_correlation,
    rank_correlation,
)
from pruncam.statistics.intervals import (
    Interval,
    accuracy_interval,
    distance_from,
    mean_difference,
    proportion_interval,
    t_interval,
)

__all__ = [
    "METHODS",
    "Correlation",
    "Interval",
    "accuracy_interval",
    "as_numbers",
    "bootstrap_mean",
    "bootstrap_means",
    "correlation",
    "crossed_means",
    "distance_from",
    "extreme",
    "mean_difference",
    "partial_rank_correlation",
    "percentile_intervals",
    "proportion_interval",
    "rank_correlation",
    "simultaneous_intervals",
    "t_interval",
]
