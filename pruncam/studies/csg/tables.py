"""The tables of the CSG study, from its draws."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch

from pruncam.complexity import CSG
from pruncam.statistics import Interval, t_interval
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


def stands_in(collection: Collection) -> bool:
    """Whether the pixels are not the publisher's own, as they are."""
    verified = collection.test.original or collection.test.name in ("mnist", "fashion-mnist")  # IDX files always are
    return not (same_data(collection) and verified)


def own(found: pd.DataFrame) -> pd.DataFrame:
    """The draws from raw pixels of whole splits."""
    return found[(found["embedding"] == RAW) & found["whole"]]


def settings(found: pd.DataFrame) -> pd.DataFrame:
    """Mean, spread and interval of every embedding, k and M; `measurements` are draws times repeats.

    Spread and interval are nan where nothing varies: every image is a sample, whatever the draw, and no network is new.
    """
    keys = ["half", "split", "embedding", "volume", "images", "whole", "same_data", "classes", "k", "samples", "drawn"]
    rows = []
    for key, part in found.groupby(keys, sort=False):
        row = dict(zip(keys, key, strict=True))
        interval = _interval(part, [name for name in ("draw", "repeat") if name == "repeat" or row["drawn"]])
        row |= {"csg": interval.value, "sd": math.nan if math.isnan(interval.low) else part["csg"].std()}
        row |= {"low": interval.low, "high": interval.high, "measurements": len(part)}
        rows.append(row | {"relative": interval.value / (row["classes"] - 1)})
    return pd.DataFrame(rows)


def _interval(part: pd.DataFrame, sources: Sequence[str]) -> Interval:
    """The mean, and the wider of its intervals over what it varies with: draws of one training are no new trainings."""
    means = [part.groupby(name)["csg"].mean() for name in sources]
    intervals = [t_interval(values) for values in means if len(values) > 1]
    wider = max(intervals, key=lambda found: found.high - found.low, default=Interval(0.0, math.nan, math.nan))
    return Interval(part["csg"].mean(), wider.low, wider.high)


def sets(config: Config, table: pd.DataFrame, collections: Sequence[Collection]) -> pd.DataFrame:
    """CSG of every data set and split at the study's own settings."""
    part = table[(table["embedding"] == RAW) & table["whole"]]
    part = part[(part["k"] == config.k) & (part["samples"] == config.samples_per_class)]
    names = {c.paper: c.test.name for c in collections}
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
