"""The tables that correlate fit and accuracy: Table 3.1, by seed, by score, by reading."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pruncam.statistics import METHODS, correlation
from pruncam.studies.mnist_iou.analysis import BASE, WORKING, rows_of, working
from pruncam.studies.mnist_iou.config import MnistIouConfig
from pruncam.studies.mnist_iou.published import printed_values

FIT_TITLES = {
    "iou": "soft IoU (thesis, Eq. 2.8)",
    "pooled_iou": "soft IoU, minima and maxima pooled over all images",
    "iou_binary": "binary IoU, both thresholded at their mean",
    "energy": "share of the heatmap on the digit",
    "pixel_correlation": "correlation over pixels",
    "iou_other_image": "soft IoU with another image (control)",
}
PUBLISHED_ROW = {  # of Table 3.1, the one correlation that the thesis prints
    "series": "mean of the seeds",
    "accuracy": "accuracy_noisy",
    "over": "all levels",
    "method": "pearson",
}
_SHOWN_LEVELS = (0, 6, 10, 17)  # of the table by score
_FEWEST = 5  # points of a correlation


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
        table = rows_of(level_table, BASE, [seed])
        iou, working_levels = table["iou"], working(table)
        rows.append(
            {
                "seed": seed,
                "in_thesis": seed in config.seeds,
                "pearson_all": _pearson(table),
                "pearson_working": _pearson(working_levels),
                "working_levels": len(working_levels),
                "iou_level_0": iou.iloc[0],
                "iou_peak": iou.max(),
                "peak_level": int(table["level"].iloc[iou.argmax()]),
                "accuracy_level_0": table["accuracy_noisy"].iloc[0],
            }
        )
    return pd.DataFrame(rows)


def by_fit_score(config: MnistIouConfig, level_table: pd.DataFrame) -> pd.DataFrame:
    """Return a row per way to score the fit of heatmap and image.

    Columns: the value at some levels, and the correlation with accuracy.
    """
    base = rows_of(level_table, BASE, config.seeds)
    means = base.groupby("level").mean(numeric_only=True).reset_index()
    listed = [level for level in _SHOWN_LEVELS if level < len(means)]
    rows = []
    for name, title in FIT_TITLES.items():
        values = {f"level_{level}": means[name].iloc[level] for level in listed}
        row = {"fit": title, **values}
        row["pearson_all"] = _pearson(means, name)
        row["pearson_working"] = _pearson(working(means), name)
        rows.append(row)
    return pd.DataFrame(rows)


def sensitivity(
    config: MnistIouConfig,
    level_table: pd.DataFrame,
    readings: Mapping[int, Sequence[Mapping[str, float]]],
) -> pd.DataFrame:
    """Return a row per reading of what the thesis leaves open; means over `seeds` runs.

    `readings` has the mean IoU of every reading, by seed and level (`LevelScorer.readings`).
    """
    base = rows_of(level_table, BASE, config.seeds)
    rows = [_reading(BASE, base)]
    for name in readings[config.seeds[0]][0]:
        iou = [of_level[name] for seed in config.seeds for of_level in readings[seed]]
        rows.append(_reading(name, base.assign(iou=iou)))
    pooled = base.assign(iou=base["pooled_iou"])
    rows.append(_reading("IoU pooled over all images", pooled))
    on_clean = base.assign(accuracy_noisy=base["accuracy_clean"])
    rows.append(_reading("accuracy on clean images", on_clean))
    for variant in config.variants:
        rows.append(_reading(variant, level_table[level_table["variant"] == variant]))
    return pd.DataFrame(rows)


def _reading(name: str, table: pd.DataFrame) -> dict[str, Any]:
    means = table.groupby("level")[["iou", "accuracy_noisy"]].mean()
    return {
        "choice": name,
        "seeds": table["seed"].nunique(),
        "pearson_all": _pearson(means),
        "pearson_working": _pearson(working(means)),
        "iou_level_0": means["iou"].iloc[0],
        "iou_peak": means["iou"].max(),
        "peak_level": int(means["iou"].idxmax()),
        "accuracy_level_0": means["accuracy_noisy"].iloc[0],
    }


def _pearson(table: pd.DataFrame, column: str = "iou") -> float:
    """Return the correlation with accuracy; NaN over fewer than 5 levels."""
    pairs = table[[column, "accuracy_noisy"]].dropna()  # a level of empty maps has no energy
    if len(pairs) < _FEWEST:
        return math.nan
    return correlation(pairs[column], pairs["accuracy_noisy"]).value
