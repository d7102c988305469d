"""The numbers the thesis prints, beside ours."""

import math
from typing import Any

import numpy as np
import pandas as pd

from pruncam.published import read_printed
from pruncam.statistics import correlation
from pruncam.studies.mnist_iou.analysis import BASE, rows_of
from pruncam.studies.mnist_iou.config import MnistIouConfig
from pruncam.studies.mnist_iou.samples import DigitSamples
from pruncam.studies.published_numbers import PublishedNumber, published_table

_SAMPLE = "IoU of the sample shown"
_BOUND = "p-value of that correlation (an upper bound)"
_LATE = 10  # the later of the iterations whose heatmaps the thesis compares
PEAK = "highest mean IoU of a level"
_NOTES = {  # why a difference is missing, or what it means, by the beginning of a quantity
    _SAMPLE: "of another image than the thesis's: not comparable",
    _BOUND: "a bound, as if the levels were independent",
    "degrees of freedom": "26 levels have 24",
}
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
    return read_printed("mnist_iou", keep_default_na=False, dtype={"value": float})


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
    """Return every printed number with ours, the mean over the thesis's seeds.

    `all_seeds` is the mean over all seeds, with its standard deviation; `note` says where a
    difference would compare unlike numbers and is left out, and what else a reader should know.
    """
    base = rows_of(level_table, BASE, config.seeds)
    ours: dict[str, Any] = {
        **_of_levels(base),
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
    return _with_notes(published_table(numbers)).join(_of_all_seeds(config, level_table))


def _with_notes(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with its notes, and no difference of unlike numbers."""
    table = table.assign(note=[_note(quantity) for quantity in table["quantity"]])
    is_unlike = table["quantity"].str.startswith((_SAMPLE, _BOUND))
    table.loc[is_unlike, "difference"] = math.nan
    return table


def _of_all_seeds(config: MnistIouConfig, level_table: pd.DataFrame) -> pd.DataFrame:
    """Return mean and standard deviation over all seeds, a row per printed number."""
    ours = _of_levels(rows_of(level_table, BASE, config.all_seeds))
    by_quantity = [pd.Series(ours.get(name, []), dtype=float) for name in printed_values()]
    return pd.DataFrame(
        {
            "all_seeds": [values.mean() for values in by_quantity],
            "all_seeds_sd": [values.std(ddof=1) for values in by_quantity],
        }
    )


def _note(quantity: str) -> str:
    notes = [note for name, note in _NOTES.items() if quantity.startswith(name)]
    return notes[0] if notes else ""


def _of_levels(base: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return the numbers of single levels, by quantity; one value per seed."""

    def at(level: int, column: str) -> np.ndarray:
        return base.loc[base["level"] == level, column].to_numpy()

    values = {quantity: at(level, column) for quantity, (column, level) in AT_LEVEL.items()}
    peak = base.groupby("level")["iou"].mean().idxmax()
    return values | {PEAK: at(int(peak), "iou")}


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
