"""The papers' data sets, and whether a study has them or images that stand in for them."""

from collections.abc import Iterable
from functools import cache

import pandas as pd

from pruncam.datasets import ImageSet
from pruncam.profiles import DatasetSpec
from pruncam.published import read_printed


@cache
def original_datasets() -> pd.DataFrame:
    """Return the papers' data sets: catalogue name, numbers of images and classes, by name."""
    return read_printed("datasets", index_col="dataset")


def shown_names(specs: Iterable[DatasetSpec]) -> dict[str, str]:
    """Return the names of data sets for figures and texts, by the name in the tables."""
    return {spec.paper: shown_name(spec.paper, spec.source) for spec in specs}


def shown_name(dataset: str, source: str) -> str:
    """Return the name of a paper's data set for figures and texts.

    Images that stand in for it bear their own name, with the paper's in brackets.
    """
    table = original_datasets()
    if dataset not in table.index or table.loc[dataset, "source"] == source:
        return dataset
    return f"{source} (for {dataset})"


def is_same_dataset(dataset: str, images: ImageSet) -> bool:
    """Return True if the images are those of the paper's data set, re-encoded or not."""
    table = original_datasets()
    return dataset in table.index and images.name == table.loc[dataset, "source"]


def is_complete(dataset: str, train: ImageSet, test: ImageSet) -> bool:
    """Return True if the images are those of the paper's data set, and all of them."""
    if not is_same_dataset(dataset, test):
        return False
    row = original_datasets().loc[dataset]
    return (len(train), len(test)) == (row["train"], row["test"])


def stands_in(dataset: str, train: ImageSet, test: ImageSet) -> bool:
    """Return True unless the images are all of the paper's data set, with its original pixels."""
    return not (is_complete(dataset, train, test) and test.original)
