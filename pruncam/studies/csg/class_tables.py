"""The tables of classes: which are alike, and whose neighbours are foreign."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from pruncam.complexity import CSG
from pruncam.studies.csg.experiment import mean_over_draws

_PAIRS = 5  # most similar pairs that are named

Classes = Mapping[str, Sequence[str]]  # the names of the classes by data set


def confused(csgs: Mapping[str, list[CSG]], classes: Classes) -> pd.DataFrame:
    """Return the most similar pairs of classes of every data set, means over the draws."""
    rows = []
    for dataset, draws in csgs.items():
        names = classes[dataset]
        similarity = mean_over_draws(draws, "similarity")
        neighbours = mean_over_draws(draws, "neighbours")
        first, second = np.triu_indices(len(similarity), 1)
        order = np.argsort(-similarity[first, second], kind="stable")[:_PAIRS]
        for a, b in zip(first[order], second[order], strict=True):
            rows.append(
                {
                    "dataset": dataset,
                    "class": names[a],
                    "like": names[b],
                    "similarity": similarity[a, b],
                    "neighbours_there": neighbours[a, b],
                    "neighbours_back": neighbours[b, a],
                }
            )
    return pd.DataFrame(rows)


def by_class(csgs: Mapping[str, CSG], classes: Classes) -> pd.DataFrame:
    """Return the share of foreign neighbours of every class, and the class that has most of them.

    `csgs` are those of all images, by data set.
    """
    rows = []
    for dataset, csg in csgs.items():
        names = classes[dataset]
        foreign = csg.neighbours - np.diag(np.diag(csg.neighbours))
        totals = foreign.sum(1)
        for number, shares in enumerate(foreign):
            rows.append(
                {
                    "dataset": dataset,
                    "class": names[number],
                    "images": int(csg.samples[number]),
                    "foreign": totals[number],
                    "mostly": names[int(shares.argmax())],
                }
            )
    return pd.DataFrame(rows)
