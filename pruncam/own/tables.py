"""The tables of a comparison, from the rows of `scoring`: a row per model, CAM and image."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pruncam import cost, pruning, scoring
from pruncam.own.pair import Pair
from pruncam.own.settings import Settings
from pruncam.statistics import bootstrap_mean, bootstrap_means
from pruncam.studies.half import CHANCE, FLOOR

PRUNED = "pruned"  # its name in the rows; the others are those of `ends`


def make(pair: Pair, rows: pd.DataFrame, scores: Sequence[str], settings: Settings) -> dict[str, pd.DataFrame]:
    """Every table by its name; `scores` are the columns of `rows` that are scores."""
    own = rows[rows["model"] == PRUNED].drop(columns="model")
    parts = scoring.summarize(own, scores=scores, samples=settings.bootstrap, seed=settings.seed)
    scale = ends(rows, scores, settings)
    return {
        "summary": summary(parts, scale),
        "models": accuracies(rows, settings),
        "moved": moved(pair, own, settings.moved),
        "classes": by_class(pair, own, parts),
        "correctness": by_correctness(parts),
        "cost": costs(pair),
        "ends": scale,
        "images": by_image(pair, own),
    }


def summary(parts: pd.DataFrame, scale: pd.DataFrame) -> pd.DataFrame:
    """Every score of each CAM with its interval, and beside it what fine-tuning alone and random weights give.

    `floor_low` and `floor_high` span the intervals of all fine-tuned copies; `chance` is the mean of all random
    networks; nan where there are none.
    """
    table = parts[parts["group"] == "all"].drop(columns="group").reset_index(drop=True)
    keys = ["method", "score"]
    groups = {kind: scale[scale["kind"] == kind].groupby(keys, sort=False) for kind in (FLOOR, CHANCE)}
    floor = groups[FLOOR].agg(floor_low=("low", "min"), floor_high=("high", "max")).reset_index()
    chance = groups[CHANCE].agg(chance=("mean", "mean")).reset_index()
    return table.merge(floor, on=keys, how="left").merge(chance, on=keys, how="left")


def ends(rows: pd.DataFrame, scores: Sequence[str], settings: Settings) -> pd.DataFrame:
    """The two ends of the scale: every score of each model that is not the pruned one, with its interval."""
    table = []
    others = rows[rows["model"] != PRUNED]
    for (model, method), part in others.groupby(["model", "method"], sort=False):
        kind, _, seed = model.rpartition(" ")
        values = part[list(scores)].to_numpy(dtype=float)
        found = bootstrap_means(values, samples=settings.bootstrap, seed=settings.seed)
        for score, interval in zip(scores, found, strict=True):
            row = {"kind": kind, "seed": int(seed), "method": method, "score": score}
            table.append(row | {"mean": interval.value, "low": interval.low, "high": interval.high})
    return pd.DataFrame(table, columns=["kind", "seed", "method", "score", "mean", "low", "high"])


def accuracies(rows: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """Accuracy of every model in %, its interval, the points under the baseline's, and how often both answer alike."""
    once = rows[rows["method"] == rows["method"].iloc[0]]
    first = once[once["model"] == PRUNED]
    answers = {"baseline": first["baseline_prediction"]}
    answers |= {name: part["pruned_prediction"] for name, part in once.groupby("model", sort=False)}
    labels, baseline = first["label"].to_numpy(), answers["baseline"].to_numpy()
    table = []
    for name, given in answers.items():
        right = 100.0 * (given.to_numpy() == labels)
        found = bootstrap_mean(right, samples=settings.bootstrap, seed=settings.seed)
        row = {"model": name, "images": len(right), "accuracy": found.value, "low": found.low, "high": found.high}
        row["acc_drop"] = 100.0 * ((baseline == labels).sum() - (given.to_numpy() == labels).sum()) / len(right)
        table.append(row | {"same_prediction": 100.0 * (given.to_numpy() == baseline).mean()})
    return pd.DataFrame(table)


def by_image(pair: Pair, rows: pd.DataFrame) -> pd.DataFrame:
    """Every row with the picture's file and the classes' names in place of numbers."""
    names = np.array(pair.pictures.images.classes)
    table = rows.reset_index(drop=True)
    table.insert(1, "file", np.array(pair.pictures.files)[table["image"]])
    for column, title in (("label", "class"), ("baseline_prediction", None), ("pruned_prediction", None)):
        table[column] = names[table[column]]
        table = table.rename(columns={column: title or column})
    return table


def moved(pair: Pair, rows: pd.DataFrame, count: int) -> pd.DataFrame:
    """The images with the lowest Sp2PS of each CAM, the lowest first; soft IoU decides between equals."""
    ordered = rows.sort_values(["sp2ps", "soft_iou", "image"], kind="stable")
    first = [ordered[ordered["method"] == method].head(count) for method in dict.fromkeys(rows["method"])]
    found = by_image(pair, pd.concat(first))
    found.insert(1, "place", found.groupby("method").cumcount() + 1)
    columns = ["method", "place", "image", "file", "class", "baseline_prediction", "pruned_prediction"]
    return found[[*columns, "sp2ps", "pe", "ssim", "soft_iou"]]


def by_class(pair: Pair, rows: pd.DataFrame, parts: pd.DataFrame) -> pd.DataFrame:
    """Accuracy of both networks and the mean of every score for each class; Sp2PS and PE with their intervals."""
    once = rows[rows["method"] == rows["method"].iloc[0]]
    table = _wide(parts[parts["group"].str.startswith("class ") & (parts["group"] != "class weighted")])
    labels = table.pop("group").str.removeprefix("class ").astype(int)
    table.insert(1, "class", np.array(pair.pictures.images.classes)[labels])
    for place, who in ((3, "baseline"), (4, "pruned")):
        right = (once[f"{who}_prediction"] == once["label"]).groupby(once["label"]).mean()
        table.insert(place, f"{who}_accuracy", 100 * right.loc[labels].to_numpy())
    return table


def by_correctness(parts: pd.DataFrame) -> pd.DataFrame:
    """The mean of every score over the images that the pruned network gets right, and wrong."""
    table = _wide(parts[parts["group"].isin(["correct", "incorrect"])])
    return table.rename(columns={"group": "prediction"})


def _wide(parts: pd.DataFrame) -> pd.DataFrame:
    """A row per CAM and group, a column per score; for Sp2PS and PE also the interval."""
    keys = ["method", "group", "images"]
    table = parts.pivot_table(index=keys, columns="score", values=["mean", "low", "high"], sort=False)
    found = table["mean"].copy()
    for score in ("sp2ps", "pe"):
        for end in ("low", "high"):
            found[f"{score}_{end}"] = table[end][score]
    return found.rename_axis(columns=None).reset_index()


def costs(pair: Pair) -> pd.DataFrame:
    """What both networks cost: parameters, those that are not zero, FLOPs of one image, sparsity, the file's bytes."""
    shape, rows = tuple(pair.pictures.images.images.shape[1:]), []
    files = [c["bytes"] for c in (pair.origin or {}).get("checkpoints", [])] or [None, None]
    for name, model, size in zip(("baseline", "pruned"), (pair.baseline, pair.pruned), files, strict=True):
        counted = cost.count(model, shape)
        row = {"model": name, "parameters": counted.parameters, "nonzero": counted.nonzero, "flops": counted.flops}
        rows.append(row | {"sparsity": pruning.sparsity(model), "file_bytes": size})
    return pd.DataFrame(rows)
