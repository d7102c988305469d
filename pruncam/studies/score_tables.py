"""Tables of the pruning studies, made from rows of scores with data set, rule, rate and seed."""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from pruncam import metrics
from pruncam._core.seeds import derive
from pruncam.statistics import bootstrap_means
from pruncam.studies.config import PruningConfig
from pruncam.studies.paired_scores import CONTROLS

_SCORES = list(metrics.SCORES)
_DROPS = ("sp2ps", "pe", "ssim", "iou", "soft_iou")  # the scores whose drops are tabulated


def accuracies(config: PruningConfig, rows: pd.DataFrame) -> pd.DataFrame:
    """Return a row per model: accuracy in %, and its drop from the baseline's, in points."""
    once = rows[rows["method"] == config.methods[0]]
    groups = once.groupby(["dataset", "rule", "rate", "seed"], sort=False)
    return pd.DataFrame([_accuracy(key, part) for key, part in groups])


def _accuracy(key: tuple, part: pd.DataFrame) -> dict[str, object]:
    dataset, rule, rate, seed = key
    baseline = 100 * (part["baseline_prediction"] == part["label"]).mean()
    pruned = 100 * (part["pruned_prediction"] == part["label"]).mean()
    same = 100 * (part["baseline_prediction"] == part["pruned_prediction"]).mean()
    return {
        "dataset": dataset,
        "rule": rule,
        "rate": rate,
        "seed": seed,
        "images": len(part),
        "baseline": baseline,
        "accuracy": pruned,
        "acc_drop": baseline - pruned,
        "same_prediction": same,
    }


def curves(config: PruningConfig, rows: pd.DataFrame, models: pd.DataFrame) -> pd.DataFrame:
    """Return accuracy and every score by data set, rule, rate and CAM method, with intervals.

    Scores are means over images and seeds; intervals resample images. `models` is the table of
    `accuracies`.
    """
    table = []
    keys = ["dataset", "rule", "rate", "method"]
    for key, part in rows.groupby(keys, sort=False, observed=True):
        dataset, rule, rate, _ = key
        is_model = (models["dataset"] == dataset) & (models["rule"] == rule)
        of_model = models[is_model & (models["rate"] == rate)]
        row = dict(zip(keys, key, strict=True)) | {"seeds": len(of_model)}
        for name in ("accuracy", "acc_drop", "same_prediction"):
            row[name] = of_model[name].mean()
        seed = derive(config.seed, "images", *key)
        table.append(row | _score_intervals(part, config.bootstrap, seed, len(of_model)))
    return pd.DataFrame(table)


def _score_intervals(part: pd.DataFrame, samples: int, seed: int, seeds: int) -> dict[str, float]:
    """Return mean, interval and standard deviation over seeds of every score."""
    by_image = part.groupby("image")[_SCORES].mean().to_numpy(dtype=float)
    by_seed = part.groupby("seed")[_SCORES].mean()
    columns = {}
    intervals = bootstrap_means(by_image, samples=samples, seed=seed)
    for name, interval in zip(_SCORES, intervals, strict=True):
        columns[name] = interval.value
        columns[f"{name}_low"] = interval.low
        columns[f"{name}_high"] = interval.high
        columns[f"{name}_sd"] = by_seed[name].std(ddof=1) if seeds > 1 else math.nan
    return columns


def drops(config: PruningConfig, rows: pd.DataFrame, models: pd.DataFrame) -> pd.DataFrame:
    """Return the drop of accuracy and of every score of each pruned model.

    Models come in the order of their accuracy drops, by data set and CAM method. A score's drop is
    100 (1 - score), since the unpruned model scores 1 against itself.
    """
    by_model = rows.groupby(["dataset", "rule", "rate", "seed", "method"], observed=True)
    pruned = models[~models["rule"].isin(CONTROLS)]
    table = []
    for dataset, part in pruned.groupby("dataset", sort=False):
        ordered = part.sort_values("acc_drop", kind="stable")
        for method in config.methods:
            for place, model in enumerate(ordered.itertuples(), start=1):
                scores = by_model.get_group((dataset, model.rule, model.rate, model.seed, method))
                row = {
                    "method": method,
                    "place": place,
                    "rule": model.rule,
                    "rate": model.rate,
                    "seed": model.seed,
                    "acc_drop": model.acc_drop,
                }
                row |= {f"{name}_drop": 100 * (1 - scores[name].mean()) for name in _DROPS}
                table.append(row | {"dataset": dataset})
    return pd.DataFrame(table)


def by_class(rows: pd.DataFrame, classes: Mapping[str, tuple[str, ...]]) -> pd.DataFrame:
    """Return mean Sp2PS and PE by class; `classes` are the names by data set."""
    keys = ["dataset", "rule", "rate", "method", "label"]
    pruned = rows[~rows["rule"].isin(CONTROLS)]
    table = pruned.groupby(keys, observed=True)[["sp2ps", "pe"]].mean().reset_index()
    names = [classes[row.dataset][row.label] for row in table.itertuples()]
    table.insert(len(keys), "class", names)
    return table


def by_correctness(rows: pd.DataFrame) -> pd.DataFrame:
    """Return mean scores of the images that a pruned model classifies correctly and incorrectly."""
    pruned = rows[~rows["rule"].isin(CONTROLS)]
    is_correct = pruned["pruned_prediction"] == pruned["label"]
    pruned = pruned.assign(prediction=np.where(is_correct, "correct", "incorrect"))
    keys = ["dataset", "rule", "rate", "method", "prediction"]
    groups = pruned.groupby(keys, observed=True)
    table = groups[["sp2ps", "pe", "soft_iou"]].mean()
    table.insert(0, "images", groups.size())
    return table.reset_index()


def controls(rows: pd.DataFrame) -> pd.DataFrame:
    """Return each seed's mean scores of fine-tuning alone and of random weights."""
    keys = ["dataset", "rule", "seed", "method"]
    table = rows[rows["rule"].isin(CONTROLS)]
    return table.groupby(keys, observed=True)[_SCORES].mean().reset_index()
