"""The tables by pruning level: scores, means of the seeds, losses, correctness."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from torch import Tensor

from pruncam._core.seeds import derive
from pruncam.statistics import (
    Interval,
    accuracy_interval,
    crossed_means,
    percentile_intervals,
    t_interval,
)
from pruncam.studies.mnist_iou.chains import Chains
from pruncam.studies.mnist_iou.config import PRUNABLE, MnistIouConfig

BASE = "as configured"  # the variant of the main configuration
WORKING = 90.0  # % accuracy; below it, a level counts as no longer working

# The scores of every level of a run (`LevelScorer.scores`), by variant and seed.
Scores = Mapping[tuple[str, int], Sequence[Mapping[str, Any]]]

# Scores that `levels` averages over images.
_BY_IMAGE = ("iou", "iou_other_image", "iou_binary", "energy", "pixel_correlation")
_BY_CORRECTNESS = (
    "iou_correct",
    "iou_incorrect",
    "iou_correct_nonempty",
    "iou_incorrect_nonempty",
    "empty_correct",
    "empty_incorrect",
)
_ACCURACIES = ("accuracy_noisy", "accuracy_clean")
_BY_LEVEL = (  # columns of `levels` that `by_level` averages over seeds
    "iou",
    "iou_other_image",
    "iou_above_chance",
    "iou_nonempty",
    "iou_other_image_nonempty",
    "heatmap_mean",
    "heatmap_std",
    "inverted",
    "empty",
)


def levels(scores: Scores) -> pd.DataFrame:
    """Return a row per variant, seed and level: density, accuracies in %, mean scores.

    Accuracies come with their 95 % intervals over images (Wilson). `iou_above_chance` is the IoU
    less that with another image. `..._nonempty` are means without empty maps, NaN if all are empty;
    `empty` and `inverted` are shares of all maps. `energy` is undefined for empty maps, so both of
    its means are the same.
    """
    return pd.DataFrame(
        [
            {"variant": variant, "seed": seed, "level": level} | _level_row(of_level)
            for (variant, seed), of_run in scores.items()
            for level, of_level in enumerate(of_run)
        ]
    )


def _level_row(scores: Mapping[str, Any]) -> dict[str, Any]:
    means = _means_over_images(scores)
    correct = scores["correct"].numpy()
    return {
        "remaining": scores["remaining"],
        "density": scores["remaining"] / PRUNABLE,
        **_accuracy_columns(scores, images=len(correct)),
        **means,
        **_above_chance(means),
        "pooled_iou": scores["pooled_iou"],
        "pooled_iou_nonempty": scores["pooled_iou_nonempty"],
        "heatmap_mean": scores["heatmap_mean"],
        "heatmap_std": scores["heatmap_std"],
        **_means_by_correctness(scores, correct, "correct"),
        **_means_by_correctness(scores, ~correct, "incorrect"),
        "incorrect": int((~correct).sum()),
    }


def _above_chance(means: Mapping[str, float]) -> dict[str, float]:
    """Return the IoU less that with another image, with and without empty maps."""
    return {
        f"iou_above_chance{ending}": means[f"iou{ending}"] - means[f"iou_other_image{ending}"]
        for ending in ("", "_nonempty")
    }


def _accuracy_columns(scores: Mapping[str, Any], images: int) -> dict[str, float]:
    """Return the accuracies on noisy and clean images in %, each with its interval."""
    columns = {}
    for name in _ACCURACIES:
        interval = accuracy_interval(round(scores[name] * images / 100), images)
        # The score itself: its last digits decide ranks over levels, where accuracies nearly tie.
        columns |= interval.columns(name) | {name: scores[name]}
    return columns


def _means_over_images(scores: Mapping[str, Any]) -> dict[str, float]:
    """Return means with and without empty maps, and the shares of empty and inverted maps."""
    is_empty = scores["empty"].numpy()
    means = {}
    for name in _BY_IMAGE:
        values = pd.Series(scores[name].numpy().astype(float))
        means[name] = values.mean()
        means[f"{name}_nonempty"] = values[~is_empty].mean()
    means["empty"] = is_empty.mean()
    means["inverted"] = scores["inverted"].numpy().mean()
    return means


def _means_by_correctness(
    scores: Mapping[str, Any], selected: np.ndarray, name: str
) -> dict[str, float]:
    """Return the IoU of selected images, with and without empty maps, and the share of these."""
    iou = pd.Series(scores["iou"].numpy().astype(float))[selected]
    is_empty = pd.Series(scores["empty"].numpy())[selected]
    return {
        f"iou_{name}": iou.mean(),
        f"iou_{name}_nonempty": iou[~is_empty].mean(),
        f"empty_{name}": is_empty.mean(),
    }


def by_level(config: MnistIouConfig, scores: Scores, level_table: pd.DataFrame) -> pd.DataFrame:
    """Return the means of some seeds by level, with their standard deviations (`_sd`).

    `level_table` has the rows of `levels` of one variant and these seeds. Accuracies come with a t
    interval over seeds, within 0 and 100 %; the IoU with a bootstrap over seeds and images. With
    the thesis's seeds, these are the values of Figures 3.1 and 3.2.
    """
    rows = []
    for level, group in level_table.groupby("level"):
        # Ties can cost one seed one weight more than another: the mean represents all.
        row = {"level": level, "remaining": round(group["remaining"].mean())}
        row["density"] = group["density"].mean()
        for name in (*_ACCURACIES, *_BY_LEVEL):
            row[name] = group[name].mean()
            row[f"{name}_sd"] = group[name].std(ddof=1)
        for name in _ACCURACIES:
            row |= accuracy_of_seeds(group[name]).columns(name)
        of_level = [
            scores[key][level]["iou"] for key in zip(group["variant"], group["seed"], strict=True)
        ]
        seed = derive(config.seeds[0], "images", level)
        interval = _iou_interval(of_level, config.bootstrap, seed)
        row |= {"iou_low": interval.low, "iou_high": interval.high}
        rows.append(row)
    return pd.DataFrame(rows)


def accuracy_of_seeds(by_seed: ArrayLike) -> Interval:
    """Return the t interval over seeds of an accuracy in %; that of one seed says nothing."""
    interval = t_interval(by_seed)
    return Interval(interval.value, max(interval.low, 0.0), min(interval.high, 100.0))


def by_dataset_and_level(
    config: MnistIouConfig, scores: Scores, level_table: pd.DataFrame
) -> pd.DataFrame:
    """Return the columns of `by_level` of the thesis's seeds for every data set, the main first."""
    tables = []
    for dataset, variant in variants_by_dataset(config).items():
        table = by_level(config, scores, rows_of(level_table, variant, config.seeds))
        table.insert(0, "dataset", dataset)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _iou_interval(of_seeds: Sequence[Tensor], samples: int, seed: int) -> Interval:
    """Return the interval of the mean IoU (N,) of some seeds, which see the same N images."""
    values = np.stack([iou.numpy().astype(float) for iou in of_seeds])
    resampled = crossed_means(values[:, :, None], samples=samples, seed=seed)
    return percentile_intervals([values.mean()], resampled)[0]


def losses(chains: Chains) -> pd.DataFrame:
    """Return the loss against level 0, by level: accuracy in points, IoU in %.

    Intervals are over the seeds. `iou_nonempty_loss` leaves out empty maps; `empty` is their share.
    The table of all seeds decides claim I3.
    """
    accuracy, iou = accuracy_loss(chains), relative_loss(chains, "iou")
    iou_nonempty = relative_loss(chains, "iou_nonempty")
    empty = chains.scores("empty").mean(axis=0)
    rows = []
    for level, sparsity in enumerate(chains.sparsity):
        row = {"level": level, "sparsity": sparsity, "seeds": len(chains)}
        row |= _mean_of_seeds(accuracy[:, level]).columns("accuracy_loss")
        row |= _mean_of_seeds(iou[:, level]).columns("iou_loss")
        row["iou_nonempty_loss"] = iou_nonempty[:, level].mean()
        row["empty"] = empty[level]
        row["accuracy_within_1_point"] = row["accuracy_loss"] <= 1
        row["iou_within_5_percent"] = row["iou_loss"] <= 5
        rows.append(row)
    return pd.DataFrame(rows)


def accuracy_loss(chains: Chains) -> np.ndarray:
    """Return the loss of accuracy against level 0 in points, (seeds, levels)."""
    accuracy = chains.scores("accuracy_noisy")
    return accuracy[:, :1] - accuracy


def relative_loss(chains: Chains, column: str) -> np.ndarray:
    """Return the loss of a score against level 0 in %, (seeds, levels).

    NaN if a network without a score at level 0 has nothing to lose.
    """
    scores = chains.scores(column)
    start = np.where(scores[:, :1] > 0, scores[:, :1], math.nan)
    return 100 * (1 - scores / start)


def _mean_of_seeds(by_seed: np.ndarray) -> Interval:
    """Return the mean over seeds with its interval; NaN if a seed has no value."""
    if np.isnan(by_seed).any():
        return Interval(math.nan, math.nan, math.nan)
    return t_interval(by_seed)


def correctness(config: MnistIouConfig, level_table: pd.DataFrame) -> pd.DataFrame:
    """Return the IoU of correctly and incorrectly classified images by level.

    With the IoU without empty maps, and the share of empty maps. The interval of the difference is
    over seeds; it is absent if no seed has both.
    """
    rows = []
    base = rows_of(level_table, BASE, config.all_seeds)
    for level, group in base.groupby("level"):
        row = {
            "level": level,
            "incorrect_per_seed": group["incorrect"].mean(),
        }
        for name in _BY_CORRECTNESS:
            row[name] = group[name].mean()
        differences = (group["iou_correct"] - group["iou_incorrect"]).dropna()
        if len(differences):
            interval = t_interval(differences)
            row |= {"difference": interval.value, "low": interval.low, "high": interval.high}
        rows.append(row)
    return pd.DataFrame(rows)


def variants_by_dataset(config: MnistIouConfig) -> dict[str, str]:
    """Return the variant of every data set, the main one first."""
    variants = {config.dataset: BASE}
    return variants | {name: dataset_variant(name) for name in config.other_datasets}


def dataset_variant(dataset: str) -> str:
    """Return the variant of the runs on a data set other than the main one."""
    return f"data set: {dataset}"


def rows_of(
    level_table: pd.DataFrame,
    variant: str,
    seeds: Sequence[int],
) -> pd.DataFrame:
    """Return the rows of `levels` of a variant and its seeds."""
    is_variant = level_table["variant"] == variant
    return level_table[is_variant & level_table["seed"].isin(seeds)]


def working(table: pd.DataFrame, accuracy: str = "accuracy_noisy") -> pd.DataFrame:
    """Return the rows of the levels that still work."""
    return table[table[accuracy] > WORKING]
