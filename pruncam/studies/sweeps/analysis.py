"""The tables of the sweeps: losses by rate, complexities, and rates that cost little."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pruncam.datasets import ImageSet
from pruncam.statistics import Interval, correlation, rank_correlation
from pruncam.studies.sweeps import published
from pruncam.studies.sweeps.config import SweepsConfig
from pruncam.studies.sweeps.experiment import L1, SweepsExperiment
from pruncam.studies.sweeps.rate_selection import crossing, largest_rates, safe_rate
from pruncam.studies.sweeps.resampling import Resampled, ResampledAccuracies, mean
from pruncam.studies.work import Work, searching

BEYOND = 0.3  # the rate beyond which the paper sees an effect of complexity (Section 5)
READINGS = {  # of complexity: titles by column
    "csg": "CSG",
    "csg_relative": "CSG / (K - 1)",
    "csg_equal": "CSG of equally many images",
}
LOSSES = {  # of accuracy: titles by column
    "acc_drop": "points",
    "relative_loss": "share of what was above guessing",
}
# Sources of the losses.
OURS = "ours"
PRINTED = "printed"
UNFLAGGED = "printed, without the flagged cell"

_EXAMPLE_CSGS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)  # for which rates are chosen


def complexity(experiment: SweepsExperiment) -> pd.DataFrame:
    """Return the CSG of a data set in raw pixels, one row.

    `csg` is of all training images in which it is measured, `csg_equal` of as many as the data sets
    are compared at, `csg_relative` divided by the number of classes minus one. If every image is a
    sample, nothing is drawn: there is one draw, and no standard deviation.
    """
    count = min(experiment.config.csg_pool, len(experiment.pool))
    classes = len(experiment.train.classes)
    row = {
        "dataset": experiment.dataset,
        "data": experiment.train.name,
        "classes": classes,
        **_complexity_of(experiment, experiment.pool, "csg"),
        **_complexity_of(experiment, experiment.pool.first(count), "csg_equal"),
    }
    row["csg_relative"] = row["csg"] / (classes - 1)
    return pd.DataFrame([row])


def complexity_work(experiment: SweepsExperiment) -> list[Work]:
    """Return the steps of the complexity, in all images and in as many as are compared."""
    config, pool = experiment.config, experiment.pool
    sample = searching(pool.images.flatten(1), config.csg_neighbours)
    works = []
    for images in dict.fromkeys([pool, pool.first(min(config.csg_pool, len(pool)))]):
        searched = min(config.csg_samples * len(images.classes), len(images))
        amount = len(config.csg_seeds) * searched * len(images) / sample.largest
        step = experiment.complexity_step(images)
        works.append(Work(step, sample, amount, len(config.csg_seeds)))
    return works


def _complexity_of(experiment: SweepsExperiment, images: ImageSet, name: str) -> dict[str, Any]:
    """Return mean and standard deviation over draws of a CSG, in columns that begin with `name`."""
    values = np.array(experiment.complexity(images))
    is_drawn = int(images.labels.bincount().max()) > experiment.config.csg_samples
    draws = len(values) if is_drawn else 1
    return {
        name: values.mean(),
        f"{name}_sd": values.std(ddof=1) if draws > 1 else math.nan,
        f"{name}_draws": draws,
        f"{name}_images": len(images),
    }


def sweep(datasets: Collection[ResampledAccuracies]) -> pd.DataFrame:
    """Return accuracy and its loss by data set, rule and rate.

    Accuracies are in %, with an interval each. The loss has an interval over images and trainings:
    `acc_drop` in points, `relative_loss` as the share of the unpruned network's accuracy above
    guessing; NaN if there is none. A model has `collapsed` if it lost more than half of that.
    """
    rows = [
        _row_of_sweep(accuracies, rule, rate)
        for accuracies in datasets
        for rule, rate in accuracies.correctness.models
    ]
    return pd.DataFrame(rows)


def _row_of_sweep(accuracies: ResampledAccuracies, rule: str, rate: float) -> dict[str, Any]:
    accuracy = accuracies.accuracy_interval(rule, rate)
    unpruned = accuracies.baseline_interval
    points = accuracies.loss(rule, rate).interval
    share = accuracies.loss(rule, rate, "relative_loss").interval
    return {
        "dataset": accuracies.dataset,
        "rule": rule,
        "rate": rate,
        "images": accuracies.correctness.baseline.shape[1],
        "trainings": accuracies.correctness.trainings,
        **unpruned.columns("baseline"),
        **accuracy.columns("accuracy"),
        "acc_drop": points.value,
        "low": points.low,
        "high": points.high,
        "relative_loss": share.value,
        "relative_low": share.low,
        "relative_high": share.high,
        "collapsed": accuracies.is_collapsed(rule, rate),
    }


def mean_losses(datasets: Collection[ResampledAccuracies], rates: Sequence[float]) -> pd.DataFrame:
    """Return the mean loss of each data set over the rates beyond 30 %, not fine-tuned.

    In points (`acc_drop`) and as a share of what was above guessing (`relative_loss`), with
    intervals; no row if there are no such rates.
    """
    beyond = [rate for rate in rates if rate > BEYOND]
    rows = []
    for accuracies in datasets if beyond else ():
        row: dict[str, Any] = {"dataset": accuracies.dataset}
        for measure in LOSSES:
            loss = mean(accuracies.loss(L1, rate, measure) for rate in beyond).interval
            row |= loss.columns(measure)
        rows.append(row)
    return pd.DataFrame(rows)


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
    datasets: Collection[ResampledAccuracies],
    sweeps: Mapping[str, pd.DataFrame],
) -> pd.DataFrame:
    """Return the rate up to which each data set loses at most `max_loss` points, by source.

    Ours have an interval over test images and trainings.
    """
    tables = [
        largest_rates(table, config.max_loss).assign(source=source)
        for source, table in sweeps.items()
        if not table.empty
    ]
    rates = pd.concat(tables, ignore_index=True)
    unknown = Interval(math.nan, math.nan, math.nan)
    ours = {(OURS, each.dataset): safe_up_to(each, config).interval for each in datasets}
    keys = zip(rates["source"], rates["dataset"], strict=True)
    intervals = [ours.get(key, unknown) for key in keys]
    rates["low"] = [interval.low for interval in intervals]
    rates["high"] = [interval.high for interval in intervals]
    return rates[["source", "dataset", "csg", "rate", "lost", "low", "high"]]


def safe_up_to(accuracies: ResampledAccuracies, config: SweepsConfig) -> Resampled:
    """Return the rate up to which at most `max_loss` points are lost, not fine-tuned."""
    return resampled_crossing(
        config.rates,
        [accuracies.loss(L1, rate) for rate in config.rates],
        config.max_loss,
    )


def resampled_crossing(
    rates: Sequence[float],
    losses: Sequence[Resampled],
    max_loss: float,
) -> Resampled:
    """Return the rate at which a curve first loses more than `max_loss`; see `crossing`."""
    value = crossing(rates, [loss.value for loss in losses], max_loss)
    samples = crossing(rates, np.stack([loss.samples for loss in losses], axis=1), max_loss)
    return Resampled(float(value), samples)


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
