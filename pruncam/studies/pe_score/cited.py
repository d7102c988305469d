"""The pruned networks that the paper cites (Tables 1 and 2), beside ours that save as much."""

import math

import pandas as pd

from pruncam.published import read_printed
from pruncam.studies.pe_score.config import FASTER, WEIGHT

_DATASET = "CIFAR-10"  # of the cited networks
_COSTS = ["rate", "flops_reduction", "parameter_reduction", "flops", "parameters"]


def cited() -> pd.DataFrame:
    """Return the cited networks: accuracy in %, its drop in points, reductions in %.

    The first row is the unpruned network with its parameters and FLOPs. NaN: not printed.
    """
    return read_printed("pe_score_cited")


def cited_beside_ours(costs: pd.DataFrame, models: pd.DataFrame) -> pd.DataFrame:
    """Return every cited network beside our models of the nearest reduction of FLOPs.

    The networks differ (VGG16 there), so that only drops and reductions can be compared. `costs`
    are the rows of `diagnostics.costs`, `models` is the table of `score_tables.accuracies`. The
    columns of ours, `our_...`, are missing if the data set was not run.
    """
    table = cited()
    ours = _costs(costs)
    if ours.empty:
        return table
    rows = [_nearest(ours, reduction) for reduction in table["flops_reduction"]]
    beside = ours.loc[rows].reset_index(drop=True)
    drops = beside[["rate"]].merge(_drops(models), on="rate", how="left").drop(columns="rate")
    return pd.concat([table, pd.concat([beside, drops], axis=1).add_prefix("our_")], axis=1)


def _costs(costs: pd.DataFrame) -> pd.DataFrame:
    """Return FLOPs and parameters by rate, with their reductions in %; equal for all criteria."""
    ours = costs[costs["dataset"] == _DATASET].drop_duplicates("rate").reset_index(drop=True)
    for column, reduction in (("flops", "flops_reduction"), ("parameters", "parameter_reduction")):
        ours[reduction] = 100 * (1 - ours[column] / ours[column].max())
    return ours[_COSTS]


def _nearest(ours: pd.DataFrame, reduction: float) -> int:
    """Return the row of our pruned network of the nearest reduction, or the unpruned one (NaN)."""
    if math.isnan(reduction):
        return int(ours["rate"].idxmin())
    pruned = ours.loc[ours["rate"] > 0, "flops_reduction"]
    return int((pruned - reduction).abs().idxmin())


def _drops(models: pd.DataFrame) -> pd.DataFrame:
    """Return the points that the paper's criteria lose by rate, a column each."""
    pruned = models[(models["dataset"] == _DATASET) & models["rule"].isin([WEIGHT, FASTER])]
    drops = pruned.pivot_table(index="rate", columns="rule", values="acc_drop")
    return drops.add_prefix("acc_drop ").rename_axis(columns=None).reset_index()
