"""The tables of the CSG study, from its draws."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch

from pruncam.complexity import CSG
from pruncam.statistics import mean_difference, t_interval
from pruncam.studies.csg.collection import Collection, View, mean_of
from pruncam.studies.csg.config import RAW, Config

PAIRS = 5  # most similar pairs of classes that are named
ORIGINAL = {  # the papers' data sets by the catalogue's names; their chest X-rays are nowhere to be had
    "MNIST": "mnist",
    "Fashion-MNIST": "fashion-mnist",
    "CIFAR-10": "cifar10",
    "CIFAR-100": "cifar100",
    "STL-10": "stl10",
}


def draws(collections: Sequence[Collection]) -> pd.DataFrame:
    """A row per measurement: data set, split, embedding, k, M, draw and CSG."""
    parts = []
    for collection in collections:
        parts += [_draws(collection, view) for view in collection.views]
    return pd.concat(parts, ignore_index=True)


def _draws(collection: Collection, view: View) -> pd.DataFrame:
    c, rows = collection.config, []
    most = int(torch.bincount(collection.pictures(view.split).labels[: view.images]).max())
    for volume, values in collection.draws(view).items():
        for place, value in np.ndenumerate(values.numpy()):
            row = {"k": c.ks[place[0]], "samples": c.samples[place[1]], "volume": volume}
            row |= {"drawn": c.samples[place[1]] < most}  # else every image is a sample, whatever the seed
            rows.append(row | {"repeat": view.repeat, "draw": place[2], "csg": value})
    whole = len(collection.pictures(view.split))
    about = {"half": collection.paper, "split": view.split, "embedding": view.embedding, "images": view.images}
    about |= {"whole": view.images == whole, "classes": len(collection.train.classes)}
    about["same_data"] = same_data(collection)
    return pd.DataFrame(rows).assign(**about)


def same_data(collection: Collection) -> bool:
    """Whether these are the paper's data set, all of it, be it encoded anew."""
    return collection.test.name == ORIGINAL.get(collection.paper)


def pixels(collection: Collection) -> str:
    """What these are to the paper's data set, in words."""
    if not same_data(collection):
        return "other pictures"
    verified = collection.test.original or collection.test.name in ("mnist", "fashion-mnist")  # IDX files always are
    return "original" if verified else "encoded anew"


def stands_in(collection: Collection) -> bool:
    """Whether the pixels are not the publisher's own, as they are."""
    return pixels(collection) != "original"


def own(found: pd.DataFrame) -> pd.DataFrame:
    """The draws from raw pixels of whole splits."""
    return found[(found["embedding"] == RAW) & found["whole"]]


def settings(found: pd.DataFrame) -> pd.DataFrame:
    """Mean, spread and interval of every embedding, k and M; `measurements` are draws times repeats.

    Where every image is a sample all draws are the same, and one of them counts; spread and interval are nan where that
    leaves a single measurement.
    """
    keys = ["half", "split", "embedding", "volume", "images", "whole", "same_data", "classes", "k", "samples", "drawn"]
    rows = []
    for key, part in found.groupby(keys, sort=False):
        row = dict(zip(keys, key, strict=True))
        values = part if row["drawn"] else part[part["draw"] == part["draw"].iloc[0]]
        low, high = _bounds(values, most=row["classes"] - 1)
        row |= {"csg": values["csg"].mean(), "sd": values["csg"].std(), "low": low, "high": high}
        rows.append(row | {"measurements": len(values), "relative": row["csg"] / (row["classes"] - 1)})
    return pd.DataFrame(rows)


def _bounds(values: pd.DataFrame, most: int) -> tuple[float, float]:
    """A 95 % interval of the mean within 0 and `most`: over draws or over trainings, whichever is wider.

    Draws from one training are no new trainings, so their product is no number of measurements to go by.
    """
    means = [values.groupby(name)["csg"].mean() for name in ("draw", "repeat")]
    intervals = [t_interval(each) for each in means if len(each) > 1]
    if not intervals:
        return math.nan, math.nan
    wider = max(intervals, key=lambda found: found.high - found.low)
    return max(wider.low, 0.0), min(wider.high, most)


def sets(config: Config, table: pd.DataFrame, collections: Sequence[Collection]) -> pd.DataFrame:
    """CSG of every data set and split at the study's own settings."""
    part = table[(table["embedding"] == RAW) & table["whole"]]
    part = part[(part["k"] == config.k) & (part["samples"] == config.samples_per_class)]
    names = {c.paper: c.test.name for c in collections}
    kinds = {c.paper: pixels(c) for c in collections}
    sizes = {
        (c.paper, s): "x".join(map(str, c.pictures(s).images.shape[1:])) for c in collections for s in ("train", "test")
    }
    fewest = {(c.paper, s): int(c.counts(s).min()) for c in collections for s in ("train", "test")}
    keys = list(zip(part["half"], part["split"], strict=True))
    return pd.DataFrame(
        {
            "half": part["half"],
            "split": part["split"],
            "data": part["half"].map(names),
            "pixels": part["half"].map(kinds),
            "same_data": part["same_data"],
            "images": part["images"],
            "size": [sizes[key] for key in keys],
            "classes": part["classes"],
            "k": part["k"],
            "samples": [min(config.samples_per_class, fewest[key]) for key in keys],
            "csg": part["csg"],
            "sd": part["sd"],
            "low": part["low"],
            "high": part["high"],
            "draws": part["measurements"],
            "relative": part["relative"],
        }
    ).reset_index(drop=True)


def pools(collections: Sequence[Collection], table: pd.DataFrame) -> pd.DataFrame:
    """CSG by the number of images of a class; the last row of a split is the whole of it."""
    rows = []
    for collection in collections:
        for split, size in collection.pools:
            values = collection.pool(split, size).numpy()
            row = {
                "half": collection.paper,
                "split": split,
                "pool": size,
                "csg": values.mean(),
                "sd": values.std(ddof=1),
            }
            rows.append(row | {"draws": len(values), "whole": False})
        whole = table[(table["half"] == collection.paper)].set_index("split")
        for split in ("train", "test"):
            row = {
                "half": collection.paper,
                "split": split,
                "pool": round(collection.counts(split).float().mean().item()),
            }
            own = whole.loc[split]
            rows.append(row | {"csg": own["csg"], "sd": own["sd"], "draws": int(own["draws"]), "whole": True})
    found = pd.DataFrame(rows)
    most = found["half"].map(table.drop_duplicates("half").set_index("half")["classes"]) - 1
    found = found.assign(relative=found["csg"] / most)
    order = {collection.paper: place for place, collection in enumerate(collections)}
    found = found.sort_values(["split", "pool"], ascending=[False, True], kind="stable")
    return found.sort_values("half", key=lambda halves: halves.map(order), kind="stable", ignore_index=True)


def gaps(config: Config, own: pd.DataFrame, collections: Sequence[Collection]) -> pd.DataFrame:
    """By how much the test split is more complex, and how much of that is left in pools of equally many images.

    `gap` is of the whole splits, `left` of the test split and of training pools of its size, where such were drawn;
    95 % intervals over draws of samples, and of pools (Student's and Welch's). One test split is not drawn again: an
    interval without 0 says that these test images differ, not that test images do.
    """
    rows, here = [], own[(own["k"] == config.k) & (own["samples"] == config.samples_per_class)]
    for collection in collections:
        part = here[here["half"] == collection.paper].sort_values("draw")
        train, test = (part.loc[part["split"] == split, "csg"].to_numpy() for split in ("train", "test"))
        gap = t_interval(test - train)
        low, high = (gap.low, gap.high) if part["drawn"].any() else (math.nan, math.nan)
        row = {"half": collection.paper, "train": train.mean(), "test": test.mean()}
        row |= {"gap": gap.value, "gap_low": low, "gap_high": high}
        row["pool"] = round(collection.counts("test").float().mean().item())
        row |= dict.fromkeys(("train_pools", "pool_draws", "left", "left_low", "left_high"), math.nan)
        if ("train", row["pool"]) in collection.pools:
            there = collection.pool("train", row["pool"]).numpy()
            left = mean_difference(test if part["drawn"].all() else test[:1], there)
            row |= {"train_pools": there.mean(), "pool_draws": len(there)}
            row |= {"left": left.value, "left_low": left.low, "left_high": left.high}
        rows.append(row)
    return pd.DataFrame(rows)


def confused(measured: Mapping[str, list[CSG]], names: Mapping[str, tuple[str, ...]]) -> pd.DataFrame:
    """The most similar pairs of classes of every data set, means over the draws."""
    rows = []
    for half, draws in measured.items():
        similarity, shares = mean_of(draws, "similarity"), mean_of(draws, "neighbours")
        first, second = np.triu_indices(len(similarity), 1)
        order = np.argsort(-similarity[first, second], kind="stable")[:PAIRS]
        for a, b in zip(first[order], second[order], strict=True):
            row = {"half": half, "class": names[half][a], "like": names[half][b], "similarity": similarity[a, b]}
            rows.append(row | {"neighbours_there": shares[a, b], "neighbours_back": shares[b, a]})
    return pd.DataFrame(rows)


def by_class(everything: Mapping[str, CSG], names: Mapping[str, tuple[str, ...]]) -> pd.DataFrame:
    """For every class the share of foreign neighbours, of all images, and where most of them are."""
    rows = []
    for half, found in everything.items():
        others = found.neighbours - np.diag(np.diag(found.neighbours))
        for place, share in enumerate(others.sum(1)):
            row = {"half": half, "class": names[half][place], "images": int(found.samples[place])}
            rows.append(row | {"foreign": share, "mostly": names[half][int(others[place].argmax())]})
    return pd.DataFrame(rows)
