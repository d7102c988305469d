"""Findings on the claims of the thesis.

Statements, criteria and limits are in `published/claims/mnist_iou.yaml`. Intervals are over levels
for I1, and over the seeds of the thesis for all others.
"""

import math

import pandas as pd

from pruncam.report.claims import Finding, Statement
from pruncam.statistics import Interval, correlation, t_interval
from pruncam.studies.mnist_iou.analysis import BASE, WORKING, rows_of, working
from pruncam.studies.mnist_iou.config import MnistIouConfig

_FEWEST = 5  # levels of a correlation


def findings(
    statements: dict[str, Statement],
    config: MnistIouConfig,
    by_level: pd.DataFrame,
    level_table: pd.DataFrame,
    losses: pd.DataFrame,
) -> dict[str, Finding]:
    """Return the findings on claims I1 to I4, from the tables of `analysis`."""
    base = rows_of(level_table, BASE, config.seeds)
    return {
        "I1": _strong_correlation(by_level),
        "I2": _rise(statements["I2"], base),
        "I3a": _loss(statements["I3a"], config, losses),
        "I3b": _loss(statements["I3b"], config, losses),
        "I4a": _change_of_heatmaps(statements["I4a"], base),
        "I4b": _change_of_heatmaps(statements["I4b"], base),
        "I4c": _rise_on_other_image(statements["I4c"], base),
    }


def _strong_correlation(by_level: pd.DataFrame) -> Finding:
    """I1: mean IoU and mean accuracy correlate over the levels."""
    levels = len(by_level)
    if levels < _FEWEST:
        return Finding(estimate=None, evidence=f"{levels} levels are too few", points=levels)
    pearson = correlation(by_level["iou"], by_level["accuracy_noisy"])
    spearman = correlation(by_level["iou"], by_level["accuracy_noisy"], "spearman")
    estimate = Interval(pearson.value, pearson.low, pearson.high)
    evidence = (
        f"Pearson {estimate.text()} over {levels} levels "
        f"(df {pearson.df}, p {_p_value_text(pearson.p_value)}); Spearman {spearman.value:.2f}"
    )
    return Finding(
        estimate=estimate, evidence=evidence + _correlation_of_working(by_level), points=levels
    )


def _correlation_of_working(by_level: pd.DataFrame) -> str:
    """Return the correlations over the levels that still work, in words."""
    table = working(by_level)
    if len(table) < _FEWEST:
        return ""
    pearson = correlation(table["iou"], table["accuracy_noisy"]).value
    spearman = correlation(table["iou"], table["accuracy_noisy"], "spearman").value
    return (
        f"; over the {len(table)} levels above {WORKING:.0f} % accuracy "
        f"{pearson:.2f} and {spearman:.2f}"
    )


def _rise(statement: Statement, base: pd.DataFrame) -> Finding:
    """I2: IoU rises over the first levels."""
    change = _change(base, statement)
    if change is None:
        return _too_few_levels(statement, base)
    before, after = statement.parameters["levels"]
    means = base.groupby("level")["iou"].mean()
    evidence = (
        f"change {change.text()}, from {means[before]:.3f} to {means[after]:.3f}; "
        f"highest at level {means.idxmax()}"
    )
    return Finding(estimate=change, evidence=evidence, points=_seeds(base))


def _loss(statement: Statement, config: MnistIouConfig, losses: pd.DataFrame) -> Finding:
    """I3: a sparse network loses nothing; judged at the first level that is sparse enough."""
    points = len(config.seeds)
    column = statement.parameters["column"]
    quantity, unit = statement.parameters["quantity"], statement.parameters["unit"]
    sparse = losses[losses["sparsity"] >= statement.parameters["sparsity"]]
    if sparse.empty:
        return Finding(estimate=None, evidence="no network is that sparse", points=points)
    first = sparse.iloc[0]
    if math.isnan(first[column]):
        evidence = f"there is no {quantity} at level 0 to lose"
        return Finding(estimate=None, evidence=evidence, points=points)
    estimate = Interval(first[column], first[f"{column}_low"], first[f"{column}_high"])
    is_within = (losses[column] <= statement.limit).cummin()
    last_within = losses[is_within].iloc[-1]
    evidence = (
        f"loss {estimate.text(2)} {unit} at level {first['level']:.0f} "
        f"({first['sparsity']:.2%} sparse); within {statement.limit:g} {unit} "
        f"up to level {last_within['level']:.0f} ({last_within['sparsity']:.1%})"
    )
    return Finding(estimate=estimate, evidence=evidence, points=points)


def _change_of_heatmaps(statement: Statement, base: pd.DataFrame) -> Finding:
    """I4a, I4b: sparse networks' heatmaps are blurrier, early ones more often inverted."""
    change = _change(base, statement)
    if change is None:
        return _too_few_levels(statement, base)
    column = statement.parameters["column"]
    means = base.groupby("level")[column].mean()
    levels = sorted(statement.parameters["levels"])
    values = ", ".join(f"{means[level]:.3f} at level {level}" for level in levels)
    evidence = f"{values}; change {change.text()}"
    return Finding(estimate=change, evidence=evidence, points=_seeds(base))


def _rise_on_other_image(statement: Statement, base: pd.DataFrame) -> Finding:
    """I4c: the share of the rise that remains if every heatmap is laid on another image."""
    rise = _change(base, statement)
    if rise is None:
        return _too_few_levels(statement, base)
    before, after = statement.parameters["levels"]
    if not rise.low > 0:
        evidence = f"no rise of IoU from level {before} to {after} is shown (change {rise.text()})"
        return Finding(estimate=None, evidence=evidence, points=_seeds(base))
    on_other_image = _changes(base, "iou_other_image", before, after)
    on_own_image = _changes(base, "iou", before, after)
    share = on_other_image / on_own_image
    estimate = t_interval(share.to_numpy())
    evidence = f"laid on another image, {estimate.text()} of the rise is still there"
    return Finding(estimate=estimate, evidence=evidence, points=_seeds(base))


def _change(base: pd.DataFrame, statement: Statement) -> Interval | None:
    """Return the change of a mean score between two levels; None if there are too few levels."""
    before, after = statement.parameters["levels"]
    if max(before, after) > base["level"].max():
        return None
    changes = _changes(base, statement.parameters["column"], before, after)
    return t_interval(changes.to_numpy())


def _changes(
    base: pd.DataFrame,
    column: str,
    before: int,
    after: int,
) -> pd.Series:
    """Return the change of a score between two levels, by seed."""
    by_level = base.pivot_table(index="seed", columns="level", values=column)
    return by_level[after] - by_level[before]


def _too_few_levels(statement: Statement, base: pd.DataFrame) -> Finding:
    levels = max(statement.parameters["levels"])
    evidence = f"the study has fewer than {levels} levels"
    return Finding(estimate=None, evidence=evidence, points=_seeds(base))


def _seeds(base: pd.DataFrame) -> int:
    return base["seed"].nunique()


def _p_value_text(value: float) -> str:
    return "< .001" if value < 0.001 else f"= {value:.3f}"
