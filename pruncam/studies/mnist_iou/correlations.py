"""The tables that correlate fit and accuracy: Table 3.1, by seed, by score, by reading."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pruncam.statistics import METHODS, Interval, correlation
from pruncam.studies.mnist_iou.analysis import (
    BASE,
    WORKING,
    accuracy_of_seeds,
    rows_of,
    variants_by_dataset,
    working,
)
from pruncam.studies.mnist_iou.chains import FEWEST, Chains, mean_correlation
from pruncam.studies.mnist_iou.config import MnistIouConfig
from pruncam.studies.mnist_iou.published import printed_values
from pruncam.studies.mnist_iou.readings import Means, is_configured

FIT_TITLES = {
    "iou": "soft IoU (thesis, Eq. 2.8)",
    "pooled_iou": "soft IoU, minima and maxima pooled over all images",
    "iou_binary": "binary IoU, both thresholded at their mean",
    "energy": "share of the heatmap on the digit",
    "pixel_correlation": "correlation over pixels",
    "iou_other_image": "soft IoU with another image (control)",
    "empty": "share of empty heatmaps",
}
OF_THESIS = "mean of the thesis's seeds"  # series of Table 3.1
OF_ALL = "mean of all seeds"
PUBLISHED_ROW = {  # of Table 3.1, the one correlation that the thesis prints
    "series": OF_THESIS,
    "accuracy": "accuracy_noisy",
    "over": "all levels",
    "method": "pearson",
}
_SPANS = {"all levels": 0.0, f"accuracy above {WORKING:.0f} %": WORKING}
_SHOWN_LEVELS = (0, 6, 10, 17)  # of the table by score
_CUT = 8.0  # points of accuracy that a level of any data set may lose and still work
_SUMMARIZED = ["iou", "iou_nonempty", "empty", "accuracy_noisy"]


def table_3_1(config: MnistIouConfig, level_table: pd.DataFrame) -> pd.DataFrame:
    """Return the correlations of IoU and accuracy over levels (thesis, Table 3.1).

    Those of the means of the thesis's seeds, of all seeds, and of each seed alone; over all levels,
    and over those that still work. `p_value` is computed as in the thesis, as if the nested levels
    were independent points; it is too small. For means, `single_seed` is the mean of the
    correlations of the single seeds, with its interval over the seeds.
    """
    series = {OF_THESIS: config.seeds}
    if config.more_seeds:
        series[OF_ALL] = config.all_seeds
    series |= {f"seed {seed}": (seed,) for seed in config.all_seeds}
    rows = []
    for name, seeds in series.items():
        chains = Chains(rows_of(level_table, BASE, seeds))
        rows += [{"series": name} | row for row in _correlation_rows(chains)]
    table = pd.DataFrame(rows)
    is_equal = table[list(PUBLISHED_ROW)] == list(PUBLISHED_ROW.values())
    is_published = is_equal.all(axis=1)
    published = printed_values()["Pearson correlation of IoU and accuracy"]
    table["published"] = np.where(is_published, published, math.nan)
    table["difference"] = table["value"] - table["published"]
    return table


def _correlation_rows(chains: Chains) -> list[dict[str, Any]]:
    """Return the rows of Table 3.1 of one series: by accuracy, levels and method."""
    choices = itertools.product(("accuracy_noisy", "accuracy_clean"), _SPANS.items(), METHODS)
    rows = []
    for accuracy, (over, cut), method in choices:
        row: dict[str, Any] = {"accuracy": accuracy, "over": over, "method": method}
        row |= _correlation_of_means(chains, accuracy, cut, method)
        single = Interval(math.nan, math.nan, math.nan)
        if len(chains) > 1:
            of_seeds = chains.correlations("iou", method, cut, accuracy)
            single = mean_correlation(of_seeds)
        rows.append(row | single.columns("single_seed"))
    return rows


def _correlation_of_means(
    chains: Chains,
    accuracy: str,
    cut: float,
    method: str,
) -> dict[str, float]:
    """Return the correlation of the means of the chains, with its p-value; NaN if undefined."""
    means = pd.DataFrame({name: chains.scores(name).mean(axis=0) for name in ("iou", accuracy)})
    means = means[means[accuracy] > cut]
    points = {"points": len(means)}
    if len(means) < FEWEST:
        return points | dict.fromkeys(("value", "p_value", "df"), math.nan)
    result = correlation(means["iou"], means[accuracy], method)
    return points | {"value": result.value, "p_value": result.p_value, "df": result.df}


def by_seed(config: MnistIouConfig, level_table: pd.DataFrame) -> pd.DataFrame:
    """Return a row per seed: does the correlation of one seed mean anything?

    The interval of the accuracy is over images.
    """
    rows = []
    for seed in config.all_seeds:
        of_seed = rows_of(level_table, BASE, [seed])
        row = {"seed": seed, "in_thesis": seed in config.seeds}
        row |= _summary(of_seed)
        unpruned = of_seed[of_seed["level"] == 0].iloc[0]
        row["accuracy_level_0_low"] = unpruned["accuracy_noisy_low"]
        row["accuracy_level_0_high"] = unpruned["accuracy_noisy_high"]
        rows.append(row)
    return pd.DataFrame(rows)


def _summary(table: pd.DataFrame) -> dict[str, Any]:
    """Return correlations, IoU at level 0 and at its peak, and accuracy, from means by level."""
    table = table.sort_values("level")
    working_levels = working(table)
    start, peak = table.iloc[0], table.iloc[table["iou"].argmax()]
    return {
        "pearson_all": _pearson(table),
        "pearson_working": _pearson(working_levels),
        "working_levels": len(working_levels),
        "iou_level_0": start["iou"],
        "iou_level_0_nonempty": start["iou_nonempty"],
        "empty_level_0": start["empty"],
        "iou_peak": peak["iou"],
        "iou_peak_nonempty": peak["iou_nonempty"],
        "empty_peak": peak["empty"],
        "peak_level": int(peak["level"]),
        "accuracy_level_0": start["accuracy_noisy"],
    }


def by_fit_score(config: MnistIouConfig, level_table: pd.DataFrame) -> pd.DataFrame:
    """Return a row per way to score the fit of heatmap and image.

    Columns: the value at some levels, with and without empty maps, and the correlation with
    accuracy; means of all seeds. The last row is the share of empty maps.
    """
    base = rows_of(level_table, BASE, config.all_seeds)
    means = base.groupby("level").mean(numeric_only=True).reset_index()
    no_values = pd.Series(math.nan, index=means.index)
    listed = [level for level in _SHOWN_LEVELS if level < len(means)]
    rows = []
    for name, title in FIT_TITLES.items():
        row: dict[str, Any] = {"fit": title}
        for level in listed:
            nonempty = means.get(f"{name}_nonempty", no_values)
            row[f"level_{level}"] = means[name].iloc[level]
            row[f"level_{level}_nonempty"] = nonempty.iloc[level]
        row["pearson_all"] = _pearson(means, name)
        row["pearson_working"] = _pearson(working(means), name)
        rows.append(row)
    return pd.DataFrame(rows)


def sensitivity(config: MnistIouConfig, level_table: pd.DataFrame, readings: Means) -> pd.DataFrame:
    """Return a row per reading of what the thesis leaves open; means over `seeds` runs.

    `readings` has the mean scores by reading, seed and level.
    """
    base = rows_of(level_table, BASE, config.seeds)
    tables = {BASE: base}
    for reading, of_seeds in readings.items():
        if is_configured(config, reading):
            continue
        title = reading.title
        if not reading.explains_label:
            title = f"target layer: {reading.layer} ({reading.title})"
        tables[title] = with_reading(config, base, of_seeds)
    pooled = base.assign(
        iou=base["pooled_iou"],
        iou_nonempty=base["pooled_iou_nonempty"],
    )
    tables["IoU pooled over all images"] = pooled
    on_clean = base.assign(accuracy_noisy=base["accuracy_clean"])
    tables["accuracy on clean images"] = on_clean
    for variant in config.variants:
        tables[variant] = level_table[level_table["variant"] == variant]
    rows = []
    for name, table in tables.items():
        row = {"choice": name, "seeds": table["seed"].nunique()} | _summary(_means(table))
        at_start = table.loc[table["level"] == 0, "accuracy_noisy"]
        rows.append(row | accuracy_of_seeds(at_start).columns("accuracy_level_0"))
    return pd.DataFrame(rows)


def with_reading(
    config: MnistIouConfig,
    base: pd.DataFrame,
    of_seeds: Mapping[int, Sequence[Mapping[str, float]]],
) -> pd.DataFrame:
    """Return the levels of the thesis's seeds with the IoU and empty maps of another reading.

    Scores on other images were not measured there: NaN.
    """
    levels = [means for seed in config.seeds for means in of_seeds[seed]]
    other = pd.DataFrame(levels, index=base.index)
    return base.assign(
        iou=other["iou"],
        iou_nonempty=other["iou_nonempty"],
        empty=other["empty"],
        iou_other_image=math.nan,
        iou_above_chance=math.nan,
        iou_above_chance_nonempty=math.nan,
    )


def _means(table: pd.DataFrame) -> pd.DataFrame:
    """Return the means over seeds by level."""
    groups = table.groupby("level")
    return groups[_SUMMARIZED].mean().reset_index()


def by_dataset(config: MnistIouConfig, level_table: pd.DataFrame) -> pd.DataFrame:
    """Return a row per data set: accuracy, IoU and their correlation; means of the thesis's seeds.

    A level works if it loses at most `cut` points of accuracy against level 0: 90 % on MNIST is
    about that, and other data sets may start lower. `single_seed` is the mean of the correlations
    of the single seeds over all levels. Intervals are over the seeds.
    """
    rows = []
    for dataset, variant in variants_by_dataset(config).items():
        chains = Chains(rows_of(level_table, variant, config.seeds))
        means = _means(chains.levels)
        accuracy = means["accuracy_noisy"]
        works = means[accuracy >= accuracy.iloc[0] - _CUT]
        row = {"dataset": dataset, "seeds": len(chains)}
        row |= _summary(means)
        row["pearson_working"] = _pearson(works)
        row["working_levels"] = len(works)
        row["cut"] = _CUT
        row |= mean_correlation(chains.correlations()).columns("single_seed")
        at_start = accuracy_of_seeds(chains.scores("accuracy_noisy")[:, 0])
        row |= at_start.columns("accuracy_level_0")
        rows.append(row)
    return pd.DataFrame(rows)


def _pearson(table: pd.DataFrame, column: str = "iou") -> float:
    """Return the correlation with accuracy; NaN over fewer than 5 levels."""
    pairs = table[[column, "accuracy_noisy"]].dropna()  # a level of empty maps has no energy
    if len(pairs) < FEWEST:
        return math.nan
    return correlation(pairs[column], pairs["accuracy_noisy"]).value
