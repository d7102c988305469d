"""The tables of draws, settings and data sets."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from pruncam.statistics import t_interval
from pruncam.studies.csg.config import RAW, CsgConfig
from pruncam.studies.csg.embedder import View
from pruncam.studies.csg.experiment import SPLITS, CsgExperiment
from pruncam.studies.original_data import is_complete

_SETTING = [  # columns that identify a row of `settings`
    "dataset",
    "split",
    "embedding",
    "volume",
    "images",
    "whole",
    "same_data",
    "classes",
    "k",
    "samples",
    "drawn",
]


def draws(experiments: Sequence[CsgExperiment]) -> pd.DataFrame:
    """Return a row per measurement: data set, split, embedding, k, M, draw and CSG.

    `whole` is True for views of all images of a split; `drawn` is False if M takes all images, so
    that all draws are the same.
    """
    tables = []
    for experiment in experiments:
        tables += [_draws_of_view(experiment, view) for view in experiment.views]
    return pd.concat(tables, ignore_index=True)


def _draws_of_view(experiment: CsgExperiment, view: View) -> pd.DataFrame:
    config = experiment.config
    images = experiment.images(view.split)
    labels = images.labels[: view.images]
    largest_class = int(torch.bincount(labels).max())
    rows = []
    for volume, values in experiment.draws(view).items():
        for (k, m, draw), csg in np.ndenumerate(values.numpy()):
            row = {
                "k": config.ks[k],
                "samples": config.samples[m],
                "volume": volume,
                "drawn": config.samples[m] < largest_class,
                "repeat": view.repeat,
                "draw": draw,
                "csg": csg,
            }
            rows.append(row)
    return pd.DataFrame(rows).assign(
        dataset=experiment.dataset,
        split=view.split,
        embedding=view.embedding,
        images=view.images,
        whole=view.images == len(images),
        classes=len(experiment.train.classes),
        same_data=same_data(experiment),
    )


def shuffled_draws(experiments: Sequence[CsgExperiment]) -> pd.DataFrame:
    """Return a row per measurement of raw pixels with shuffled labels, as `draws` does."""
    rows = []
    for experiment in experiments:
        settings = experiment.config.tried_settings
        of_dataset = {
            "dataset": experiment.dataset,
            "classes": len(experiment.train.classes),
            "same_data": same_data(experiment),
        }
        for split in SPLITS:
            for (number, draw), csg in np.ndenumerate(experiment.shuffled_draws(split).numpy()):
                k, samples = settings[number]
                setting = {"split": split, "k": k, "samples": samples}
                rows.append(of_dataset | setting | {"draw": draw, "csg": csg})
    return pd.DataFrame(rows)


def same_data(experiment: CsgExperiment) -> bool:
    """Return True if the images are those of the paper's data set, all of it."""
    return is_complete(experiment.dataset, experiment.train, experiment.test)


def pixels(experiment: CsgExperiment) -> str:
    """Return in words whether the pixels are those of the paper's data set."""
    if not same_data(experiment):
        return "other images"
    return "original" if experiment.test.original else "re-encoded"


def of_raw_pixels(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of raw pixels of whole splits."""
    is_raw = table["embedding"] == RAW
    return table[is_raw & table["whole"]]


def at_own_settings(table: pd.DataFrame, config: CsgConfig) -> pd.DataFrame:
    """Return the rows at the study's own k and M."""
    is_k = table["k"] == config.k
    is_m = table["samples"] == config.samples_per_class
    return table[is_k & is_m]


def rows_by_split(table: pd.DataFrame) -> dict[tuple[str, str], Any]:
    """Return the rows of a table, as named tuples, by data set and split."""
    rows = table.itertuples()
    return {(row.dataset, row.split): row for row in rows}


def settings(draws: pd.DataFrame) -> pd.DataFrame:
    """Return mean, spread and interval of every embedding, k and M.

    `measurements` is the number of draws times repeats. If every image is a sample, all draws are
    the same and only one of them counts; spread and interval are NaN for a single measurement.
    """
    rows = []
    for key, part in draws.groupby(_SETTING, sort=False):
        row: dict[str, Any] = dict(zip(_SETTING, key, strict=True))
        if not row["drawn"]:
            part = part[part["draw"] == part["draw"].iloc[0]]
        rows.append(row | _summary(part, largest=row["classes"] - 1))
    return pd.DataFrame(rows)


def _summary(draws: pd.DataFrame, largest: int) -> dict[str, Any]:
    """Return the summary of the draws of one setting, whose largest possible CSG is `largest`."""
    csg = draws["csg"]
    low, high = _bounds(draws, largest)
    return {
        "csg": csg.mean(),
        "sd": csg.std(),
        "low": low,
        "high": high,
        "measurements": len(csg),
        "relative": csg.mean() / largest,
    }


def _bounds(draws: pd.DataFrame, largest: int) -> tuple[float, float]:
    """Return the 95 % interval of the mean, within [0, largest].

    Over draws or over trainings, whichever is wider: draws from one training are not independent
    trainings, so their product is not the number of measurements.
    """
    intervals = []
    for name in ("draw", "repeat"):
        means = draws.groupby(name)["csg"].mean()
        if len(means) > 1:
            intervals.append(t_interval(means))
    if not intervals:
        return math.nan, math.nan
    wider = max(intervals, key=lambda interval: interval.high - interval.low)
    return max(wider.low, 0.0), min(wider.high, largest)


def sets(
    config: CsgConfig,
    settings: pd.DataFrame,
    shuffled: pd.DataFrame,
    experiments: Sequence[CsgExperiment],
) -> pd.DataFrame:
    """Return the CSG of every data set and split at the study's own settings.

    `shuffled_labels` is CSG where labels tell nothing, the mean of the table of `shuffled_draws`.
    """
    raw = at_own_settings(of_raw_pixels(settings), config)
    by_split = rows_by_split(raw)
    chance = at_own_settings(shuffled, config).groupby(["dataset", "split"])["csg"].mean()
    rows = []
    for experiment in experiments:
        for split in SPLITS:
            setting = by_split[experiment.dataset, split]
            row = _set_row(experiment, split, setting)
            rows.append(row | {"shuffled_labels": chance[experiment.dataset, split]})
    return pd.DataFrame(rows)


def _set_row(
    experiment: CsgExperiment,
    split: str,
    setting: Any,
) -> dict[str, Any]:
    shape = experiment.images(split).images.shape[1:]
    smallest_class = int(experiment.class_counts(split).min())
    return {
        "dataset": experiment.dataset,
        "split": split,
        "data": experiment.test.name,
        "pixels": pixels(experiment),
        "same_data": setting.same_data,
        "images": setting.images,
        "size": "x".join(map(str, shape)),
        "classes": setting.classes,
        "k": setting.k,
        "samples": min(experiment.config.samples_per_class, smallest_class),
        "csg": setting.csg,
        "sd": setting.sd,
        "low": setting.low,
        "high": setting.high,
        "draws": setting.measurements,
        "relative": setting.relative,
    }
