"""The ranking of settings by their distance from the printed values."""

import math
from collections.abc import Iterable

import numpy as np
import pandas as pd

from pruncam.studies.csg.experiment import SPLITS

_SETTING = ["embedding", "volume", "k", "samples"]
_VALUE = ["dataset", "published"]
_MEANS = ["off", "off_train", "off_test"]


def nearest_settings(
    distances: pd.DataFrame,
    datasets: Iterable[str],
    few: int,
) -> pd.DataFrame:
    """Return the settings in the order of their distance from the printed values.

    `off` is the geometric mean of the factors over the printed values of `datasets`, 1 at best; if
    the split is not stated, the nearer one counts. `off_train` and `off_test` are those of one
    split. CSG falls as the pool grows, so whole splits are ranked separately from pools of the
    first `few` images, the most that t-SNE gets. Only the papers' own data sets count if the
    profile has any, else their stand-ins. `distances` is the table of `published.distances`.
    """
    table = distances[distances["dataset"].isin(datasets)]
    if table["same_data"].any():
        table = table[table["same_data"]]
    factor = table["factor"].clip(lower=1e-6)
    off = factor.map(math.log).abs()
    table = table.assign(off=off, near=table["sds"].abs() <= 2)
    pools = {
        "whole splits": table[table["whole"]],
        f"first {few:,} images": table[table["images"] <= few],
    }
    ranked = [_ranked(part).assign(pool=pool) for pool, part in pools.items()]
    ranking = pd.concat(ranked, ignore_index=True)
    return ranking[["pool", *ranking.columns.drop("pool")]]


def _ranked(table: pd.DataFrame) -> pd.DataFrame:
    """Return the settings that have every value on every split, the nearest first."""
    table = _complete(table)
    nearer = table.sort_values("off", kind="stable")
    nearer = nearer.drop_duplicates([*_SETTING, *_VALUE])
    ranking = nearer.groupby(_SETTING).agg(
        off=("off", "mean"),
        within_2_sd=("near", "sum"),
        values=("off", "size"),
    )
    for split in SPLITS:
        of_split = table[table["split"] == split]
        ranking[f"off_{split}"] = of_split.groupby(_SETTING)["off"].mean()
    ranking["drawn"] = table.groupby(_SETTING)["drawn"].any()
    ranking = _without_repetitions(ranking.reset_index())
    ranking = ranking.sort_values("off", kind="stable", ignore_index=True)
    ranking[_MEANS] = np.exp(ranking[_MEANS].astype(float))
    ranking["rank"] = ranking.index + 1
    return ranking[["rank", *_SETTING, *_MEANS, "within_2_sd", "values"]]


def _complete(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the settings that have every value on every split."""
    every = table.drop_duplicates([*_VALUE, "split"])
    count = table.groupby(_SETTING)["off"].transform("size")
    return table[count == len(every)]


def _without_repetitions(ranking: pd.DataFrame) -> pd.DataFrame:
    """Return the ranking without settings that are the same because M takes all images."""
    is_repeated = ranking.duplicated(["embedding", "volume", "k", "drawn"])
    return ranking[ranking["drawn"] | ~is_repeated]
