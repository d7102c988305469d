"""The tables by pruning level: scores, means of the seeds, losses, correctness."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pruncam._core.seeds import derive
from pruncam.statistics import Interval, bootstrap_mean, t_interval
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
_BY_LEVEL = (  # columns of `levels` that `by_level` averages over seeds, without a deviation
    "iou_nonempty",
    "iou_other_image_nonempty",
    "heatmap_mean",
    "heatmap_std",
    "inverted",
    "empty",
)


def levels(scores: Scores) -> pd.DataFrame:
    """Return a row per variant, seed and level: density, accuracies in %, mean scores.

    `..._nonempty` are means without empty maps, NaN if all are empty; `empty` and `inverted` are
    shares of all maps. `energy` is undefined for empty maps, so both of its means are the same.
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
        "accuracy_noisy": scores["accuracy_noisy"],
        "accuracy_clean": scores["accuracy_clean"],
        **means,
        "pooled_iou": scores["pooled_iou"],
        "pooled_iou_nonempty": scores["pooled_iou_nonempty"],
        "heatmap_mean": scores["heatmap_mean"],
        "heatmap_std": scores["heatmap_std"],
        **_means_by_correctness(scores, correct, "correct"),
        **_means_by_correctness(scores, ~correct, "incorrect"),
        "incorrect": int((~correct).sum()),
    }


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


def by_level(config: MnistIouConfig, scores: Scores, variant: str = BASE) -> pd.DataFrame:
    """Return what Figures 3.1 and 3.2 show, by level.

    Columns: means over the thesis's seeds, their standard deviations (`_sd`), an interval of the
    IoU that resamples images, the mean IoU without empty maps, and the share of empty maps.
    """
    table = rows_of(levels(scores), variant, config.seeds)
    rows = []
    for level, group in table.groupby("level"):
        # Ties can cost one seed one weight more than another: the mean represents all.
        row = {"level": level, "remaining": round(group["remaining"].mean())}
        row["density"] = group["density"].mean()
        for name in ("accuracy_noisy", "accuracy_clean", "iou", "iou_other_image"):
            row[name] = group[name].mean()
            row[f"{name}_sd"] = group[name].std(ddof=1)
        interval = _iou_interval(config, scores, variant, level)
        row |= {"iou_low": interval.low, "iou_high": interval.high}
        for name in _BY_LEVEL:
            row[name] = group[name].mean()
        rows.append(row)
    return pd.DataFrame(rows)


def by_dataset_and_level(config: MnistIouConfig, scores: Scores) -> pd.DataFrame:
    """Return the columns of `by_level` for every data set, the main one first."""
    tables = []
    for dataset, variant in variants_by_dataset(config).items():
        table = by_level(config, scores, variant)
        table.insert(0, "dataset", dataset)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _iou_interval(config: MnistIouConfig, scores: Scores, variant: str, level: int) -> Interval:
    """Return the interval of the mean IoU over images, each the mean of the thesis's seeds."""
    by_seed = [scores[variant, seed][level]["iou"].numpy() for seed in config.seeds]
    by_image = np.mean([iou.astype(float) for iou in by_seed], axis=0)
    seed = derive(config.seeds[0], "images", level)
    return bootstrap_mean(by_image, samples=config.bootstrap, seed=seed)


def losses(config: MnistIouConfig, level_table: pd.DataFrame) -> pd.DataFrame:
    """Return the loss against level 0, by level: accuracy in points, IoU in %.

    Intervals are over seeds. `iou_nonempty_loss` leaves out empty maps; `empty` is their share. The
    table decides claim I3.
    """
    base = rows_of(level_table, BASE, config.seeds)
    start = base[base["level"] == 0]
    rows = []
    for level, group in base.groupby("level"):
        differences = start["accuracy_noisy"].to_numpy() - group["accuracy_noisy"].to_numpy()
        accuracy = t_interval(differences)
        iou = _relative_loss(start, group, "iou")
        rows.append(
            {
                "level": level,
                "sparsity": 1 - group["density"].mean(),
                "accuracy_loss": accuracy.value,
                "accuracy_loss_low": accuracy.low,
                "accuracy_loss_high": accuracy.high,
                "iou_loss": iou.value,
                "iou_loss_low": iou.low,
                "iou_loss_high": iou.high,
                "iou_nonempty_loss": _relative_loss(start, group, "iou_nonempty").value,
                "empty": group["empty"].mean(),
                "accuracy_within_1_point": accuracy.value <= 1,
                "iou_within_5_percent": iou.value <= 5,
            }
        )
    return pd.DataFrame(rows)


def _relative_loss(start: pd.DataFrame, now: pd.DataFrame, column: str) -> Interval:
    """Return the loss in %; NaN if a network has empty heatmaps alone."""
    before, after = start[column].to_numpy(), now[column].to_numpy()
    if not before.all() or np.isnan(before).any() or np.isnan(after).any():
        return Interval(math.nan, math.nan, math.nan)
    return t_interval(100 * (1 - after / before))


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
