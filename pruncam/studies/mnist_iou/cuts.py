"""The correlation of IoU and accuracy by cut, seed and layer: does one number describe it?"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from pruncam.studies.mnist_iou.analysis import BASE, rows_of
from pruncam.studies.mnist_iou.chains import ACCURACY, Chains, mean_correlation
from pruncam.studies.mnist_iou.config import MnistIouConfig
from pruncam.studies.mnist_iou.correlations import with_reading
from pruncam.studies.mnist_iou.readings import Means, is_configured

CUTS = (0.0, 80.0, 85.0, 90.0, 95.0, 97.0)  # % accuracy; 0: all levels
ALL_SEEDS = "all seeds"
THESIS_SEEDS = "the thesis's seeds"


def series_of(config: MnistIouConfig) -> dict[str, tuple[int, ...]]:
    """Return the groups of seeds that are averaged, by name: all, and those of the thesis."""
    series = {ALL_SEEDS: config.all_seeds} if config.more_seeds else {}
    return series | {THESIS_SEEDS: config.seeds}


def table(config: MnistIouConfig, level_table: pd.DataFrame, readings: Means) -> pd.DataFrame:
    """Return a row per target layer, series and cut: over levels of more than `cut` % accuracy.

    A series is a group of seeds, or one seed. `pearson` and `spearman` are the means of the
    correlations of `seeds` chains, those with 5 such `levels` (their mean number); `low` and `high`
    are the interval of `pearson` over chains. `pearson_of_means` correlates the scores averaged
    over the seeds first, as in the thesis; `pearson_other_image` is `pearson` with every heatmap
    laid on another image. Layers other than the configured one have the thesis's seeds.
    """
    base = rows_of(level_table, BASE, config.all_seeds)
    of_thesis = rows_of(level_table, BASE, config.seeds)
    rows = []
    for reading, means in readings.items():
        if is_configured(config, reading):
            series = series_of(config) | single_seeds(config.all_seeds)
            rows += _rows(reading.layer, base, series)
        elif not reading.explains_label:
            series = {THESIS_SEEDS: config.seeds} | single_seeds(config.seeds)
            rows += _rows(reading.layer, with_reading(config, of_thesis, means), series)
    return pd.DataFrame(rows)


def single_seeds(seeds: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """Return a series of its own for every seed, by name."""
    return {f"seed {seed}": (seed,) for seed in seeds}


def _rows(
    layer: str, levels: pd.DataFrame, series: dict[str, tuple[int, ...]]
) -> list[dict[str, Any]]:
    rows = []
    for name, seeds in series.items():
        chains = Chains(levels[levels["seed"].isin(seeds)])
        for cut in CUTS:
            row = {"layer": layer, "series": name, "cut": cut}
            rows.append(row | _row(chains, cut))
    return rows


def _row(chains: Chains, cut: float) -> dict[str, Any]:
    by_seed = chains.correlations(above=cut)
    pearson = mean_correlation(by_seed)
    levels = (chains.scores(ACCURACY) > cut).sum(axis=1)
    is_defined = ~np.isnan(by_seed)
    return {
        "seeds": int(is_defined.sum()),
        "levels": levels[is_defined].mean() if is_defined.any() else math.nan,
        "pearson": pearson.value,
        "low": pearson.low,
        "high": pearson.high,
        "spearman": mean_correlation(chains.correlations(method="spearman", above=cut)).value,
        "pearson_of_means": chains.correlation_of_means(above=cut),
        "pearson_other_image": mean_correlation(
            chains.correlations("iou_other_image", above=cut)
        ).value,
    }
