"""The tables of pools: CSG by the number of images per class, and the gap between the splits.

The draws of whole splits and of pools, on which all intervals rest, have a table of their own.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pruncam.statistics import Interval, mean_difference, t_interval
from pruncam.studies.csg.analysis import at_own_settings, rows_by_split
from pruncam.studies.csg.config import CsgConfig
from pruncam.studies.csg.experiment import SPLITS, CsgExperiment

_DRAW = ["dataset", "split", "k", "samples", "draw"]  # columns that identify a draw of a split
_POOL_COLUMNS = ("train_pools", "test_pools", "left", "left_low", "left_high")


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
        "pool": experiment.images_per_class(split),
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

    `gap` is that of the whole splits; `left` is that of pools of `pool` images per class, as many
    as the smaller split has. 95 % intervals are over draws of samples, and of pools (Student's and
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
    row = {
        "dataset": experiment.dataset,
        "train": csg["train"].mean(),
        "test": csg["test"].mean(),
        "gap": gap.value,
        "gap_low": gap.low,
        "gap_high": gap.high,
        "pool": experiment.common_pool,
        **dict.fromkeys(_POOL_COLUMNS, math.nan),
    }
    pools = equal_pools(experiment, csg)
    if pools is None:
        return row
    left = difference_of_pools(pools["test"], pools["train"])
    return row | {
        "train_pools": pools["train"].mean(),
        "test_pools": pools["test"].mean(),
        "left": left.value,
        "left_low": left.low,
        "left_high": left.high,
    }


def draws(
    raw_draws: pd.DataFrame,
    shuffled: pd.DataFrame,
    experiments: Sequence[CsgExperiment],
) -> pd.DataFrame:
    """Return the CSG of raw pixels by draw: the numbers behind the intervals of claims and `gaps`.

    Whole splits at every setting that was tried, and pools as large as the smaller split; `pool` is
    the number of images per class. `shuffled_labels` is CSG of the same images with shuffled
    labels. The first two tables are those of `analysis.of_raw_pixels` and
    `analysis.shuffled_draws`.
    """
    chance = shuffled[[*_DRAW, "csg"]].rename(columns={"csg": "shuffled_labels"})
    whole = raw_draws[[*_DRAW, "csg"]].merge(chance, on=_DRAW)
    tables = []
    for experiment in experiments:
        for split in SPLITS:
            is_split = (whole["dataset"] == experiment.dataset) & (whole["split"] == split)
            size = experiment.images_per_class(split)
            tables.append(whole[is_split].assign(pool=size, whole=True))
        tables += [_draws_of_pool(experiment, *pool) for pool in experiment.shuffled_pools]
    table = pd.concat(tables, ignore_index=True)
    return table[["dataset", "split", "pool", "whole", *_DRAW[2:], "csg", "shuffled_labels"]]


def _draws_of_pool(experiment: CsgExperiment, split: str, size: int) -> pd.DataFrame:
    config = experiment.config
    return pd.DataFrame(
        {
            "dataset": experiment.dataset,
            "split": split,
            "pool": size,
            "whole": False,
            "k": config.k,
            "samples": config.samples_per_class,
            "draw": range(config.pool_draws),
            "csg": experiment.pool(split, size).numpy(),
            "shuffled_labels": experiment.pool(split, size, labels="shuffled").numpy(),
        }
    )


def equal_pools(
    experiment: CsgExperiment,
    whole: Mapping[str, np.ndarray],
    *,
    labels: str = "own",
) -> dict[str, np.ndarray] | None:
    """Return the CSG of both splits in pools of one size, by draw; None without such pools.

    `whole` has the CSG of the whole splits by draw: one that has no more images than the other is
    a pool itself. `labels` are the images' "own" or "shuffled".
    """
    size = experiment.common_pool
    pools = {}
    for split in SPLITS:
        if experiment.images_per_class(split) == size:
            pools[split] = whole[split]
        elif (split, size) in experiment.pools:
            pools[split] = experiment.pool(split, size, labels=labels).numpy()
        else:
            return None
    return pools


def difference_of_pools(x: np.ndarray, y: np.ndarray, confidence: float = 0.95) -> Interval:
    """Return the mean of x minus that of y, CSGs by draw, with its interval.

    If all draws of one of them agree because every image is a sample, it is known without a spread.
    """
    x, y = _distinct(x), _distinct(y)
    if len(y) > 1:
        return mean_difference(x, y, confidence=confidence)
    return t_interval(x - y, confidence=confidence) if len(x) > 1 else _known(x[0] - y[0])


def _distinct(values: np.ndarray) -> np.ndarray:
    """Return the values, or one of them if they agree."""
    return values[:1] if np.ptp(values) < 1e-9 else values


def _known(value: float) -> Interval:
    return Interval(float(value), float(value), float(value))
