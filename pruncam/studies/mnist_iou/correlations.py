"""The tables that correlate fit and accuracy: Table 3.1, by seed, by score, by reading."""

import math
from typing import Any

import numpy as np
import pandas as pd

from pruncam.statistics import METHODS, correlation
from pruncam.studies.mnist_iou.analysis import BASE, WORKING, rows_of, variants_by_dataset, working
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
PUBLISHED_ROW = {  # of Table 3.1, the one correlation that the thesis prints
    "series": "mean of the seeds",
    "accuracy": "accuracy_noisy",
    "over": "all levels",
    "method": "pearson",
}
_SHOWN_LEVELS = (0, 6, 10, 17)  # of the table by score
_FEWEST = 5  # points of a correlation
_CUT = 8.0  # points of accuracy that a level of any data set may lose and still work
_SUMMARIZED = ["iou", "iou_nonempty", "empty", "accuracy_noisy"]


def table_3_1(
    config: MnistIouConfig, by_level: pd.DataFrame, level_table: pd.DataFrame
) -> pd.DataFrame:
    """Return the correlations of IoU and accuracy over levels (thesis, Table 3.1).

    Those of the means of the seeds, and of each seed alone; over all levels, and over those that
    still work.
    """
    series = {"mean of the seeds": by_level}
    for seed in config.all_seeds:
        series[f"seed {seed}"] = rows_of(level_table, BASE, [seed])
    rows = [
        {"series": name, "accuracy": accuracy, "over": over, "method": method}
        | _correlation_columns(part, accuracy, method)
        for name, table in series.items()
        for accuracy in ("accuracy_noisy", "accuracy_clean")
        for over, part in _spans(table, accuracy).items()
        for method in METHODS
    ]
    table = pd.DataFrame(rows)
    is_equal = table[list(PUBLISHED_ROW)] == list(PUBLISHED_ROW.values())
    is_published = is_equal.all(axis=1)
    published = printed_values()["Pearson correlation of IoU and accuracy"]
    table["published"] = np.where(is_published, published, math.nan)
    table["difference"] = table["value"] - table["published"]
    return table


def _spans(table: pd.DataFrame, accuracy: str) -> dict[str, pd.DataFrame]:
    above = f"accuracy above {WORKING:.0f} %"
    return {"all levels": table, above: working(table, accuracy)}


def _correlation_columns(
    table: pd.DataFrame,
    accuracy: str,
    method: str,
) -> dict[str, Any]:
    columns = ("value", "low", "high", "p_value", "df")
    points = {"points": len(table)}
    if len(table) < _FEWEST:
        return points | dict.fromkeys(columns, math.nan)
    result = correlation(table["iou"], table[accuracy], method)
    return points | {column: getattr(result, column) for column in columns}


def by_seed(config: MnistIouConfig, level_table: pd.DataFrame) -> pd.DataFrame:
    """Return a row per seed: does the correlation of one seed mean anything?"""
    rows = []
    for seed in config.all_seeds:
        row = {"seed": seed, "in_thesis": seed in config.seeds}
        rows.append(row | _summary(rows_of(level_table, BASE, [seed])))
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
    accuracy. The last row is the share of empty maps.
    """
    base = rows_of(level_table, BASE, config.seeds)
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
        levels = [means for seed in config.seeds for means in of_seeds[seed]]
        tables[title] = _with_iou(base, pd.DataFrame(levels, index=base.index))
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
        row = {"choice": name, "seeds": table["seed"].nunique()}
        rows.append(row | _summary(_means(table)))
    return pd.DataFrame(rows)


def _with_iou(base: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """Return `base` with the IoU, and the share of empty maps, of another reading."""
    return base.assign(
        iou=other["iou"],
        iou_nonempty=other["iou_nonempty"],
        empty=other["empty"],
    )


def _means(table: pd.DataFrame) -> pd.DataFrame:
    """Return the means over seeds by level."""
    groups = table.groupby("level")
    return groups[_SUMMARIZED].mean().reset_index()


def by_dataset(config: MnistIouConfig, level_table: pd.DataFrame) -> pd.DataFrame:
    """Return a row per data set: accuracy, IoU and their correlation; means of the thesis's seeds.

    A level works if it loses at most `cut` points of accuracy against level 0: 90 % on MNIST is
    about that, and other data sets may start lower.
    """
    rows = []
    for dataset, variant in variants_by_dataset(config).items():
        table = rows_of(level_table, variant, config.seeds)
        means = _means(table)
        accuracy = means["accuracy_noisy"]
        works = means[accuracy >= accuracy.iloc[0] - _CUT]
        row = {"dataset": dataset, "seeds": table["seed"].nunique()}
        row |= _summary(means)
        row["pearson_working"] = _pearson(works)
        row["working_levels"] = len(works)
        row["cut"] = _CUT
        rows.append(row)
    return pd.DataFrame(rows)


def _pearson(table: pd.DataFrame, column: str = "iou") -> float:
    """Return the correlation with accuracy; NaN over fewer than 5 levels."""
    pairs = table[[column, "accuracy_noisy"]].dropna()  # a level of empty maps has no energy
    if len(pairs) < _FEWEST:
        return math.nan
    return correlation(pairs[column], pairs["accuracy_noisy"]).value
