"""The CSGs that two papers print, beside ours."""

import math
from typing import Any

import pandas as pd

from pruncam.published import read_printed
from pruncam.studies.csg.analysis import at_own_settings, of_raw_pixels, rows_by_split
from pruncam.studies.csg.config import CsgConfig
from pruncam.studies.csg.experiment import SPLITS
from pruncam.studies.original_data import original_datasets
from pruncam.studies.published_numbers import PublishedNumber, published_table

# The data sets by whose printed values the settings were chosen, before this study was written.
_CHOSEN_ON = ("MNIST", "CIFAR-10")


def printed_values() -> pd.DataFrame:
    """Return the printed CSGs.

    Columns: data set, split (empty if not stated), value, label, accuracy in the literature,
    source, and `place`, the number of the table.
    """
    table = read_printed("csg", keep_default_na=False)
    return table.assign(
        value=table["value"].astype(float),
        accuracy=pd.to_numeric(table["accuracy"]),
        place=pd.to_numeric(table["place"]),
    )


def longest_values() -> pd.DataFrame:
    """Return every printed value once, with the most digits."""
    return printed_values().drop_duplicates(["dataset", "split"], keep="last")


def numbers_beside_ours(sets: pd.DataFrame) -> pd.DataFrame:
    """Return every printed CSG with ours; both splits of ours if the split is not stated.

    If other images stand in for a data set, the quantity names them. `sets` is the table of
    `analysis.sets`.
    """
    by_split = rows_by_split(sets)
    numbers = []
    for printed in printed_values().itertuples():
        splits = (printed.split,) if printed.split else SPLITS
        for split in splits:
            ours = by_split.get((printed.dataset, split))
            numbers.append(_number(printed, split, ours))
    return published_table(numbers)


def _number(printed: Any, split: str, ours: Any | None) -> PublishedNumber:
    """Return a printed value with ours; both are rows of their tables."""
    notes = []
    if not printed.split:
        notes.append("split not stated")
    if ours is not None and not ours.same_data:
        notes.append(f"ours: {ours.data}")
    ending = f" ({'; '.join(notes)})" if notes else ""
    return PublishedNumber(
        quantity=f"CSG of {printed.dataset}, {split}{ending}",
        published=printed.value,
        source=printed.source,
        ours=math.nan if ours is None else ours.csg,
        sd=math.nan if ours is None else ours.sd,
        seeds=0 if ours is None else ours.draws,
    )


def table_1(sets: pd.DataFrame) -> pd.DataFrame:
    """Return Table 1 of the complexity paper beside ours.

    `published_relative` is the printed CSG over its largest possible value, K - 1.
    """
    printed = printed_values().query("place == 1")
    printed = printed.drop(columns=["accuracy", "source", "place"])
    printed = printed.rename(columns={"value": "published"})
    largest = printed["dataset"].map(original_datasets()["classes"]) - 1
    printed["published_relative"] = printed["published"] / largest
    columns = [
        "dataset",
        "split",
        "data",
        "pixels",
        "images",
        "classes",
        "csg",
        "low",
        "high",
        "sd",
        "draws",
        "relative",
    ]
    return printed.merge(sets[columns], on=["dataset", "split"], how="left")


def table_3(sets: pd.DataFrame) -> pd.DataFrame:
    """Return Table 3 of the PE-score paper beside ours.

    The paper does not state the split, so the table has both of ours.
    """
    table = printed_values().query("place == 3")
    table = table.drop(columns=["split", "source", "place"])
    table = table.rename(columns={"value": "published"})
    for split in SPLITS:
        of_split = sets[sets["split"] == split].set_index("dataset")
        ours = of_split[["csg", "low", "high", "sd"]].add_suffix(f"_{split}")
        table = table.merge(ours, left_on="dataset", right_index=True, how="left")
    data = sets[["dataset", "data", "pixels"]].drop_duplicates()
    return table.merge(data, on="dataset", how="left")


def distances(settings: pd.DataFrame) -> pd.DataFrame:
    """Return every setting's distance from every printed CSG: a factor, and sd of one draw.

    A value that is printed twice counts with its most digits. If the split is not stated, there is
    a row for each split. `settings` is the table of `analysis.settings`.
    """
    table = settings.merge(_printed_by_split(), on=["dataset", "split"])
    gap = table["csg"] - table["published"]
    spread = table["sd"].where(table["sd"] > 0)
    factor = table["csg"] / table["published"]
    return table.assign(factor=factor, sds=gap / spread)


def _printed_by_split() -> pd.DataFrame:
    """Return the printed values with a split each: both splits if it is not `stated`."""
    printed = longest_values().rename(columns={"value": "published"})
    printed["stated"] = printed["split"] != ""
    unstated = printed[~printed["stated"]]
    parts = [printed[printed["stated"]]]
    parts += [unstated.assign(split=split) for split in SPLITS]
    columns = ["dataset", "split", "published", "source", "stated"]
    return pd.concat(parts)[columns]


def agreement(config: CsgConfig, distances: pd.DataFrame) -> pd.DataFrame:
    """Return the distance of the study's own settings from every printed value.

    `worth` says whether the comparison is a test.
    """
    table = at_own_settings(of_raw_pixels(distances), config)
    table = table.rename(columns={"measurements": "draws"})
    table = table.sort_values(
        ["dataset", "source", "split"],
        ascending=[True, True, False],
        kind="stable",
    )
    worth = [_worth(row) for row in table.itertuples()]
    columns = [
        "dataset",
        "split",
        "stated",
        "published",
        "csg",
        "low",
        "high",
        "sd",
        "sds",
        "factor",
        "draws",
        "source",
    ]
    return table[columns].assign(worth=worth).reset_index(drop=True)


def _worth(row: Any) -> str:
    if not row.same_data:
        return "other images: no test"
    return "settings were chosen on it" if row.dataset in _CHOSEN_ON else "test"
