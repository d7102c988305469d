"""Findings on the claims about CSG: C3, and the first part of C7.

Statements, criteria and limits are in `published/claims/csg.yaml`. Intervals are over the draws of
samples; the same draw of two settings has the same samples, or some more of them.
"""

from collections.abc import Collection

import numpy as np
import pandas as pd

from pruncam.report.claims import Finding, Statement
from pruncam.statistics import Interval, t_interval
from pruncam.studies.csg.experiment import SPLITS
from pruncam.studies.csg.raw_draws import SYMBOLS, RawDraws


def findings(
    statements: dict[str, Statement],
    draws: RawDraws,
    pools: pd.DataFrame,
    stand_ins: Collection[str],
) -> dict[str, Finding]:
    """Return the findings on claims C3a to C7b.

    `pools` is the table of `pool_tables.pools`; `stand_ins` are the paper's data sets for which
    other images stand in.
    """
    return {
        "C3a": _order(statements["C3a"], draws),
        "C3b": _order(statements["C3b"], draws),
        "C3c": _test_above_train(statements["C3c"], draws),
        "C3d": _fluctuation(statements["C3d"], draws, pools),
        "C7a": _dependence(statements["C7a"], draws, stand_ins),
        "C7b": _dependence(statements["C7b"], draws, stand_ins),
    }


def _order(statement: Statement, draws: RawDraws) -> Finding:
    """C3a, C3b: one data set is less complex than the next; judged on the split of less margin."""
    low, high = statement.datasets
    if not {low, high}.issubset(draws.datasets):
        return _untested(draws, f"this profile lacks {low} or {high}")
    margins = {}
    for split in SPLITS:
        difference = draws.values(high, split) - draws.values(low, split)
        margins[split] = t_interval(difference)
    split = min(margins, key=lambda name: margins[name].value)
    relative = [f"{draws.relative(dataset):.2f} ({dataset})" for dataset in (low, high)]
    evidence = (
        f"smaller on {split}: {interval_text(margins[split])}; "
        f"CSG/(K-1) of the training splits {' and '.join(relative)}"
    )
    return _finding(draws, margins[split], evidence)


def _test_above_train(statement: Statement, draws: RawDraws) -> Finding:
    """C3c: the test split is more complex; judged on the data set where it is least so."""
    datasets = [dataset for dataset in statement.datasets if dataset in draws.datasets]
    if not datasets:
        return _untested(draws, "this profile lacks all three data sets")
    gaps = {dataset: t_interval(draws.gap(dataset)) for dataset in datasets}
    smallest = min(gaps.values(), key=lambda gap: gap.value)
    evidence = "; ".join(f"{dataset} {interval_text(gap)}" for dataset, gap in gaps.items())
    return _finding(draws, smallest, evidence, datasets)


def _fluctuation(statement: Statement, draws: RawDraws, pools: pd.DataFrame) -> Finding:
    """C3d: the gap between the splits is a fluctuation of the samples.

    The evidence also has the splits in pools of the same size.
    """
    (dataset,) = statement.datasets
    if dataset not in draws.datasets:
        return _untested(draws, f"this profile lacks {dataset}")
    train, test = draws.values(dataset, "train"), draws.values(dataset, "test")
    variances = [train.var(ddof=1), test.var(ddof=1)]
    sd = np.sqrt(np.mean(variances))
    if sd < 1e-9:
        return _untested(draws, "every image is a sample: nothing fluctuates")
    gap = t_interval(draws.gap(dataset) / sd)
    distance = gap
    if gap.value < 0:
        distance = Interval(-gap.value, -gap.high, -gap.low)
    equal_pools = _equal_pools_text(pools[pools["dataset"] == dataset])
    evidence = f"{interval_text(gap)} sd of one draw ({sd:.3f}); {equal_pools}"
    return _finding(draws, distance, evidence)


def _equal_pools_text(pools: pd.DataFrame) -> str:
    """Return the CSG of the two splits in the largest pools that both have, in words."""
    table = pools.pivot_table(index="pool", columns="split", values="csg")
    table = table.reindex(columns=SPLITS).dropna()
    if table.empty:
        return "no pools of one size"
    size = table.index[-1]
    train, test = table.loc[size]
    return f"in pools of {size:,} images of a class {train:.2f} (train) and {test:.2f} (test)"


def _dependence(
    statement: Statement,
    draws: RawDraws,
    stand_ins: Collection[str],
) -> Finding:
    """C7: another k, or M, changes CSG little; judged where it changes most.

    On the papers' own data sets if there are any, else on their stand-ins.
    """
    setting = statement.parameters["setting"]
    symbol = SYMBOLS[setting]
    originals = [name for name in draws.datasets if name not in stand_ins]
    datasets = originals or draws.datasets
    changes = _changes(draws, datasets, setting)
    if not changes:
        return _untested(draws, f"only one {symbol} was tried", datasets)
    largest = max(changes, key=lambda key: changes[key].value)
    dataset, split, value = largest
    evidence = (
        f"most on {dataset}, {split}, "
        f"from {symbol} = {draws.own_value(setting)} to {value}: "
        f"{interval_text(changes[largest])}; {_same_order_text(draws, setting)}"
    )
    return _finding(draws, changes[largest], evidence, datasets)


def _changes(
    draws: RawDraws,
    datasets: Collection[str],
    setting: str,
) -> dict[tuple[str, str, int], Interval]:
    """Return by which share other values of a setting change CSG.

    By data set, split and value.
    """
    changes = {}
    for dataset in datasets:
        for split in SPLITS:
            base = draws.values(dataset, split)
            if not base.mean() > 0:
                continue
            for value in draws.other_values(setting):
                change = draws.values(dataset, split, **{setting: value}) - base
                sign = np.sign(change.mean() or 1)
                changes[dataset, split, value] = t_interval(change * sign / base.mean())
    return changes


def _same_order_text(draws: RawDraws, setting: str) -> str:
    """Return with how many values the data sets come in the same order, in words."""
    orders = []
    for value in (draws.own_value(setting), *draws.other_values(setting)):
        means = {}
        for dataset in draws.datasets:
            csg = draws.values(dataset, "train", **{setting: value})
            means[dataset] = csg.mean()
        orders.append(sorted(means, key=lambda dataset: means[dataset]))
    same = sum(order == orders[0] for order in orders)
    datasets = len(draws.datasets)
    return f"{same} of {len(orders)} settings put the {datasets} data sets in the same order"


def _finding(
    draws: RawDraws,
    estimate: Interval | None,
    evidence: str,
    datasets: Collection[str] = (),
) -> Finding:
    return Finding(
        estimate=estimate,
        evidence=evidence,
        points=draws.config.draws,
        datasets=tuple(datasets),
    )


def _untested(
    draws: RawDraws,
    reason: str,
    datasets: Collection[str] = (),
) -> Finding:
    return _finding(draws, None, reason, datasets)


def interval_text(interval: Interval) -> str:
    """Return an estimate and its interval in words; says so if all draws agree."""
    if interval.high - interval.low < 1e-9:
        return f"{interval.value:.3f} (no spread)"
    return interval.text()
