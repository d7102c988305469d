"""The tables of the sweeps: losses by rate, complexities, and rates that cost little."""

import math
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd

from pruncam._core.seeds import derive
from pruncam.statistics import bootstrap_means, correlation, rank_correlation
from pruncam.studies import score_tables
from pruncam.studies.sweeps import published
from pruncam.studies.sweeps.config import SweepsConfig
from pruncam.studies.sweeps.correctness import Correctness, resampled_means
from pruncam.studies.sweeps.experiment import L1, SweepsExperiment
from pruncam.studies.sweeps.rate_selection import (
    crossing,
    largest_rates,
    safe_rate,
)

BEYOND = 0.3  # the rate beyond which the paper sees an effect of complexity (Section 5)
READINGS = {  # of complexity: titles by column
    "csg": "CSG",
    "csg_relative": "CSG / (K - 1)",
    "csg_equal": "CSG of equally many images",
}
LOSSES = {  # of accuracy: titles by column
    "acc_drop": "points",
    "relative_loss": "share of what was above chance",
}
# Sources of the losses.
OURS = "ours"
PRINTED = "printed"
UNFLAGGED = "printed, without the flagged cell"

_MAX_SP2PS_DROP = 5.0  # points: heatmaps that lose more have moved
_EXAMPLE_CSGS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)  # for which rates are chosen


def complexity(experiment: SweepsExperiment) -> pd.DataFrame:
    """Return the CSG of a data set in raw pixels, one row.

    `csg` is of all training images in which it is measured, `csg_equal` of as many as the data sets
    are compared at, `csg_relative` divided by the number of classes minus one.
    """
    count = min(experiment.config.csg_pool, len(experiment.pool))
    classes = len(experiment.train.classes)
    row: dict[str, Any] = {
        "dataset": experiment.dataset,
        "data": experiment.train.name,
        "classes": classes,
        "draws": len(experiment.config.csg_seeds),
    }
    for name, images in {
        "csg": experiment.pool,
        "csg_equal": experiment.pool.first(count),
    }.items():
        values = np.array(experiment.complexity(images))
        row[name] = values.mean()
        row[f"{name}_sd"] = values.std(ddof=1) if len(values) > 1 else math.nan
        row[f"{name}_images"] = len(images)
    row["csg_relative"] = row["csg"] / (classes - 1)
    return pd.DataFrame([row])


def sweep(config: SweepsConfig, datasets: Collection[Correctness]) -> pd.DataFrame:
    """Return accuracy and its loss by data set, rule and rate.

    Accuracy is in %, the loss in points with an interval over images. `relative_loss` is the share
    of the baseline's accuracy above chance; NaN if there is none.
    """
    rows = []
    for correctness in datasets:
        for rule in correctness.rules:
            rows += _losses_of_rule(config, correctness, rule)
    return pd.DataFrame(rows)


def _losses_of_rule(
    config: SweepsConfig,
    correctness: Correctness,
    rule: str,
) -> list[dict]:
    dataset = correctness.dataset
    baseline = correctness.baseline_accuracy
    above_chance = baseline - 100 * correctness.chance
    losses = correctness.losses(rule)
    seed = derive(config.seed, "losses", dataset, rule)
    intervals = bootstrap_means(losses, samples=config.bootstrap, seed=seed)
    return [
        {
            "dataset": dataset,
            "rule": rule,
            "rate": rate,
            "images": len(losses),
            "baseline": baseline,
            "accuracy": baseline - loss.value,
            "acc_drop": loss.value,
            "low": loss.low,
            "high": loss.high,
            "relative_loss": loss.value / above_chance if above_chance > 0 else math.nan,
        }
        for rate, loss in zip(correctness.rates(rule), intervals, strict=True)
    ]


def with_complexity(sweep: pd.DataFrame, complexity: pd.DataFrame) -> pd.DataFrame:
    """Return the sweep without fine-tuning, with the complexities of the data sets."""
    not_tuned = sweep[sweep["rule"] == L1]
    return not_tuned.merge(complexity[["dataset", *READINGS]], on="dataset")


def by_source(ours: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return sweeps by source: ours, and the printed one with and without the flagged cell."""
    printed = published.sweep()
    return {
        OURS: ours,
        PRINTED: printed,
        UNFLAGGED: printed[printed["flag"] == ""],
    }


def correlations(sweeps: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return Spearman's correlation of complexity and loss over data sets, by source.

    At every rate, and for the mean loss beyond 30 %. The interval is over data sets; with fewer
    than five it is NaN.
    """
    rows = []
    for source, table in sweeps.items():
        rates = sorted(table["rate"].unique())
        groups = {f"{rate:g}": [rate] for rate in rates}
        groups[f"mean beyond {BEYOND:g}"] = [rate for rate in rates if rate > BEYOND]
        for name, group in groups.items():
            part = table[table["rate"].isin(group)]
            identity = {"source": source, "rate": name}
            rows += [identity | row for row in _correlations_over_datasets(part)]
    return pd.DataFrame(rows)


def _correlations_over_datasets(sweep: pd.DataFrame) -> list[dict]:
    """Return the correlation of every reading of complexity with the mean of every loss."""
    readings = [column for column in READINGS if column in sweep]
    means = sweep.groupby("dataset", sort=False)[[*readings, *LOSSES]].mean()
    rows = []
    for loss, title in LOSSES.items():
        for reading in readings:
            identity = {"reading": READINGS[reading], "loss": title}
            known = means[[reading, loss]].dropna()
            rows.append(identity | _rank_correlation(known[reading], known[loss]))
    return rows


def _rank_correlation(x: pd.Series, y: pd.Series) -> dict[str, float]:
    value = low = high = math.nan
    if len(x) >= 5:
        estimate = correlation(x, y, "spearman")
        value = estimate.value
        low = estimate.low
        high = estimate.high
    elif len(x) > 1:
        value = float(rank_correlation(x, [y])[0])
    return {"data_sets": len(x), "spearman": value, "low": low, "high": high}


def limits(
    config: SweepsConfig,
    datasets: Collection[Correctness],
    sweeps: Mapping[str, pd.DataFrame],
) -> pd.DataFrame:
    """Return the rate up to which each data set loses at most `max_loss` points, by source.

    Ours have an interval over test images.
    """
    tables = [
        largest_rates(table, config.max_loss).assign(source=source)
        for source, table in sweeps.items()
        if not table.empty
    ]
    rates = pd.concat(tables, ignore_index=True)
    intervals = {(OURS, each.dataset): _limit_interval(config, each) for each in datasets}
    keys = zip(rates["source"], rates["dataset"], strict=True)
    bounds = [intervals.get(key, (math.nan, math.nan)) for key in keys]
    rates["low"] = [low for low, _ in bounds]
    rates["high"] = [high for _, high in bounds]
    return rates[["source", "dataset", "csg", "rate", "lost", "low", "high"]]


def _limit_interval(config: SweepsConfig, correctness: Correctness) -> tuple[float, float]:
    seed = derive(config.seed, "limits", correctness.dataset)
    losses = resampled_means(correctness.losses(L1), config.bootstrap, seed)
    rates = crossing(correctness.rates(L1), losses, config.max_loss)
    low, high = np.quantile(rates, [0.025, 0.975])
    return float(low), float(high)


def rate_choices(config: SweepsConfig, sweeps: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the safe rate for data of several complexities, by source.

    A source with fewer than two different CSGs has no row: there is no line.
    """
    rows = []
    for source, table in sweeps.items():
        if table["csg"].nunique() < 2:
            continue
        for csg in _EXAMPLE_CSGS:
            choice = safe_rate(table, csg, config.max_loss)
            rows.append(
                {
                    "source": source,
                    "csg": csg,
                    "rate": choice.rate,
                    "low": choice.low,
                    "high": choice.high,
                    "why": choice.why,
                }
            )
    return pd.DataFrame(rows)


def map_scores(
    config: SweepsConfig,
    rows: pd.DataFrame,
    sweep: pd.DataFrame,
) -> pd.DataFrame:
    """Return the scores of the heatmaps beside the accuracy.

    Scores are of the first test images, accuracies of all of them.
    """
    curves = score_tables.curves(config, rows, score_tables.accuracies(config, rows))
    scores = curves.drop(columns=["accuracy", "acc_drop", "same_prediction", "seeds"])
    keys = ["dataset", "rule", "rate"]
    return scores.merge(sweep[[*keys, "baseline", "accuracy", "acc_drop"]], on=keys)


def moves(config: SweepsConfig, maps: pd.DataFrame) -> pd.DataFrame:
    """Return the rates up to which accuracy and heatmaps stay, without fine-tuning.

    Accuracy stays within `max_loss` points, Sp2PS within 5. `maps` is the table of `map_scores`.
    """
    not_tuned = maps[maps["rule"] == L1]
    rows = []
    for key, part in not_tuned.groupby(["dataset", "method"], sort=False, observed=True):
        dataset, method = key
        curve = part.sort_values("rate")
        sp2ps_drops = 100 * (1 - curve["sp2ps"])
        accuracy_stays = crossing(curve["rate"], curve["acc_drop"], config.max_loss)
        maps_stay = crossing(curve["rate"], sp2ps_drops, _MAX_SP2PS_DROP)
        rows.append(
            {
                "dataset": dataset,
                "method": method,
                "accuracy_stays": float(accuracy_stays),
                "maps_stay": float(maps_stay),
                "maps_move_first": bool(maps_stay < accuracy_stays),
            }
        )
    return pd.DataFrame(rows)
