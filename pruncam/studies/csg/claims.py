"""Findings on the claims about CSG: C3, and the first part of C7.

Statements, criteria and limits are in `published/claims/csg.yaml`. Intervals are over the draws of
samples and pools; the same draw of two settings has the same samples, or some more of them. Draws
are few, so intervals are Student's; a claim about the smallest or largest of several estimates uses
intervals that hold for all of them (Bonferroni).

Claims that compare a data set with itself (C3c, C3d, C7a, C7b) are judged on one group of data
sets: those whose images are the paper's, re-encoded or not (`RawDraws.judged`). The splits are
compared in pools of one size.

A criterion's value at the floor compares two halves of the draws of the same images, at chance it
is computed with shuffled labels.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np

from pruncam.report.claims import Finding, Statement
from pruncam.statistics import Interval, distance_from, extreme, t_interval
from pruncam.studies.csg.experiment import SPLITS
from pruncam.studies.csg.pool_tables import difference_of_pools
from pruncam.studies.csg.raw_draws import SYMBOLS, RawDraws

Cell = tuple[str, str, int]  # data set, split, and value of a setting


def findings(
    statements: dict[str, Statement],
    draws: RawDraws,
    shuffled: RawDraws,
) -> dict[str, Finding]:
    """Return the findings on claims C3a to C7b.

    `draws` have the images' own labels, `shuffled` have shuffled ones.
    """
    return {
        "C3a": _order(statements["C3a"], draws, shuffled),
        "C3b": _order(statements["C3b"], draws, shuffled),
        "C3c": _test_above_train(statements["C3c"], draws, shuffled),
        "C3d": _fluctuation(statements["C3d"], draws, shuffled),
        "C7a": _dependence(statements["C7a"], draws, shuffled),
        "C7b": _dependence(statements["C7b"], draws, shuffled),
    }


# ---------------------------------------------------------------- C3: order of sets and splits


def _order(statement: Statement, draws: RawDraws, shuffled: RawDraws) -> Finding:
    """C3a, C3b: one data set is less complex than the next; judged on the split of less margin."""
    low, high = statement.datasets
    if not {low, high}.issubset(draws.datasets):
        return _untested(draws, f"this profile lacks {low} or {high}")
    margins = _margins(draws, low, high)
    split = min(margins, key=lambda name: margins[name].value)
    relative = [f"{draws.relative(dataset):.2f} ({dataset})" for dataset in (low, high)]
    evidence = (
        f"smaller on {split}: {interval_text(margins[split])}; "
        f"CSG/(K-1) of the training splits {' and '.join(relative)}"
    )
    floor = [_difference_of_halves(draws.values(high, split)) for split in SPLITS]
    chance = [margin.value for margin in _margins(shuffled, low, high).values()]
    return _finding(
        draws,
        extreme(margins.values(), min),
        evidence,
        at_floor=min(floor),
        at_chance=min(chance),
    )


def _margins(draws: RawDraws, low: str, high: str) -> dict[str, Interval]:
    """Return by how much the CSG of one data set is above the other's, by split."""
    confidence = _confidence(len(SPLITS))
    return {
        split: t_interval(
            draws.values(high, split) - draws.values(low, split),
            confidence=confidence,
        )
        for split in SPLITS
    }


def _test_above_train(statement: Statement, draws: RawDraws, shuffled: RawDraws) -> Finding:
    """C3c: the test split is more complex than as many training images, on every data set."""
    datasets = draws.judged(name for name in statement.datasets if name in draws.pools)
    if not datasets:
        return _untested(draws, f"no pools of the splits of {' or '.join(statement.datasets)}")
    gaps = _gaps_of_pools(draws, datasets)
    parts = [
        f"{dataset} {interval_text(gap)}, of the whole splits "
        f"{interval_text(t_interval(draws.gap(dataset)))}"
        for dataset, gap in gaps.items()
    ]
    floor = [_difference_of_halves(draws.pools[dataset]["train"]) for dataset in datasets]
    chance = [gap.value for gap in _gaps_of_pools(shuffled, datasets).values()]
    finding = _finding(
        draws,
        extreme(gaps.values(), min),
        "; ".join(parts),
        datasets=datasets,
        at_floor=min(floor),
        at_chance=min(chance),
    )
    return _about_named_images(finding, draws)


def _gaps_of_pools(draws: RawDraws, datasets: Collection[str]) -> dict[str, Interval]:
    """Return the CSG of the test split minus the training split in pools of one size."""
    confidence = _confidence(len(datasets))
    pools = {dataset: draws.pools[dataset] for dataset in datasets}
    return {
        dataset: difference_of_pools(csg["test"], csg["train"], confidence)
        for dataset, csg in pools.items()
    }


def _fluctuation(statement: Statement, draws: RawDraws, shuffled: RawDraws) -> Finding:
    """C3d: the gap between the splits, in pools of one size, is a fluctuation of the samples."""
    datasets = draws.judged(name for name in statement.datasets if name in draws.pools)
    if not datasets:
        return _untested(draws, f"no pools of the splits of {' or '.join(statement.datasets)}")
    (dataset,) = datasets
    pools, chance = draws.pools[dataset], shuffled.pools[dataset]
    sd = _sd_of_a_difference(pools)
    if sd < 1e-9:
        return _untested(draws, "every image is a sample: nothing fluctuates")
    gap = difference_of_pools(pools["test"], pools["train"])
    train_sd = pools["train"].std(ddof=1)
    finding = _finding(
        draws,
        distance_from(_in_units(gap, sd), 0.0),
        f"{interval_text(_in_units(gap, sd))} sd of a difference of two draws ({sd:.3f}): "
        f"{interval_text(gap)} of CSG; of the whole splits {_whole_gap_text(draws, dataset)}",
        datasets=datasets,
        at_floor=abs(_difference_of_halves(pools["train"])) / max(np.sqrt(2) * train_sd, 1e-9),
        at_chance=abs(chance["test"].mean() - chance["train"].mean())
        / max(_sd_of_a_difference(chance), 1e-9),
    )
    return _about_named_images(finding, draws)


def _sd_of_a_difference(csgs: Mapping[str, np.ndarray]) -> float:
    """Return the standard deviation of one draw of the test split minus one of the training one."""
    variances = [csgs[split].var(ddof=1) for split in SPLITS]
    return float(np.sqrt(sum(variances)))


def _in_units(interval: Interval, unit: float) -> Interval:
    return Interval(interval.value / unit, interval.low / unit, interval.high / unit)


def _whole_gap_text(draws: RawDraws, dataset: str) -> str:
    """Return the gap of the whole splits in sd of a difference of two draws, in words."""
    sd = _sd_of_a_difference({split: draws.values(dataset, split) for split in SPLITS})
    gap = t_interval(draws.gap(dataset))
    return f"{interval_text(_in_units(gap, max(sd, 1e-9)))} sd"


# ---------------------------------------------------------------- C7: dependence on k and M


def _dependence(statement: Statement, draws: RawDraws, shuffled: RawDraws) -> Finding:
    """C7: another k, or M, changes CSG/(K-1) little; judged where it changes most."""
    setting = statement.parameters["setting"]
    datasets = draws.judged(draws.datasets)
    if not draws.other_values(setting):
        return _untested(draws, f"only one {SYMBOLS[setting]} was tried", datasets)
    changes = _changes(draws, datasets, setting)
    chance = _changes(shuffled, datasets, setting)
    parts = [
        _largest_text(draws, changes, setting),
        _other_images_text(draws, datasets, setting),
        _largest_share_text(draws, datasets, setting),
        _same_order_text(draws, setting),
    ]
    return _finding(
        draws,
        extreme(changes.values(), max),
        "; ".join(part for part in parts if part),
        datasets=datasets,
        at_floor=_largest_difference_of_halves(draws, datasets),
        at_chance=max(change.value for change in chance.values()),
    )


def _changes(draws: RawDraws, datasets: Collection[str], setting: str) -> dict[Cell, Interval]:
    """Return by how much other values of a setting change CSG/(K-1), in absolute value."""
    values = draws.other_values(setting)
    confidence = _confidence(len(datasets) * len(SPLITS) * len(values))
    changes = {}
    for dataset in datasets:
        for split in SPLITS:
            base = draws.values(dataset, split)
            for value in values:
                change = draws.values(dataset, split, **{setting: value}) - base
                change = t_interval(change / draws.largest(dataset), confidence=confidence)
                changes[dataset, split, value] = distance_from(change, 0.0)
    return changes


def _largest_difference_of_halves(draws: RawDraws, datasets: Collection[str]) -> float:
    """Return by how much CSG/(K-1) differs most between two halves of the draws."""
    differences = [
        abs(_difference_of_halves(draws.values(dataset, split))) / draws.largest(dataset)
        for dataset in datasets
        for split in SPLITS
    ]
    return max(differences)


def _largest_text(draws: RawDraws, changes: Mapping[Cell, Interval], setting: str) -> str:
    """Return where CSG/(K-1) changes most, in words."""
    largest = max(changes, key=lambda cell: changes[cell].value)
    dataset, split, value = largest
    return (
        f"most on {dataset}, {split}, from {SYMBOLS[setting]} = {draws.own_value(setting)} "
        f"to {value}: {interval_text(changes[largest])}"
    )


def _other_images_text(draws: RawDraws, datasets: Collection[str], setting: str) -> str:
    """Return where CSG/(K-1) changes most on the data sets that are not judged, in words."""
    others = [name for name in draws.datasets if name not in datasets]
    if not others:
        return ""
    return f"with stand-ins {_largest_text(draws, _changes(draws, others, setting), setting)}"


def _largest_share_text(draws: RawDraws, datasets: Collection[str], setting: str) -> str:
    """Return by which share of itself CSG changes most, in words."""
    shares = {}
    for (dataset, split, value), change in _changes(draws, datasets, setting).items():
        base = draws.values(dataset, split).mean() / draws.largest(dataset)
        if base > 0:
            shares[dataset, split, value] = change.value / base
    if not shares:
        return ""
    largest = max(shares, key=lambda cell: shares[cell])
    dataset, split, value = largest
    place = f"{dataset}, {split}, {SYMBOLS[setting]} = {value}"
    return f"as a share of CSG itself at most {shares[largest]:.0%} ({place})"


def _same_order_text(draws: RawDraws, setting: str) -> str:
    """Return with how many values the data sets come in the same order, in words."""
    counts = {
        "CSG": _same_orders(draws, setting, dict.fromkeys(draws.datasets, 1)),
        "CSG/(K-1)": _same_orders(draws, setting, {n: draws.largest(n) for n in draws.datasets}),
    }
    settings = 1 + len(draws.other_values(setting))
    texts = [f"by {name} in {same} of {settings} settings" for name, same in counts.items()]
    return f"the {len(draws.datasets)} data sets keep their order {', '.join(texts)}"


def _same_orders(draws: RawDraws, setting: str, units: Mapping[str, int]) -> int:
    """Return with how many values the data sets come in the order of the study's own value.

    Ordered by the mean CSG of the training split in units of the data set.
    """
    orders = []
    for value in (draws.own_value(setting), *draws.other_values(setting)):
        means = {
            dataset: draws.values(dataset, "train", **{setting: value}).mean() / unit
            for dataset, unit in units.items()
        }
        orders.append(sorted(means, key=lambda dataset: means[dataset]))
    return sum(order == orders[0] for order in orders)


# ---------------------------------------------------------------- findings


def _confidence(estimates: int) -> float:
    """Return the confidence of each of several intervals that hold at once with 95 %."""
    return 1 - 0.05 / estimates


def _difference_of_halves(values: np.ndarray) -> float:
    """Return the mean of every second draw minus that of the others."""
    return float(values[::2].mean() - values[1::2].mean())


def _finding(
    draws: RawDraws,
    estimate: Interval | None,
    evidence: str,
    *,
    datasets: Collection[str] = (),
    at_floor: float = np.nan,
    at_chance: float = np.nan,
) -> Finding:
    """Return a finding that rests on draws; nothing is trained for it."""
    return Finding(
        estimate=estimate,
        evidence=evidence,
        points=draws.config.draws,
        datasets=tuple(datasets),
        at_floor=at_floor,
        at_chance=at_chance,
        trainings=0,
    )


def _about_named_images(finding: Finding, draws: RawDraws) -> Finding:
    """Return a finding that tests nothing if other images stand in for the named ones.

    Re-encoded images are the named ones: the two splits of a data set can still be compared.
    """
    others = [name for name in finding.datasets if name not in draws.same_data]
    if not others:
        return finding
    reason = f"about {' and '.join(others)}, for which other images stand in"
    return replace(finding, estimate=None, evidence=f"{reason}; else: {finding.evidence}")


def _untested(
    draws: RawDraws,
    reason: str,
    datasets: Collection[str] = (),
) -> Finding:
    return _finding(draws, None, reason, datasets=datasets)


def interval_text(interval: Interval) -> str:
    """Return an estimate and its interval in words; says so if all draws agree."""
    if interval.high - interval.low < 1e-9:
        return f"{interval.value:.3f} (no spread)"
    return interval.text()
