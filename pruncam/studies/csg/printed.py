"""The CSGs that two papers print, beside ours."""

import math
from collections.abc import Iterable

import numpy as np
import pandas as pd

from pruncam import places
from pruncam.studies.csg.config import RAW

CLASSES = {"CIFAR-100": 100}  # the others have 10, but for COVID-19
CHOSEN_ON = ("MNIST", "CIFAR-10")  # whose values the settings were chosen by, before this study was written


def published() -> pd.DataFrame:
    """Data set, split (empty: not stated), printed CSG, label, accuracy in the literature, source, table's number."""
    table = pd.read_csv(places.package_folder() / "published" / "csg.csv", keep_default_na=False)
    return table.astype({"value": float}).assign(
        accuracy=pd.to_numeric(table["accuracy"]), place=pd.to_numeric(table["place"])
    )


def beside(sets: pd.DataFrame) -> pd.DataFrame:
    """Every printed CSG with ours and the difference; where the split is not stated, both of ours.

    Where other pictures stand in for a data set, the quantity says which.
    """
    rows = []
    for printed in published().itertuples():
        for split in (printed.split,) if printed.split else ("train", "test"):
            own = sets[(sets["half"] == printed.half) & (sets["split"] == split)]
            notes = [] if printed.split else ["split not stated"]
            if len(own) and not own["same_data"].iloc[0]:
                notes.append(f"ours: {own['data'].iloc[0]}")
            row = {
                "quantity": f"CSG of {printed.half}, {split}" + (f" ({'; '.join(notes)})" if notes else ""),
                "unit": "",
                "published": printed.value,
                "source": printed.source,
                "ours": own["csg"].iloc[0] if len(own) else math.nan,
                "sd": own["sd"].iloc[0] if len(own) else math.nan,
                "seeds": int(own["draws"].iloc[0]) if len(own) else 0,
            }
            rows.append(row | {"difference": row["ours"] - printed.value})
    return pd.DataFrame(rows)


def table_1(sets: pd.DataFrame) -> pd.DataFrame:
    """Table 1 of the complexity paper beside ours with its interval, and what CSG/(K-1) makes of its order."""
    printed = published().query("place == 1").drop(columns=["accuracy", "source", "place"])
    most = printed["half"].map(CLASSES).fillna(10) - 1
    printed = printed.rename(columns={"value": "published"}).assign(published_relative=printed["value"] / most)
    own = sets[
        ["half", "split", "data", "pixels", "images", "classes", "csg", "low", "high", "sd", "draws", "relative"]
    ]
    return printed.merge(own, on=["half", "split"], how="left")


def table_3(sets: pd.DataFrame) -> pd.DataFrame:
    """Table 3 of the PE-score paper; it does not state the split, so both of ours stand beside it."""
    printed = published().query("place == 3").drop(columns=["split", "source", "place"])
    printed = printed.rename(columns={"value": "published"})
    for split in ("train", "test"):
        own = sets.loc[sets["split"] == split].set_index("half")[["csg", "low", "high", "sd"]]
        printed = printed.merge(own.add_suffix(f"_{split}"), left_on="half", right_index=True, how="left")
    return printed.merge(sets[["half", "data", "pixels"]].drop_duplicates(), on="half", how="left")


def distances(settings: pd.DataFrame) -> pd.DataFrame:
    """Every setting's distance from every printed CSG that there are data for: a factor, and sd of one draw.

    Of a value that is printed twice the longer one counts. Where the split is not stated there is a row for each.
    """
    printed = longest()
    stated, open_ = printed[printed["split"] != ""], printed[printed["split"] == ""].drop(columns="split")
    columns = ["half", "split", "value", "source"]
    printed = pd.concat(
        [
            stated.assign(stated=True)[[*columns, "stated"]],
            *(open_.assign(split=split, stated=False)[[*columns, "stated"]] for split in ("train", "test")),
        ]
    )
    found = settings.merge(printed.rename(columns={"value": "published"}), on=["half", "split"])
    gap, spread = found["csg"] - found["published"], found["sd"].where(found["sd"] > 0)
    return found.assign(factor=found["csg"] / found["published"], sds=gap / spread)


def longest(half: str | None = None) -> pd.DataFrame:
    """Every printed value once, with most digits; of one data set or of all."""
    table = published().drop_duplicates(["half", "split"], keep="last")
    return table if half is None else table[table["half"] == half]


def nearest(found: pd.DataFrame, halves: Iterable[str], few: int) -> pd.DataFrame:
    """Settings in the order of how far they are off the printed values: `off` is the typical factor, 1 at best.

    It is the geometric mean of the factors over the printed values of `halves`; the nearer split counts where none is
    stated. `off_train` and `off_test` are of one split alone. CSG falls as the pool grows, so there is a ranking among
    whole splits and another among the first `few` images, the most that t-SNE is given. On the papers' own data sets
    where the profile has any, else on what stands in for them.
    """
    found = found[found["half"].isin(halves)]
    found = found[found["same_data"]] if found["same_data"].any() else found
    found = found.assign(off=found["factor"].clip(lower=1e-6).map(math.log).abs(), near=found["sds"].abs() <= 2)
    pools = {"whole splits": found[found["whole"]], f"first {few:,} images": found[found["images"] <= few]}
    ranked = [_ranked(part).assign(pool=pool) for pool, part in pools.items()]
    table = pd.concat(ranked, ignore_index=True)
    return table[["pool", *table.columns.drop("pool")]]


def _ranked(found: pd.DataFrame) -> pd.DataFrame:
    """The settings that have every value on every split, the nearest first."""
    setting, value = ["embedding", "volume", "k", "samples"], ["half", "published"]
    rows = found.groupby(setting)["off"].transform("size")
    found = found[rows == len(found.drop_duplicates([*value, "split"]))]
    by_value = found.sort_values("off", kind="stable").drop_duplicates([*setting, *value]).groupby(setting)
    table = by_value.agg(off=("off", "mean"), within_2_sd=("near", "sum"), values=("off", "size"))
    for split in ("train", "test"):
        table[f"off_{split}"] = found[found["split"] == split].groupby(setting)["off"].mean()
    table = table.assign(drawn=found.groupby(setting)["drawn"].any()).reset_index()
    again = table.duplicated(["embedding", "volume", "k", "drawn"]) & ~table["drawn"]  # more than all images is all
    table = table[~again].drop(columns="drawn").sort_values("off", kind="stable", ignore_index=True)
    offs = ["off", "off_train", "off_test"]
    table[offs] = np.exp(table[offs].astype(float))
    return table.assign(rank=table.index + 1)[["rank", *setting, *offs, "within_2_sd", "values"]]


def agreement(found: pd.DataFrame, k: int, samples: int) -> pd.DataFrame:
    """The study's own settings against every printed value, and what that is worth."""
    part = found[(found["embedding"] == RAW) & (found["k"] == k) & (found["samples"] == samples)]
    part = part[part["whole"]].sort_values(["half", "source", "split"], ascending=[True, True, False], kind="stable")
    worth = [_worth(row) for row in part.itertuples()]
    columns = ["half", "split", "stated", "published", "csg", "low", "high", "sd", "sds", "factor", "measurements"]
    part = part[[*columns, "source"]].rename(columns={"measurements": "draws"})
    return part.assign(worth=worth).reset_index(drop=True)


def _worth(row) -> str:
    if not row.same_data:
        return "other pictures: no test"
    return "settings were chosen on it" if row.half in CHOSEN_ON else "test"
