"""Findings on the claims of the complexity paper about pruning.

Statements, criteria and limits are in `published/claims/sweeps.yaml`. Claim C3, and the claim that
CSG depends little on its settings, belong to the study `csg`. Intervals resample test images, all
rates together; those of correlations over data sets need five of them.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from pruncam._core.seeds import derive
from pruncam.report.claims import Finding, Statement
from pruncam.scoring.controls import FLOOR
from pruncam.statistics import (
    Correlation,
    Interval,
    bootstrap_mean,
    bootstrap_means,
    correlation,
    distance_from,
    rank_correlation,
)
from pruncam.studies.sweeps.analysis import BEYOND, LOSSES, OURS, READINGS
from pruncam.studies.sweeps.config import SweepsConfig
from pruncam.studies.sweeps.correctness import Correctness, resampled_means
from pruncam.studies.sweeps.experiment import DROPPED, KEPT, L1

TEN = "CIFAR-10"
HUNDRED = "CIFAR-100"
STL = "STL-10"
_MIN_POINTS = 5  # data sets or rates, for the interval of a correlation


@dataclass(frozen=True)
class SweepResults:
    """Results of the study by which the claims are judged.

    `tables` are those of the study: "sweep", "complexity", "correlations" and "connections";
    `too_weak` are the data sets whose baseline is too weak for a claim.
    """

    config: SweepsConfig
    correctness: Mapping[str, Correctness]  # by data set
    tables: Mapping[str, pd.DataFrame]
    too_weak: Collection[str] = ()

    @property
    def usable(self) -> tuple[str, ...]:
        """The data sets whose baseline is good enough."""
        return tuple(name for name in self.correctness if name not in self.too_weak)

    def has(self, datasets: Collection[str], *rates: float) -> bool:
        """Return True if these data sets were swept at these rates."""
        return set(datasets) <= set(self.correctness) and set(rates) <= set(self.config.rates)

    def rates(self, *, above: float = 0.0, up_to: float = 1.0) -> list[float]:
        """Return the rates in the interval (above, up_to]."""
        return [rate for rate in self.config.rates if above < rate <= up_to]

    def interval(self, values: np.ndarray) -> Interval:
        """Return the mean over images of `values` (images,) with its bootstrap interval."""
        seed = derive(self.config.seed, "claims")
        return bootstrap_mean(values, samples=self.config.bootstrap, seed=seed)

    def loss(
        self,
        dataset: str,
        rule: str,
        rate: float,
    ) -> Interval:
        """Return the points of accuracy lost, as in the table of the sweep."""
        row = self._losses.loc[(dataset, rule, rate)]
        return Interval(row["acc_drop"], row["low"], row["high"])

    def csg(self, dataset: str) -> float:
        """Return the CSG of a data set."""
        return self._complexity.loc[dataset, "csg"]

    @cached_property
    def _losses(self) -> pd.DataFrame:
        return self.tables["sweep"].set_index(["dataset", "rule", "rate"]).sort_index()

    @cached_property
    def _complexity(self) -> pd.DataFrame:
        return self.tables["complexity"].set_index("dataset")


def findings(statements: Mapping[str, Statement], results: SweepResults) -> dict[str, Finding]:
    """Return the findings on claims C1, C2, C4 to C6 and the second half of C7."""
    functions: dict[str, Callable[[Statement, SweepResults], Finding]] = {
        "C1": _little_lost,
        "C2a": _rises_with_complexity,
        "C2b": _rises_over_all_datasets,
        "C2c": _rises_over_all_datasets,
        "C4a": _accuracy_returns,
        "C4b": _loss_still_shows,
        "C4c": _no_longer_pruned,
        "C5": _stl_loses_less,
        "C6a": _worst_rate,
        "C6b": _loss_at_rate,
        "C6c": _more_than_half,
        "C6d": _loss_near,
        "C7c": _accuracy_falls_with_complexity,
    }
    return {name: functions[name](statement, results) for name, statement in statements.items()}


def _lacking(statement: Statement) -> Finding:
    names = ", ".join(statement.datasets)
    return Finding(
        estimate=None,
        evidence=f"this profile does not have {names} at these rates",
    )


def _as_interval(estimate: Correlation) -> Interval:
    return Interval(estimate.value, estimate.low, estimate.high)


def _largest(losses: Mapping[tuple, Interval]) -> tuple:
    return max(losses, key=lambda key: losses[key].value)


def _little_lost(statement: Statement, results: SweepResults) -> Finding:
    """C1: at low rates nothing is lost; judged on the worst data set and rate."""
    rates = results.rates(up_to=statement.parameters["max_rate"])
    if not results.has(statement.datasets) or not rates:
        return _lacking(statement)
    losses = {
        (dataset, rate): results.loss(dataset, L1, rate)
        for dataset in results.correctness
        for rate in rates
    }
    of_paper = {key: loss for key, loss in losses.items() if key[0] in statement.datasets}
    of_others = {key: loss for key, loss in losses.items() if key not in of_paper}
    dataset, rate = _largest(of_paper)
    worst = of_paper[dataset, rate]
    evidence = f"most on {dataset} at {rate:.0%}: {worst.text(2)} points"
    if of_others:
        key = _largest(of_others)
        evidence += f"; of the further sets on {key[0]}: {of_others[key].text(2)}"
    return Finding(estimate=worst, evidence=evidence)


def _rises_with_complexity(statement: Statement, results: SweepResults) -> Finding:
    """C2a: the higher the complexity, the more is lost; on the paper's three data sets."""
    rates = results.rates(above=BEYOND)
    if not results.has(statement.datasets) or not rates:
        return _lacking(statement)
    order = sorted(statement.datasets, key=results.csg)
    ranking = " < ".join(f"{dataset} (CSG {results.csg(dataset):.2f})" for dataset in order)
    means = [
        f"{dataset} {np.mean([results.loss(dataset, L1, rate).value for rate in rates]):.2f}"
        for dataset in order
    ]
    return Finding(
        estimate=_correlation_over_images(statement.datasets, rates, results),
        evidence=f"{ranking}; lost: {', '.join(means)}; three data sets",
    )


def _correlation_over_images(
    datasets: Sequence[str], rates: Sequence[float], results: SweepResults
) -> Interval:
    """Return Spearman's correlation of complexity and mean loss; the interval resamples images."""
    complexities = [results.csg(dataset) for dataset in datasets]
    means = []
    resampled = []
    for dataset in datasets:
        correctness = results.correctness[dataset]
        losses = np.mean([correctness.loss(L1, rate) for rate in rates], axis=0)
        seed = derive(results.config.seed, "claims", dataset)
        means.append(losses.mean())
        resampled.append(resampled_means(losses[:, None], results.config.bootstrap, seed)[:, 0])
    value = rank_correlation(complexities, [means], undefined=0.0)[0]
    values = rank_correlation(complexities, np.transpose(resampled), undefined=0.0)
    low, high = np.quantile(values, [0.025, 0.975])
    return Interval(float(value), float(low), float(high))


def _rises_over_all_datasets(statement: Statement, results: SweepResults) -> Finding:
    """C2b, C2c: the same correlation over all usable data sets, as its table has it."""
    table = results.tables["correlations"]
    is_reading = table["reading"] == READINGS[statement.parameters["reading"]]
    is_mean = table["rate"].str.startswith("mean")
    rows = table[(table["source"] == OURS) & is_reading & is_mean].set_index("loss")
    if rows.empty:
        evidence = "this profile has no rates beyond 30 % or no baseline that is good enough"
        return Finding(
            estimate=None,
            evidence=evidence,
            points=0,
            datasets=results.usable,
        )
    row = rows.loc[LOSSES["acc_drop"]]
    share = rows.loc[LOSSES["relative_loss"]]
    evidence = (
        f"{row['data_sets']} data sets: {row['spearman']:.2f}; "
        f"of the share of what was above chance: {share['spearman']:.2f}"
    )
    is_known = not math.isnan(row["low"])
    ending = "interval over data sets" if is_known else "five are needed for an interval"
    return Finding(
        estimate=Interval(row["spearman"], row["low"], row["high"]) if is_known else None,
        evidence=f"{evidence}; {ending}",
        points=row["data_sets"],
        datasets=results.usable,
    )


def _accuracy_returns(statement: Statement, results: SweepResults) -> Finding:
    """C4a: with masks dropped, accuracy returns; judged on the best data set at the worst rate."""
    if not results.has(statement.datasets):
        return _lacking(statement)
    best = {}
    for rate in results.config.rates:
        losses = {name: results.loss(name, DROPPED, rate) for name in statement.datasets}
        dataset = min(losses, key=lambda name: losses[name].value)
        best[rate, dataset] = losses[dataset]
    rate, dataset = _largest(best)
    estimate = best[rate, dataset]
    floors = ", ".join(_floor(results, name) for name in statement.datasets)
    return Finding(
        estimate=estimate,
        evidence=f"least possible at {rate:.0%}, on {dataset}: {estimate.text(2)} points; "
        f"fine-tuning alone: {floors}",
    )


def _floor(results: SweepResults, dataset: str) -> str:
    """Return the points that fine-tuning alone costs, in words."""
    if 0.0 not in results.correctness[dataset].rates(FLOOR):
        return f"{dataset} not run"
    return f"{dataset} {results.loss(dataset, FLOOR, 0.0).value:.2f}"


def _loss_still_shows(statement: Statement, results: SweepResults) -> Finding:
    """C4b: the losses before and after fine-tuning correlate; judged on the weakest data set."""
    if not results.has(statement.datasets):
        return Finding(estimate=None, evidence=_lacking(statement).evidence, points=0)
    by_dataset = {name: _before_and_after(results, name) for name in statement.datasets}
    known = {name: estimate for name, estimate in by_dataset.items() if estimate is not None}
    if not known:
        return Finding(estimate=None, evidence="fewer than five rates", points=0)
    weakest = min(known.values(), key=lambda estimate: estimate.value)
    return Finding(
        estimate=_as_interval(weakest),
        evidence="; ".join(f"{name} {estimate.value:.2f}" for name, estimate in known.items()),
        points=weakest.df + 2,
    )


def _before_and_after(results: SweepResults, dataset: str) -> Correlation | None:
    """Return the correlation over rates of the losses before and after fine-tuning."""
    rates = results.config.rates
    if len(rates) < _MIN_POINTS:
        return None
    before = [results.loss(dataset, L1, rate).value for rate in rates]
    after = [results.loss(dataset, DROPPED, rate).value for rate in rates]
    estimate = correlation(before, after, "spearman")
    return None if math.isnan(estimate.value) else estimate


def _no_longer_pruned(statement: Statement, results: SweepResults) -> Finding:
    """C4c: with masks dropped, hardly any pruned weight is still zero."""
    connections = results.tables["connections"]
    largest = connections.loc[connections["rule"] == DROPPED, "still_zero_share"].max()
    with_masks = connections.loc[connections["rule"] == KEPT, "still_zero_share"].min()
    return Finding(
        estimate=Interval(largest, largest, largest),
        evidence=f"at most {largest:.2%}; with masks kept at least {with_masks:.0%}",
        datasets=results.usable,
    )


def _stl_loses_less(statement: Statement, results: SweepResults) -> Finding:
    """C5: at high rates STL-10 loses less than both CIFARs; judged at the smallest margin."""
    rates = results.rates(above=statement.parameters["above_rate"])
    if not results.has(statement.datasets) or not rates:
        return _lacking(statement)
    margins = {
        (cifar, rate): _margin_over_stl(results, cifar, rate)
        for cifar in (TEN, HUNDRED)
        for rate in rates
    }
    cifar, rate = min(margins, key=lambda key: margins[key].value)
    smallest = margins[cifar, rate]
    evidence = f"smallest against {cifar} at {rate:.0%}: {smallest.text(2)} points"
    return Finding(estimate=smallest, evidence=evidence)


def _margin_over_stl(results: SweepResults, dataset: str, rate: float) -> Interval:
    """Return how many points more a data set loses than STL-10; each one's images are resampled."""
    losses = results.correctness[dataset].loss(L1, rate)
    losses_of_stl = results.correctness[STL].loss(L1, rate)
    # The mean of two strata of equal weight, with doubled values: the difference of their means.
    values = np.concatenate([2 * losses, -2 * losses_of_stl])
    (interval,) = bootstrap_means(
        values[:, None],
        samples=results.config.bootstrap,
        seed=derive(results.config.seed, "claims"),
        strata=np.repeat([0, 1], [len(losses), len(losses_of_stl)]),
        weights=[0.5, 0.5],
    )
    return interval


def _worst_rate(statement: Statement, results: SweepResults) -> Finding:
    """C6a: little is lost up to a rate; judged at the worst one."""
    (dataset,) = statement.datasets
    rates = results.rates(up_to=statement.parameters["max_rate"])
    if not results.has(statement.datasets) or not rates:
        return _lacking(statement)
    losses = {rate: results.loss(dataset, L1, rate) for rate in rates}
    worst = max(losses, key=lambda rate: losses[rate].value)
    evidence = f"most at {worst:.0%}: {losses[worst].text(2)} points"
    return Finding(estimate=losses[worst], evidence=evidence)


def _loss_at_rate(statement: Statement, results: SweepResults) -> Finding:
    """C6b: the points lost at a rate."""
    (dataset,) = statement.datasets
    rate = statement.parameters["rate"]
    if not results.has(statement.datasets, rate):
        return _lacking(statement)
    loss = results.loss(dataset, L1, rate)
    return Finding(estimate=loss, evidence=f"{loss.text(2)} points")


def _more_than_half(statement: Statement, results: SweepResults) -> Finding:
    """C6c: more than half of the accuracy is lost at a rate."""
    (dataset,) = statement.datasets
    rate = statement.parameters["rate"]
    if not results.has(statement.datasets, rate):
        return _lacking(statement)
    correctness = results.correctness[dataset]
    baseline = 100 * correctness.baseline
    losses = correctness.loss(L1, rate)
    return Finding(
        estimate=results.interval(losses - baseline / 2),
        evidence=f"{losses.mean():.2f} of {baseline.mean():.2f} points",
    )


def _loss_near(statement: Statement, results: SweepResults) -> Finding:
    """C6d: about as many points are lost as printed; untested if the baseline has fewer."""
    (dataset,) = statement.datasets
    rate = statement.parameters["rate"]
    printed = statement.parameters["points_lost"]
    if not results.has(statement.datasets, rate):
        return _lacking(statement)
    loss = results.loss(dataset, L1, rate)
    baseline = results.correctness[dataset].baseline_accuracy
    evidence = f"{loss.text(2)} of {baseline:.2f} points"
    if baseline < printed - statement.limit:
        return Finding(
            estimate=None,
            evidence=f"{evidence}: there are no {printed:g} to lose",
        )
    return Finding(estimate=distance_from(loss, printed), evidence=evidence)


def _accuracy_falls_with_complexity(statement: Statement, results: SweepResults) -> Finding:
    """C7c: the more complex the data, the lower the accuracy of the unpruned network."""
    datasets = results.usable
    if len(datasets) < _MIN_POINTS:
        evidence = f"{len(datasets)} data sets: five are needed for an interval"
        return Finding(
            estimate=None,
            evidence=evidence,
            points=len(datasets),
            datasets=datasets,
        )
    accuracies = [results.correctness[dataset].baseline_accuracy for dataset in datasets]
    complexities = [results.csg(dataset) for dataset in datasets]
    estimate = correlation(complexities, accuracies, "spearman")
    return Finding(
        estimate=_as_interval(estimate),
        evidence=f"{len(datasets)} data sets: {estimate.value:.2f}; interval over data sets",
        points=len(datasets),
        datasets=datasets,
    )
