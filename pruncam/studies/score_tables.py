"""Tables of the pruning studies, made from rows of scores with data set, rule, rate and seed."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from pruncam import metrics
from pruncam._core.seeds import derive
from pruncam.statistics import Interval, accuracy_interval, bootstrap_means
from pruncam.studies.config import PruningConfig
from pruncam.studies.paired_scores import CONTROLS

EMPTY = ["baseline_empty", "pruned_empty"]
_SCORES = list(metrics.SCORES)
_ACCURACIES = [
    "baseline",
    "baseline_low",
    "baseline_high",
    "accuracy",
    "acc_drop",
    "same_prediction",
]
_DROPS = ("sp2ps", "pe", "ssim", "iou", "soft_iou")  # the scores whose drops are tabulated


def with_nonempty(rows: pd.DataFrame, scores: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """Return rows with a copy of each score without empty maps, and the columns to average.

    The copies are named `..._nonempty`; they are NaN where a heatmap of either model is empty. The
    columns are the scores, then the copies, then whether each model's map is empty.
    """
    is_empty = rows["baseline_empty"] | rows["pruned_empty"]
    copies = rows[list(scores)].where(~is_empty).add_suffix("_nonempty")
    return pd.concat([rows, copies], axis=1), [*scores, *copies.columns, *EMPTY]


def accuracies(config: PruningConfig, rows: pd.DataFrame) -> pd.DataFrame:
    """Return a row per model: accuracy in %, and its drop from the baseline's, in points.

    The intervals of both accuracies are Wilson's. A model has collapsed if it lost more than half
    of the baseline's accuracy above that of always naming the most common class.
    """
    once = rows[rows["method"] == config.methods[0]]
    groups = once.groupby(["dataset", "rule", "rate", "seed"], sort=False)
    return pd.DataFrame([_accuracy(key, part) for key, part in groups])


def _accuracy(key: tuple, part: pd.DataFrame) -> dict[str, object]:
    dataset, rule, rate, seed = key
    baseline, pruned = (_accuracy_of(part, name) for name in ("baseline", "pruned"))
    same = 100 * (part["baseline_prediction"] == part["pruned_prediction"]).mean()
    guess = 100 * part["label"].value_counts(normalize=True).max()
    return {
        "dataset": dataset,
        "rule": rule,
        "rate": rate,
        "seed": seed,
        "images": len(part),
        **baseline.columns("baseline"),
        **pruned.columns("accuracy"),
        "acc_drop": baseline.value - pruned.value,
        "same_prediction": same,
        "collapsed": pruned.value - guess < (baseline.value - guess) / 2,
    }


def _accuracy_of(part: pd.DataFrame, model: str) -> Interval:
    """Return the accuracy in % of a model, "baseline" or "pruned", with its interval."""
    correct = int((part[f"{model}_prediction"] == part["label"]).sum())
    return accuracy_interval(correct, len(part))


def curves(config: PruningConfig, rows: pd.DataFrame, models: pd.DataFrame) -> pd.DataFrame:
    """Return accuracy and every score by data set, rule, rate and CAM method, with intervals.

    Accuracy and scores are means over images and seeds; intervals resample images, those of a
    single model's accuracy are Wilson's. `models` is the table of `accuracies`.
    """
    table = []
    keys = ["dataset", "rule", "rate", "method"]
    for key, part in rows.groupby(keys, sort=False, observed=True):
        dataset, rule, rate, _ = key
        is_model = (models["dataset"] == dataset) & (models["rule"] == rule)
        of_model = models[is_model & (models["rate"] == rate)]
        row = dict(zip(keys, key, strict=True)) | {"seeds": len(of_model)}
        row |= of_model[_ACCURACIES].mean().to_dict()
        row["collapsed"] = of_model["collapsed"].mean() > 0.5
        seed = derive(config.seed, "images", *key)
        row |= _score_intervals(part, config.bootstrap, seed, len(of_model))
        if len(of_model) == 1:
            row |= of_model.iloc[0][["accuracy_low", "accuracy_high"]].to_dict()
        table.append(row)
    return pd.DataFrame(table)


def _score_intervals(part: pd.DataFrame, samples: int, seed: int, seeds: int) -> dict[str, float]:
    """Return mean, interval and standard deviation over seeds of every score."""
    part, averaged = with_nonempty(part, _SCORES)
    part = part.assign(correct=100.0 * (part["pruned_prediction"] == part["label"]))
    means = part[averaged].mean()
    by_image = part.groupby("image")[[*_SCORES, "correct"]].mean().to_numpy(dtype=float)
    by_seed = part.groupby("seed")[_SCORES].mean()
    *intervals, accuracy = bootstrap_means(by_image, samples=samples, seed=seed)
    columns = {"accuracy_low": accuracy.low, "accuracy_high": accuracy.high}
    for name, interval in zip(_SCORES, intervals, strict=True):
        columns[name] = interval.value
        columns[f"{name}_low"] = interval.low
        columns[f"{name}_high"] = interval.high
        columns[f"{name}_sd"] = by_seed[name].std(ddof=1) if seeds > 1 else math.nan
        columns[f"{name}_nonempty"] = means[f"{name}_nonempty"]
    return columns | means[EMPTY].to_dict()


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
                    "collapsed": model.collapsed,
                }
                table.append(row | _score_drops(scores) | {"dataset": dataset})
    return pd.DataFrame(table)


def _score_drops(scores: pd.DataFrame) -> dict[str, float]:
    """Return the drop of each score, with and without empty maps, and the shares of empty maps."""
    scores, averaged = with_nonempty(scores, _DROPS)
    means = scores[averaged].mean()
    drops = {f"{name}_drop": 100 * (1 - means[name]) for name in _DROPS}
    nonempty = {f"{name}_drop_nonempty": 100 * (1 - means[f"{name}_nonempty"]) for name in _DROPS}
    return drops | nonempty | means[EMPTY].to_dict()


def by_class(rows: pd.DataFrame, classes: Mapping[str, tuple[str, ...]]) -> pd.DataFrame:
    """Return mean Sp2PS and PE by class; `classes` are the names by data set."""
    keys = ["dataset", "rule", "rate", "method", "label"]
    pruned, columns = with_nonempty(rows[~rows["rule"].isin(CONTROLS)], ["sp2ps", "pe"])
    table = pruned.groupby(keys, observed=True)[columns].mean().reset_index()
    names = [classes[row.dataset][row.label] for row in table.itertuples()]
    table.insert(len(keys), "class", names)
    return table


def by_correctness(rows: pd.DataFrame) -> pd.DataFrame:
    """Return mean scores of the images that a pruned model classifies correctly and incorrectly."""
    pruned = rows[~rows["rule"].isin(CONTROLS)]
    is_correct = pruned["pruned_prediction"] == pruned["label"]
    pruned = pruned.assign(prediction=np.where(is_correct, "correct", "incorrect"))
    keys = ["dataset", "rule", "rate", "method", "prediction"]
    pruned, columns = with_nonempty(pruned, ["sp2ps", "pe", "soft_iou"])
    groups = pruned.groupby(keys, observed=True)
    table = groups[columns].mean()
    table.insert(0, "images", groups.size())
    return table.reset_index()


def by_baseline(rows: pd.DataFrame, replicates: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return each model's accuracy and mean scores by baseline.

    Baseline 1 is the first, the others are its replicates. The scores compare a model with the
    baseline that it was pruned from. Intervals of accuracies are over images (Wilson's).
    """
    keys = ["dataset", "rule", "rate", "method"]
    tables = []
    for number, part in enumerate((rows, *replicates), start=1):
        assigned = part.assign(
            baseline_accuracy=100 * (part["baseline_prediction"] == part["label"]),
            accuracy=100 * (part["pruned_prediction"] == part["label"]),
        )
        assigned, columns = with_nonempty(assigned, _SCORES)
        columns = ["baseline_accuracy", "accuracy", *columns]
        groups = assigned.groupby(keys, sort=False, observed=True)
        table = groups[columns].mean().assign(images=groups["image"].nunique()).reset_index()
        table.insert(0, "baseline", number)
        tables.append(table)
    joined = pd.concat(tables, ignore_index=True)
    return _with_intervals(joined, ["baseline_accuracy", "accuracy"])


def _with_intervals(table: pd.DataFrame, accuracies: Sequence[str]) -> pd.DataFrame:
    """Return a table with bounds of the accuracies in % on its number of `images`."""
    for name in accuracies:
        correct = (table[name] * table["images"] / 100).round().astype(int)
        pairs = zip(correct, table["images"], strict=True)
        intervals = [accuracy_interval(*pair) for pair in pairs]
        table[f"{name}_low"] = [interval.low for interval in intervals]
        table[f"{name}_high"] = [interval.high for interval in intervals]
    return table


def controls(rows: pd.DataFrame) -> pd.DataFrame:
    """Return each seed's mean scores of fine-tuning alone, random weights and shuffled maps."""
    keys = ["dataset", "rule", "seed", "method"]
    table, columns = with_nonempty(rows[rows["rule"].isin(CONTROLS)], _SCORES)
    return table.groupby(keys, observed=True)[columns].mean().reset_index()
