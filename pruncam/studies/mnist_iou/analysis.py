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

_BY_IMAGE = (  # scores that `levels` averages over images
    "iou_other_image",
    "iou_binary",
    "energy",
    "pixel_correlation",
    "inverted",
    "empty",
)


def levels(scores: Scores) -> pd.DataFrame:
    """Return a row per variant, seed and level: density, accuracies in %, mean scores.

    The mean of `energy` leaves out empty maps.
    """
    return pd.DataFrame(
        [
            {"variant": variant, "seed": seed, "level": level} | _level_row(of_level)
            for (variant, seed), of_run in scores.items()
            for level, of_level in enumerate(of_run)
        ]
    )


def _level_row(scores: Mapping[str, Any]) -> dict[str, Any]:
    iou = scores["iou"].numpy().astype(float)
    correct = scores["correct"].numpy()
    return {
        "remaining": scores["remaining"],
        "density": scores["remaining"] / PRUNABLE,
        "accuracy_noisy": scores["accuracy_noisy"],
        "accuracy_clean": scores["accuracy_clean"],
        "iou": _mean_over_images(scores, "iou"),
        "pooled_iou": scores["pooled_iou"],
        "heatmap_mean": scores["heatmap_mean"],
        "heatmap_std": scores["heatmap_std"],
        **{name: _mean_over_images(scores, name) for name in _BY_IMAGE},
        "iou_correct": iou[correct].mean() if correct.any() else math.nan,
        "iou_incorrect": iou[~correct].mean() if (~correct).any() else math.nan,
        "incorrect": int((~correct).sum()),
    }


def _mean_over_images(scores: Mapping[str, Any], name: str) -> float:
    """Return the mean without NaN."""
    return pd.Series(scores[name].numpy().astype(float)).mean()


def by_level(config: MnistIouConfig, scores: Scores) -> pd.DataFrame:
    """Return what Figures 3.1 and 3.2 show, by level.

    Columns: means over the thesis's seeds, their standard deviations (`_sd`), and an interval of
    the IoU that resamples images.
    """
    table = rows_of(levels(scores), BASE, config.seeds)
    rows = []
    for level, group in table.groupby("level"):
        # Ties can cost one seed one weight more than another: the mean represents all.
        row = {"level": level, "remaining": round(group["remaining"].mean())}
        row["density"] = group["density"].mean()
        for name in ("accuracy_noisy", "accuracy_clean", "iou", "iou_other_image"):
            row[name] = group[name].mean()
            row[f"{name}_sd"] = group[name].std(ddof=1)
        interval = _iou_interval(config, scores, level)
        row |= {"iou_low": interval.low, "iou_high": interval.high}
        for name in ("heatmap_mean", "heatmap_std", "inverted", "empty"):
            row[name] = group[name].mean()
        rows.append(row)
    return pd.DataFrame(rows)


def _iou_interval(config: MnistIouConfig, scores: Scores, level: int) -> Interval:
    """Return the interval of the mean IoU over images, each the mean of the thesis's seeds."""
    by_seed = [scores[BASE, seed][level]["iou"].numpy() for seed in config.seeds]
    by_image = np.mean([iou.astype(float) for iou in by_seed], axis=0)
    seed = derive(config.seeds[0], "images", level)
    return bootstrap_mean(by_image, samples=config.bootstrap, seed=seed)


def losses(config: MnistIouConfig, level_table: pd.DataFrame) -> pd.DataFrame:
    """Return the loss against level 0, by level: accuracy in points, IoU in %.

    Intervals are over seeds. The table decides claim I3.
    """
    base = rows_of(level_table, BASE, config.seeds)
    start = base[base["level"] == 0]
    rows = []
    for level, group in base.groupby("level"):
        differences = start["accuracy_noisy"].to_numpy() - group["accuracy_noisy"].to_numpy()
        accuracy = t_interval(differences)
        iou = _relative_loss(start["iou"].to_numpy(), group["iou"].to_numpy())
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
                "accuracy_within_1_point": accuracy.value <= 1,
                "iou_within_5_percent": iou.value <= 5,
            }
        )
    return pd.DataFrame(rows)


def _relative_loss(start: np.ndarray, now: np.ndarray) -> Interval:
    """Return the loss in %; NaN if a network starts with empty heatmaps alone."""
    if not start.all():
        return Interval(math.nan, math.nan, math.nan)
    return t_interval(100 * (1 - now / start))


def correctness(config: MnistIouConfig, level_table: pd.DataFrame) -> pd.DataFrame:
    """Return the IoU of correctly and incorrectly classified images by level.

    The interval of their difference is over seeds; it is absent if no seed has both.
    """
    rows = []
    base = rows_of(level_table, BASE, config.all_seeds)
    for level, group in base.groupby("level"):
        row = {
            "level": level,
            "incorrect_per_seed": group["incorrect"].mean(),
            "iou_correct": group["iou_correct"].mean(),
            "iou_incorrect": group["iou_incorrect"].mean(),
        }
        differences = (group["iou_correct"] - group["iou_incorrect"]).dropna()
        if len(differences):
            interval = t_interval(differences)
            row |= {"difference": interval.value, "low": interval.low, "high": interval.high}
        rows.append(row)
    return pd.DataFrame(rows)


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
