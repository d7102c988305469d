"""Findings on the claims of the complexity paper about pruning.

Statements, criteria and limits are in `published/claims/sweeps.yaml`. Claim C3, and the claim that
CSG depends little on its settings, belong to the study `csg`. Intervals resample trainings and test
images; those of the worst or best of several models are simultaneous. Correlations over data sets
have an interval over data sets, which needs five of them.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise, permutations

import numpy as np

from pruncam.report.claims import Finding, Statement
from pruncam.statistics import Interval, correlation, distance_from, rank_correlation
from pruncam.studies.sweeps import published
from pruncam.studies.sweeps.analysis import BEYOND, LOSSES, OURS, READINGS
from pruncam.studies.sweeps.experiment import DROPPED, KEPT
from pruncam.studies.sweeps.resampling import Resampled, mean, select_extreme
from pruncam.studies.sweeps.results import SweepResults

TEN = "CIFAR-10"
HUNDRED = "CIFAR-100"
STL = "STL-10"
_MIN_POINTS = 5  # data sets, for the interval of a correlation
_MIN_RATES = 3  # for the order of losses
_NOTHING_LOST = 0.0  # by the unpruned network, compared with itself
_NO_RELATION = 0.0  # the correlation of what is not related, or of losses that are all 0
_UNITS = {"acc_drop": "points", "relative_loss": "of what was above guessing"}


def findings(statements: Mapping[str, Statement], results: SweepResults) -> dict[str, Finding]:
    """Return the findings on claims C1, C2, C4 to C6 and the second half of C7."""
    functions: dict[str, Callable[[Statement, SweepResults], Finding]] = {
        "C1": _little_lost,
        "C2a": _rises_with_complexity,
        "C2b": _correlates_with_complexity,
        "C2c": _correlates_with_complexity,
        "C2d": _rises_with_complexity,
        "C2e": _correlates_with_complexity,
        "C2f": _correlates_with_complexity,
        "C4a": _accuracy_returns,
        "C4b": _loss_still_shows,
        "C4c": _no_longer_pruned,
        "C5": _stl_loses_less,
        "C5b": _stl_loses_less,
        "C5c": _cifars_lose_alike,
        "C6a": _worst_rate,
        "C6b": _near_the_printed,
        "C6c": _near_the_printed,
        "C6d": _near_the_printed,
        "C6e": _near_the_printed,
        "C7c": _accuracy_falls_with_complexity,
    }
    return {name: functions[name](statement, results) for name, statement in statements.items()}


def _lacking(statement: Statement) -> Finding:
    names = ", ".join(statement.datasets)
    return Finding(
        estimate=None,
        evidence=f"this profile does not have {names} at these rates",
    )


# ---------------------------------------------------------------- C1 and C2


def _little_lost(statement: Statement, results: SweepResults) -> Finding:
    """C1: at low rates nothing is lost; judged on the worst data set and rate."""
    rates = results.rates(up_to=statement.parameters["max_rate"])
    if not results.has(statement.datasets) or not rates:
        return _lacking(statement)
    further = [name for name in results.accuracies if name not in statement.datasets]
    (dataset, rate), worst = _most_lost(results, statement.datasets, rates)
    evidence = f"most on {dataset} at {rate:.0%}: {worst.text(2)} points"
    if further:
        (other, rate), loss = _most_lost(results, further, rates)
        evidence += f"; of the further sets on {other} at {rate:.0%}: {loss.text(2)}"
    return Finding(
        estimate=worst,
        evidence=evidence,
        at_floor=_NOTHING_LOST,
        at_chance=max(results.loss_at_chance(name) for name in statement.datasets),
        trainings=results.trainings(statement.datasets),
    )


def _most_lost(
    results: SweepResults,
    datasets: Sequence[str],
    rates: Sequence[float],
) -> tuple[tuple[str, float], Interval]:
    """Return the data set and rate at which most points are lost, and how many."""
    losses = {(name, rate): results.loss(name, rate) for name in datasets for rate in rates}
    return select_extreme(losses, max)


def _rises_with_complexity(statement: Statement, results: SweepResults) -> Finding:
    """C2a, C2d: the loss rises from each of the three data sets to the next in order of CSG."""
    rates = results.rates(above=BEYOND)
    if not results.has(statement.datasets) or not rates:
        return _lacking(statement)
    measure = statement.parameters["loss"]
    order = sorted(statement.datasets, key=results.csg)
    losses = {name: results.mean_loss(name, rates, measure) for name in order}
    values = [loss.value for loss in losses.values()]
    if not np.isfinite(values).all():
        return _only_guesses(statement)
    steps = {pair: losses[pair[1]] - losses[pair[0]] for pair in pairwise(order)}
    (first, second), smallest = select_extreme(steps, min)
    ranking = " < ".join(
        f"{name} (CSG {results.csg(name):.2f}, lost {loss.value:.2f})"
        for name, loss in losses.items()
    )
    return Finding(
        estimate=smallest,
        evidence=f"{ranking}; least from {first} to {second}: {smallest.text(2)} {_UNITS[measure]}",
        at_floor=_NOTHING_LOST,
        at_chance=_smallest_step_in_any_order(values),
        trainings=results.trainings(statement.datasets),
    )


def _only_guesses(statement: Statement) -> Finding:
    evidence = f"a network of {', '.join(statement.datasets)} only guesses: it has nothing to lose"
    return Finding(estimate=None, evidence=evidence)


def _smallest_step_in_any_order(values: Sequence[float]) -> float:
    """Return the smallest step between neighbours, the mean of all orders of the values."""
    return float(np.mean([np.diff(order).min() for order in permutations(values)]))


def _correlates_with_complexity(statement: Statement, results: SweepResults) -> Finding:
    """C2b, C2c, C2e, C2f: the correlation over all usable data sets, as its table has it."""
    table = results.tables["correlations"]
    is_reading = table["reading"] == READINGS[statement.parameters["reading"]]
    is_loss = table["loss"] == LOSSES[statement.parameters["loss"]]
    is_mean = table["rate"].str.startswith("mean")
    rows = table[(table["source"] == OURS) & is_reading & is_loss & is_mean]
    if rows.empty:
        evidence = "this profile has no rates beyond 30 % or no baseline that is good enough"
        return Finding(estimate=None, evidence=evidence, points=0, datasets=results.usable)
    row = rows.iloc[0]
    is_known = not math.isnan(row["low"])
    ending = "interval over data sets" if is_known else "five are needed for an interval"
    return Finding(
        estimate=Interval(row["spearman"], row["low"], row["high"]) if is_known else None,
        evidence=f"{row['data_sets']} data sets: {row['spearman']:.2f}; {ending}",
        points=row["data_sets"],
        datasets=results.usable,
        at_floor=_NO_RELATION,
        at_chance=_NO_RELATION,
        trainings=results.trainings(results.usable),
    )


# ---------------------------------------------------------------- C4: after fine-tuning


def _accuracy_returns(statement: Statement, results: SweepResults) -> Finding:
    """C4a: what pruning cost comes back with the masks dropped; judged on the best model.

    Only models count that lost much by pruning: the others have nothing to regain.
    """
    if not results.has(statement.datasets):
        return _lacking(statement)
    least = statement.parameters["lost_before"]
    before = {
        (name, rate): results.loss(name, rate).value
        for name in statement.datasets
        for rate in results.config.rates
    }
    after = {key: results.loss_after(*key) for key, loss in before.items() if loss >= least}
    finetuning = {name: results.loss_by_finetuning(name) for name in statement.datasets}
    if not after:
        evidence = f"no model lost {least:g} points by pruning: there is nothing to regain"
        return Finding(estimate=None, evidence=evidence)
    (dataset, rate), best = select_extreme(after, min)
    alone = ", ".join(f"{name} {loss:.2f}" for name, loss in finetuning.items())
    return Finding(
        estimate=best,
        evidence=f"of {len(after)} models that lost {least:g} points or more, least on {dataset} "
        f"at {rate:.0%}: {before[dataset, rate]:.2f} before, {best.text(2)} after; "
        f"fine-tuning alone: {alone}",
        at_floor=min(finetuning.values()),
        at_chance=min(before[key] for key in after),
        trainings=results.trainings(statement.datasets),
    )


def _loss_still_shows(statement: Statement, results: SweepResults) -> Finding:
    """C4b: the losses before and after fine-tuning correlate; judged on the weakest data set."""
    if not results.has(statement.datasets):
        return _lacking(statement)
    if len(results.config.rates) < _MIN_RATES:
        return Finding(estimate=None, evidence="fewer than three rates")
    by_dataset = {name: _before_and_after(results, name) for name in statement.datasets}
    _, weakest = select_extreme(by_dataset, min)
    return Finding(
        estimate=Interval(weakest.value, max(weakest.low, -1.0), min(weakest.high, 1.0)),
        evidence="; ".join(f"{name} {each.value:.2f}" for name, each in by_dataset.items()),
        at_floor=_NO_RELATION,
        at_chance=_NO_RELATION,
        trainings=results.trainings(statement.datasets),
    )


def _before_and_after(results: SweepResults, dataset: str) -> Resampled:
    """Return Spearman's correlation over rates of the losses before and after fine-tuning.

    The rates of one network are no independent draws, so its interval resamples trainings and
    images. Losses that are all the same have no order: 0.
    """
    rates = results.config.rates
    before = [results.loss(dataset, rate) for rate in rates]
    after = [results.loss_after(dataset, rate) for rate in rates]
    samples_before = np.stack([loss.samples for loss in before], axis=1)
    samples_after = np.stack([loss.samples for loss in after], axis=1)
    pairs = zip(samples_before, samples_after, strict=True)
    value = _rank_correlation([loss.value for loss in before], [loss.value for loss in after])
    return Resampled(value, np.array([_rank_correlation(x, y) for x, y in pairs]))


def _rank_correlation(x: Sequence[float], y: Sequence[float]) -> float:
    return float(rank_correlation(x, [y], undefined=_NO_RELATION)[0])


def _no_longer_pruned(statement: Statement, results: SweepResults) -> Finding:
    """C4c: with masks dropped, hardly any pruned weight is still zero."""
    connections = results.tables["connections"]
    of_dropped = connections[connections["rule"] == DROPPED]
    of_kept = connections[connections["rule"] == KEPT]
    largest = float(of_dropped["still_zero_share"].max())
    with_masks = float(of_kept["still_zero_share"].min())
    return Finding(
        estimate=Interval(largest, largest, largest),
        evidence=f"at most {largest:.2%}; with masks kept at least {with_masks:.0%}",
        datasets=results.usable,
        at_floor=float(of_dropped["zero_unpruned_share"].max()),
        at_chance=with_masks,
    )


# ---------------------------------------------------------------- C5 and C6: named data sets


def _stl_loses_less(statement: Statement, results: SweepResults) -> Finding:
    """C5: at high rates STL-10 loses less than both CIFARs; judged at the smallest margin."""
    rates = results.rates(above=statement.parameters["above_rate"])
    if not results.has(statement.datasets) or not rates:
        return _lacking(statement)
    measure = statement.parameters["loss"]
    of_stl = {rate: results.loss(STL, rate, measure) for rate in rates}
    margins = {
        (cifar, rate): results.loss(cifar, rate, measure) - of_stl[rate]
        for cifar in (TEN, HUNDRED)
        for rate in rates
    }
    if not np.isfinite([margin.value for margin in margins.values()]).all():
        return _only_guesses(statement)
    (cifar, rate), smallest = select_extreme(margins, min)
    at_chance = {name: results.loss_at_chance(name, measure) for name in statement.datasets}
    return Finding(
        estimate=smallest,
        evidence=f"smallest against {cifar} at {rate:.0%}: {smallest.text(2)} {_UNITS[measure]}",
        at_floor=_NOTHING_LOST,
        at_chance=min(at_chance[TEN], at_chance[HUNDRED]) - at_chance[STL],
        trainings=results.trainings(statement.datasets),
    )


def _cifars_lose_alike(statement: Statement, results: SweepResults) -> Finding:
    """C5c: the losses of the CIFARs are nearer to each other than either is to STL-10's."""
    rates = results.config.rates
    if not results.has(statement.datasets):
        return _lacking(statement)

    def apart(first: str, second: str) -> Resampled:
        return mean(abs(results.loss(first, rate) - results.loss(second, rate)) for rate in rates)

    between = apart(TEN, HUNDRED)
    to_stl = {name: apart(name, STL) for name in (TEN, HUNDRED)}
    nearer, largest = select_extreme({name: between - to_stl[name] for name in to_stl}, max)
    at_chance = {name: results.loss_at_chance(name) for name in statement.datasets}
    of_stl = min(abs(at_chance[name] - at_chance[STL]) for name in to_stl)
    return Finding(
        estimate=largest,
        evidence=f"{between.value:.2f} points between the CIFARs, {to_stl[nearer].value:.2f} "
        f"between {nearer} and STL-10: {largest.text(2)}",
        at_floor=_NOTHING_LOST,
        at_chance=abs(at_chance[TEN] - at_chance[HUNDRED]) - of_stl,
        trainings=results.trainings(statement.datasets),
    )


def _worst_rate(statement: Statement, results: SweepResults) -> Finding:
    """C6a: little is lost up to a rate; judged at the worst one."""
    (dataset,) = statement.datasets
    rates = results.rates(up_to=statement.parameters["max_rate"])
    if not results.has(statement.datasets) or not rates:
        return _lacking(statement)
    (_, rate), worst = _most_lost(results, statement.datasets, rates)
    return Finding(
        estimate=worst,
        evidence=f"most at {rate:.0%}: {worst.text(2)} points",
        at_floor=_NOTHING_LOST,
        at_chance=results.loss_at_chance(dataset),
        trainings=results.trainings(statement.datasets),
    )


def _near_the_printed(statement: Statement, results: SweepResults) -> Finding:
    """C6b to C6e: about as much is lost at a rate as printed, neither less nor more."""
    (dataset,) = statement.datasets
    rate = statement.parameters["rate"]
    printed = statement.parameters["printed"]
    measure = statement.parameters["loss"]
    if not results.has(statement.datasets, rate):
        return _lacking(statement)
    loss = results.loss(dataset, rate, measure).interval
    if math.isnan(loss.value):
        return _only_guesses(statement)
    accuracies = results.accuracies[dataset]
    points = f"{results.loss(dataset, rate).value:.2f} of {accuracies.baseline.value:.2f} points"
    return Finding(
        estimate=distance_from(loss, printed),
        evidence=f"{loss.text(2)}, printed {printed:g}; {points}",
        at_floor=abs(_NOTHING_LOST - printed),
        at_chance=abs(results.loss_at_chance(dataset, measure) - printed),
        trainings=results.trainings(statement.datasets),
    )


# ---------------------------------------------------------------- C7


def _accuracy_falls_with_complexity(statement: Statement, results: SweepResults) -> Finding:
    """C7c: the more complex the data, the lower the accuracy of the unpruned network."""
    datasets = results.usable
    counterexample = _printed_counterexample()
    if len(datasets) < _MIN_POINTS:
        evidence = f"{len(datasets)} data sets: five are needed for an interval; {counterexample}"
        return Finding(estimate=None, evidence=evidence, points=len(datasets), datasets=datasets)
    accuracies = [results.accuracies[name].baseline.value for name in datasets]
    complexities = [results.csg(name) for name in datasets]
    estimate = correlation(complexities, accuracies, "spearman")
    return Finding(
        estimate=Interval(estimate.value, estimate.low, estimate.high),
        evidence=f"{len(datasets)} data sets: {estimate.value:.2f}; interval over data sets; "
        f"{counterexample}",
        points=len(datasets),
        datasets=datasets,
        at_floor=_NO_RELATION,
        at_chance=_NO_RELATION,
        trainings=results.trainings(datasets),
    )


def _printed_counterexample() -> str:
    """Return the paper's own data sets that go against C7c, in words."""
    table = published.published()
    values = table[table["rate"] == 0].set_index(["dataset", "quantity"])["value"]
    printed = " and ".join(
        f"{name} CSG {values[name, 'csg']:.2f} with {values[name, 'accuracy']:.2f} %"
        for name in (STL, TEN)
    )
    return f"the paper itself prints {printed}"
