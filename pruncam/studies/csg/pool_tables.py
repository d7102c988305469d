"""The tables of pools: CSG by the number of images per class, and the gap between the splits."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from pruncam.statistics import Interval, mean_difference, t_interval
from pruncam.studies.csg.analysis import at_own_settings, rows_by_split
from pruncam.studies.csg.config import CsgConfig
from pruncam.studies.csg.experiment import SPLITS, CsgExperiment

_POOL_COLUMNS = ("train_pools", "pool_draws", "left", "left_low", "left_high")


def pools(experiments: Sequence[CsgExperiment], sets: pd.DataFrame) -> pd.DataFrame:
    """Return the CSG by the number of images per class; the last row of a split has all of it.

    `sets` is the table of `analysis.sets`.
    """
    by_split = rows_by_split(sets)
    rows = []
    for experiment in experiments:
        for split in SPLITS:
            rows += _rows_of_split(experiment, split, by_split[experiment.dataset, split])
    table = pd.DataFrame(rows)
    classes = sets.drop_duplicates("dataset").set_index("dataset")["classes"]
    largest = table["dataset"].map(classes) - 1
    return table.assign(relative=table["csg"] / largest)


def _rows_of_split(
    experiment: CsgExperiment,
    split: str,
    measured: Any,
) -> list[dict[str, Any]]:
    """Return the rows of all pools of a split, then that of the split itself (`measured`)."""
    sizes = [size for of_split, size in experiment.pools if of_split == split]
    rows = [_pool_row(experiment, split, size) for size in sizes]
    split_row = {
        "dataset": experiment.dataset,
        "split": split,
        "pool": _images_per_class(experiment, split),
        "csg": measured.csg,
        "sd": measured.sd,
        "draws": int(measured.draws),
        "whole": True,
    }
    return [*rows, split_row]


def _pool_row(
    experiment: CsgExperiment,
    split: str,
    size: int,
) -> dict[str, Any]:
    values = experiment.pool(split, size).numpy()
    return {
        "dataset": experiment.dataset,
        "split": split,
        "pool": size,
        "csg": values.mean(),
        "sd": values.std(ddof=1),
        "draws": len(values),
        "whole": False,
    }


def gaps(
    config: CsgConfig,
    raw_draws: pd.DataFrame,
    experiments: Sequence[CsgExperiment],
) -> pd.DataFrame:
    """Return by how much the test split is more complex, and how much of it pools leave.

    `gap` is that of the whole splits; `left` is that of the test split and of training pools of its
    size, if there are any. 95 % intervals are over draws of samples, and of pools (Student's and
    Welch's). There is only one test split: an interval without 0 means that these test images
    differ, not that test images do. `raw_draws` is the table of `analysis.of_raw_pixels`.
    """
    draws = at_own_settings(raw_draws, config).sort_values("draw")
    rows = []
    for experiment in experiments:
        of_dataset = draws[draws["dataset"] == experiment.dataset]
        rows.append(_gap_row(experiment, of_dataset))
    return pd.DataFrame(rows)


def _gap_row(experiment: CsgExperiment, draws: pd.DataFrame) -> dict[str, Any]:
    csg = {split: part["csg"].to_numpy() for split, part in draws.groupby("split")}
    gap = t_interval(csg["test"] - csg["train"])
    if not draws["drawn"].any():
        gap = Interval(gap.value, math.nan, math.nan)
    size = _images_per_class(experiment, "test")
    row = {
        "dataset": experiment.dataset,
        "train": csg["train"].mean(),
        "test": csg["test"].mean(),
        "gap": gap.value,
        "gap_low": gap.low,
        "gap_high": gap.high,
        "pool": size,
        **dict.fromkeys(_POOL_COLUMNS, math.nan),
    }
    if ("train", size) not in experiment.pools:
        return row
    pools = experiment.pool("train", size).numpy()
    # If every test image is a sample, its CSG is known without a spread.
    test = csg["test"] if draws["drawn"].all() else csg["test"][:1]
    left = mean_difference(test, pools)
    return row | {
        "train_pools": pools.mean(),
        "pool_draws": len(pools),
        "left": left.value,
        "left_low": left.low,
        "left_high": left.high,
    }


def _images_per_class(experiment: CsgExperiment, split: str) -> int:
    """Return the mean number of images per class, rounded."""
    counts = experiment.class_counts(split).float()
    return round(counts.mean().item())
