"""The tables of a comparison, computed from rows of scores: one per model, CAM and image."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from torch import nn

from pruncam import cost, pruning, scoring
from pruncam.cams.target_layer import TargetLayer
from pruncam.comparison.measurements import Facts, Measurements
from pruncam.comparison.pair import Pair
from pruncam.comparison.settings import Settings
from pruncam.datasets.batches import UNKNOWN
from pruncam.scoring.controls import CHANCE, FLOOR
from pruncam.statistics import bootstrap_mean

PRUNED = "pruned"  # the pruned network's name in the rows; the others are those of `controls`
ALSO_PRUNED = "also pruned"  # begins the names of further pruned networks
RETRAINED = "trained again"  # begins the names of further trainings of the baseline
_INTERVAL_SCORES = ("sp2ps", "pe")  # with their intervals in the tables by group


class Names(NamedTuple):
    """The names of the images' files and of the classes, by their numbers."""

    files: Sequence[str]
    classes: Sequence[str]


def build_tables(measured: Measurements) -> dict[str, pd.DataFrame]:
    """Return every table that follows from the scores, by its name."""
    rows, facts = measured.rows, measured.facts
    scores, settings = facts.scores, facts.settings
    names = Names(measured.files, facts.classes)
    pruned = rows[rows["model"] == PRUNED].drop(columns="model")
    groups = scoring.summarize(
        pruned, scores=scores, samples=settings.bootstrap, seed=settings.seed
    )
    is_further = rows["model"].str.startswith(ALSO_PRUNED)
    sweep, rows = rows[is_further], rows[~is_further]
    control_scores = controls(rows, scores, settings)
    tables = {
        "summary": summary(groups, control_scores),
        "models": accuracies(rows, settings),
        "moved": moved(names, pruned, settings.moved),
        "classes": by_class(names, pruned, groups),
        "correctness": by_correctness(groups),
        "cost": facts.costs,
        "layers": facts.layers,
        "controls": control_scores,
        "images": by_image(names, pruned),
    }
    if len(sweep):
        tables["sweep"] = by_checkpoint(pd.concat([rows[rows["model"] == PRUNED], sweep]), facts)
    return tables


def by_checkpoint(rows: pd.DataFrame, facts: Facts) -> pd.DataFrame:
    """Return accuracy, size, Sp2PS and PE of every pruned network, a row for each and each CAM."""
    scored = scoring.summarize(
        rows.assign(label=UNKNOWN),
        scores=["sp2ps", "pe"],
        samples=facts.settings.bootstrap,
        seed=facts.settings.seed,
    )
    records = []
    for (model, method), part in scored.groupby(["model", "method"], sort=False):
        once = _one_method(rows[rows["model"] == model])
        by_score = part.set_index("score")
        correct = once["pruned_prediction"] == once["label"]
        record = {
            "network": facts.networks.get(model, model),
            "method": method,
            "accuracy": 100 * correct.mean(),
            "parameters": facts.parameters[model],
        }
        for score in ("sp2ps", "pe"):
            row = by_score.loc[score]
            record |= {score: row["mean"], f"{score}_low": row["low"], f"{score}_high": row["high"]}
        records.append(record | {"pruned_empty": by_score["pruned_empty"].iloc[0]})
    return pd.DataFrame(records)


def summary(groups: pd.DataFrame, control_scores: pd.DataFrame) -> pd.DataFrame:
    """Return every mean score of each CAM with its interval, noise floor and chance level.

    `floor_low` and `floor_high` span the intervals of all fine-tuned copies of the baseline;
    `chance` is the mean over all random networks. `floor_empty` and `chance_empty` are the shares
    of their heatmaps that are empty. They are NaN if there are no such networks.
    `retrained_low` and `retrained_high` span the intervals of other trainings of the baseline.
    """
    table = groups[groups["group"] == "all"].drop(columns="group").reset_index(drop=True)
    keys = ["method", "score"]
    kinds = control_scores["kind"]
    floor = control_scores[kinds == FLOOR].groupby(keys, sort=False)
    floor = floor.agg(
        floor_low=("low", "min"), floor_high=("high", "max"), floor_empty=("pruned_empty", "mean")
    ).reset_index()
    chance = control_scores[kinds == CHANCE].groupby(keys, sort=False)
    chance = chance.agg(
        chance=("mean", "mean"), chance_empty=("pruned_empty", "mean")
    ).reset_index()
    table = table.merge(floor, on=keys, how="left").merge(chance, on=keys, how="left")
    retrained = control_scores[kinds == RETRAINED].groupby(keys, sort=False)
    if not retrained.ngroups:
        return table
    ranges = retrained.agg(retrained_low=("low", "min"), retrained_high=("high", "max"))
    return table.merge(ranges.reset_index(), on=keys, how="left")


def controls(rows: pd.DataFrame, scores: Sequence[str], settings: Settings) -> pd.DataFrame:
    """Return every mean score of each fine-tuned and random network, with its interval.

    `mean_nonempty` is the mean without images with an empty map; `baseline_empty` and
    `pruned_empty` are the shares of empty maps of the baseline and of the network.
    """
    others = rows[rows["model"] != PRUNED]
    columns = ["kind", "seed", "method", "score", "mean", "low", "high"]
    columns += ["mean_nonempty", *scoring.EMPTY_COLUMNS]
    if others.empty:
        return pd.DataFrame(columns=columns)
    # Without labels the only group is that of all images.
    table = scoring.summarize(
        others.assign(label=UNKNOWN),
        scores=scores,
        samples=settings.bootstrap,
        seed=settings.seed,
    )
    table["kind"] = [model.rpartition(" ")[0] for model in table["model"]]
    table["seed"] = [int(model.rpartition(" ")[2]) for model in table["model"]]
    return table[columns]


def layers(target_layers: Mapping[str, TargetLayer]) -> pd.DataFrame:
    """Return the target layer of both networks, its map size in cells and its channels."""
    records = []
    for model, layer in target_layers.items():
        height, width = layer.map_size
        records.append(
            {
                "model": model,
                "layer": layer.name,
                "kind": type(layer.module).__name__,
                "height": height,
                "width": width,
                "channels": layer.channels,
            }
        )
    return pd.DataFrame(records)


def accuracies(rows: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """Return the accuracy of every model in % with its interval.

    `acc_drop` is the accuracy lost against the baseline, in points; `same_prediction` the share of
    images, in %, for which a model predicts the same class as the baseline.
    """
    once = _one_method(rows)
    first = once[once["model"] == PRUNED]
    labels = first["label"].to_numpy()
    baseline = first["baseline_prediction"].to_numpy()
    predictions = {"baseline": baseline}
    for name, part in once.groupby("model", sort=False):
        predictions[name] = part["pruned_prediction"].to_numpy()
    baseline_correct = (baseline == labels).sum()
    records = []
    for name, predicted in predictions.items():
        correct = predicted == labels
        interval = bootstrap_mean(100.0 * correct, samples=settings.bootstrap, seed=settings.seed)
        records.append(
            {
                "model": name,
                "images": len(labels),
                "accuracy": interval.value,
                "low": interval.low,
                "high": interval.high,
                "acc_drop": 100.0 * (baseline_correct - correct.sum()) / len(labels),
                "same_prediction": 100.0 * (predicted == baseline).mean(),
            }
        )
    return pd.DataFrame(records)


def by_image(names: Names, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with the name of each image's file, and names of classes for numbers."""
    class_names = np.array(names.classes)
    table = rows.reset_index(drop=True)
    table.insert(1, "file", np.array(names.files)[table["image"]])
    for column in ("label", "baseline_prediction", "pruned_prediction"):
        table[column] = class_names[table[column]]
    return table.rename(columns={"label": "class"})


def most_moved(rows: pd.DataFrame, method: str, count: int) -> pd.DataFrame:
    """Return the `count` rows of a CAM with the lowest Sp2PS, the lowest first.

    Equal values are ordered by soft IoU. Images with an empty map come last: they show no maps
    that moved.
    """
    is_empty = rows["baseline_empty"] | rows["pruned_empty"]
    ordered = rows.assign(is_empty=is_empty).sort_values(
        ["is_empty", "sp2ps", "soft_iou", "image"], kind="stable"
    )
    return ordered[ordered["method"] == method].head(count)


def moved(names: Names, rows: pd.DataFrame, count: int) -> pd.DataFrame:
    """Return the `count` images of each CAM whose maps moved most.

    The column `empty` names the network whose map is empty: "no", "baseline", "pruned" or "both".
    """
    lowest = [most_moved(rows, method, count) for method in dict.fromkeys(rows["method"])]
    table = by_image(names, pd.concat(lowest))
    table.insert(1, "rank", table.groupby("method").cumcount() + 1)
    table["empty"] = np.select(
        [
            table["baseline_empty"] & table["pruned_empty"],
            table["baseline_empty"],
            table["pruned_empty"],
        ],
        ["both", "baseline", "pruned"],
        "no",
    )
    facts = ["method", "rank", "image", "file", "class"]
    predictions = ["baseline_prediction", "pruned_prediction"]
    return table[[*facts, *predictions, "empty", "sp2ps", "pe", "ssim", "soft_iou"]]


def by_class(names: Names, rows: pd.DataFrame, groups: pd.DataFrame) -> pd.DataFrame:
    """Return both networks' accuracy in % and all mean scores for each class.

    Sp2PS and PE come with their intervals and their means without images with an empty map
    (`..._nonempty`).
    """
    is_class = groups["group"].str.fullmatch(r"class \d+")
    table = _one_column_per_score(groups[is_class])
    labels = table.pop("group").str.removeprefix("class ").astype(int)
    table.insert(1, "class", np.array(names.classes)[labels])
    once = _one_method(rows)
    for position, model in ((3, "baseline"), (4, "pruned")):
        correct = once[f"{model}_prediction"] == once["label"]
        accuracy = 100 * correct.groupby(once["label"]).mean()
        table.insert(position, f"{model}_accuracy", accuracy.loc[labels].to_numpy())
    return table


def by_correctness(groups: pd.DataFrame) -> pd.DataFrame:
    """Return all mean scores for images the pruned network classifies correctly and incorrectly."""
    table = _one_column_per_score(groups[groups["group"].isin(["correct", "incorrect"])])
    return table.rename(columns={"group": "prediction"})


def costs(pair: Pair) -> pd.DataFrame:
    """Return parameters, FLOPs per image, sparsity and file size (bytes) of both networks."""
    files = (pair.origin or {}).get("checkpoints", [{}, {}])[:2]
    input_shape = pair.images.shape
    records = []
    for model, network, checkpoint in zip(
        ("baseline", "pruned"), (pair.baseline, pair.pruned), files, strict=True
    ):
        network_cost = cost.count(pair.classifier(network), input_shape)
        records.append(
            {
                "model": model,
                "parameters": network_cost.parameters,
                "nonzero": network_cost.nonzero,
                "flops": network_cost.flops,
                "sparsity": pruning.sparsity(network),
                "file_bytes": checkpoint.get("bytes"),
            }
        )
    return pd.DataFrame(records)


def nonzero_parameters(pair: Pair, network: nn.Module) -> int:
    """Return the number of parameters of a network that are not zero."""
    return cost.count(pair.classifier(network), pair.images.shape).nonzero


def _one_method(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the first CAM: predictions do not depend on the CAM."""
    return rows[rows["method"] == rows["method"].iloc[0]]


def _one_column_per_score(groups: pd.DataFrame) -> pd.DataFrame:
    """Return one row per CAM and group, with a column per mean score."""
    keys = ["method", "group", "images", *scoring.EMPTY_COLUMNS]
    values = ["mean", "low", "high", "mean_nonempty"]
    table = groups.pivot_table(index=keys, columns="score", values=values, sort=False)
    scores = groups["score"].unique()
    # The table lacks columns that hold no number: without maps there is no mean of them.
    table = table.reindex(columns=pd.MultiIndex.from_product([values, scores]))
    means = table["mean"].copy()
    for score in _INTERVAL_SCORES:
        means[f"{score}_low"] = table["low"][score]
        means[f"{score}_high"] = table["high"][score]
        means[f"{score}_nonempty"] = table["mean_nonempty"][score]
    return means.rename_axis(columns=None).reset_index()
