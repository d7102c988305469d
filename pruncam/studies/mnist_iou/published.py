"""The numbers the thesis prints, beside ours."""

import math
from typing import Any

import numpy as np
import pandas as pd

from pruncam._core import paths
from pruncam.statistics import correlation
from pruncam.studies.mnist_iou.analysis import BASE, rows_of
from pruncam.studies.mnist_iou.config import MnistIouConfig
from pruncam.studies.mnist_iou.samples import DigitSamples
from pruncam.studies.published_numbers import PublishedNumber, published_table

_BOUND = "p-value of that correlation (an upper bound)"
_LATE = 10  # the later of the iterations whose heatmaps the thesis compares
PEAK = "highest mean IoU of a level"
AT_LEVEL = {  # column and level of a printed quantity
    "accuracy at full density on clean images": ("accuracy_clean", 0),
    "accuracy at full density on noisy images": ("accuracy_noisy", 0),
    "mean of the heatmaps at iteration 0": ("heatmap_mean", 0),
    "mean of the heatmaps at iteration 10": ("heatmap_mean", _LATE),
    "standard deviation of the heatmaps at iteration 0": ("heatmap_std", 0),
    "standard deviation of the heatmaps at iteration 10": ("heatmap_std", _LATE),
}


def printed_numbers() -> pd.DataFrame:
    """Return the printed numbers: quantity, unit, value, source."""
    file = paths.package_folder() / "published" / "mnist_iou.csv"
    return pd.read_csv(file, keep_default_na=False, dtype={"value": float})


def printed_values() -> dict[str, float]:
    """Return the printed numbers by quantity."""
    table = printed_numbers()
    return dict(zip(table["quantity"], table["value"], strict=True))


def numbers_beside_ours(
    config: MnistIouConfig,
    by_level: pd.DataFrame,
    level_table: pd.DataFrame,
    samples: DigitSamples,
) -> pd.DataFrame:
    """Return every printed number with ours, the mean over the thesis's seeds."""
    base = rows_of(level_table, BASE, config.seeds)
    ours: dict[str, Any] = {
        **_of_levels(base, by_level),
        **_of_samples(samples),
        **_of_correlation(by_level),
    }
    numbers = []
    for printed in printed_numbers().itertuples():
        values = np.asarray(ours.get(printed.quantity, []))
        number = PublishedNumber(
            quantity=printed.quantity,
            unit=printed.unit,
            published=printed.value,
            source=printed.source,
            ours=values.mean() if len(values) else math.nan,
            sd=values.std(ddof=1) if len(values) > 1 else math.nan,
            seeds=len(values),
        )
        numbers.append(number)
    table = published_table(numbers)
    table.loc[table["quantity"] == _BOUND, "difference"] = math.nan  # a bound has no difference
    return table


def _of_levels(base: pd.DataFrame, by_level: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return the numbers of single levels, by quantity; one value per seed."""

    def at(level: int, column: str) -> np.ndarray:
        return base.loc[base["level"] == level, column].to_numpy()

    values = {quantity: at(level, column) for quantity, (column, level) in AT_LEVEL.items()}
    return values | {PEAK: at(int(by_level["iou"].argmax()), "iou")}


def _of_samples(samples: DigitSamples) -> dict[str, list[float]]:
    ours = {
        "IoU of the sample shown": [samples.eight.iou[0]],
        "IoU of the sample shown at iteration 0": [samples.inverted.iou[0]],
    }
    if len(samples.inverted.iou) > _LATE:
        ours["IoU of the sample shown at iteration 10"] = [samples.inverted.iou[_LATE]]
    return ours


def _of_correlation(by_level: pd.DataFrame) -> dict[str, list[float]]:
    if len(by_level) < 5:
        return {}
    pearson = correlation(by_level["iou"], by_level["accuracy_noisy"])
    return {
        "Pearson correlation of IoU and accuracy": [pearson.value],
        _BOUND: [pearson.p_value],
        "degrees of freedom": [pearson.df],
    }
