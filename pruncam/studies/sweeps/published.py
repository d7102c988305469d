"""The numbers the complexity paper prints on its sweeps, beside ours."""

import math
from typing import Any

import pandas as pd

from pruncam.published import read_printed
from pruncam.studies.original_data import original_datasets
from pruncam.studies.published_numbers import PublishedNumber, published_table


def published() -> pd.DataFrame:
    """Return the printed values by data set, rate and quantity, with source and flag.

    Quantities are "accuracy", "change" of accuracy and "csg", of the training set. A flag marks a
    cell that does not fit the others, or is printed differently elsewhere.
    """
    return read_printed("sweeps", keep_default_na=False)


def sweep() -> pd.DataFrame:
    """Return Table 2 as a sweep.

    Columns: dataset, rate, accuracy, acc_drop, flag, csg, csg_relative and relative_loss.
    """
    table = published()
    changes = table[table["quantity"] == "change"]
    datasets = changes["dataset"]
    classes = datasets.map(original_datasets()["classes"])
    csg = datasets.map(_by_dataset(table, "csg"))
    baseline = datasets.map(_by_dataset(table, "accuracy"))
    above_guess = baseline - 100 / classes
    return pd.DataFrame(
        {
            "dataset": datasets,
            "rate": changes["rate"],
            "accuracy": baseline + changes["value"],
            "acc_drop": -changes["value"],
            "flag": changes["flag"],
            "csg": csg,
            "csg_relative": csg / (classes - 1),
            "relative_loss": -changes["value"] / above_guess,
        }
    )


def _by_dataset(table: pd.DataFrame, quantity: str) -> pd.Series:
    return table[table["quantity"] == quantity].set_index("dataset")["value"]


def table_beside_ours(ours: pd.DataFrame, complexity: pd.DataFrame) -> pd.DataFrame:
    """Return Table 2 with our changes of accuracy, and the images that ours are measured on.

    `ours` is a sweep without fine-tuning, `complexity` the table of complexities.
    """
    printed = published()
    printed = printed[printed["quantity"] == "change"].rename(columns={"value": "published"})
    changes = pd.DataFrame(
        {
            "dataset": ours["dataset"],
            "rate": ours["rate"],
            "ours": 0 - ours["acc_drop"],  # a minus alone would make -0.0
            "low": 0 - ours["high"],
            "high": 0 - ours["low"],
        }
    )
    table = printed.merge(changes, on=["dataset", "rate"], how="left")
    table = table.assign(
        difference=table["ours"] - table["published"],
        images=table["dataset"].map(_images_of(complexity)),
    )
    return table[
        [
            "dataset",
            "images",
            "rate",
            "published",
            "ours",
            "low",
            "high",
            "difference",
            "flag",
        ]
    ]


def numbers_beside_ours(ours: pd.DataFrame, complexity: pd.DataFrame) -> pd.DataFrame:
    """Return every printed number with ours, and the images that ours is measured on.

    `complexity` is the table of complexities. A flag marks what is odd about the printed number.
    """
    numbers = published()
    table = published_table(
        [
            _number(
                printed,
                ours[ours["dataset"] == printed.dataset],
                complexity[complexity["dataset"] == printed.dataset],
            )
            for printed in numbers.itertuples()
        ]
    )
    images = numbers["dataset"].map(_images_of(complexity))
    return table.assign(images=images, flag=numbers["flag"])


def _images_of(complexity: pd.DataFrame) -> pd.Series:
    """Return the name of the images of each data set, by its name in the paper."""
    return complexity.set_index("dataset")["data"]


def _number(
    printed: Any,
    sweep: pd.DataFrame,
    complexity: pd.DataFrame,
) -> PublishedNumber:
    """Return a printed number with ours, from our tables of the same data set."""
    dataset = printed.dataset
    value = printed.value
    source = printed.source
    if printed.quantity == "csg":
        measured = {} if complexity.empty else complexity.iloc[0]
        return PublishedNumber(
            quantity=f"{dataset}: CSG of the training images",
            published=value,
            source=source,
            ours=measured.get("csg", math.nan),
            sd=measured.get("csg_sd", math.nan),
            seeds=measured.get("csg_draws", 1),
        )
    if printed.quantity == "accuracy":
        return PublishedNumber(
            quantity=f"{dataset}: accuracy",
            unit="%",
            published=value,
            source=source,
            ours=math.nan if sweep.empty else sweep["baseline"].iloc[0],
        )
    at_rate = sweep[(sweep["rate"] - printed.rate).abs() < 1e-9]
    return PublishedNumber(
        quantity=f"{dataset}: change of accuracy at {100 * printed.rate:g} %",
        unit="points",
        published=value,
        source=source,
        ours=math.nan if at_rate.empty else 0 - at_rate["acc_drop"].iloc[0],
    )
