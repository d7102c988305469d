"""Findings on the claims of the thesis.

Statements, criteria and limits are in `published/claims/mnist_iou.yaml`. Intervals are over the
trainings, each with its chain of pruned networks.

Every criterion has two references. Floor: in the place of a pruned network stands the unpruned one
of another training. Chance: every heatmap is laid on another image, or the network guesses.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from pruncam.report.claims import Claim, Finding, Statement
from pruncam.statistics import Interval, proportion_interval, t_interval
from pruncam.studies.mnist_iou.analysis import WORKING, accuracy_loss, relative_loss
from pruncam.studies.mnist_iou.chains import (
    ACCURACY,
    FEWEST,
    Chains,
    loss_between_trainings,
    mean_correlation,
)
from pruncam.studies.mnist_iou.cuts import CUTS
from pruncam.studies.mnist_iou.significance import SIGNIFICANCE, shapiro_wilk

_CONTROL = "iou_other_image"  # every heatmap laid on another image
_BY_CHANCE = {"iou": _CONTROL, "iou_above_chance": None}  # None: chance is zero by definition
_OUTCOMES = {"reproduced": "met", "not reproduced": "not met"}


def findings(statements: Mapping[str, Statement], chains: Chains) -> dict[str, Finding]:
    """Return the findings on claims I1 to I5 from the chains of two or more seeds.

    A single training is no evidence: nothing is tested.
    """
    if len(chains) < 2:
        reason = "a single training says nothing about the next"
        return dict.fromkeys(statements, _untested(reason))
    functions: dict[str, Callable[[Statement, Chains], Finding]] = {
        "I1": _correlation,
        "I1b": _correlation_of_working,
        "I1c": _correlation_above_chance,
        "I1d": _correlation,
        "I2": _rise,
        "I3a": _loss_of_accuracy,
        "I3b": _loss_of_iou,
        "I3c": _kept_above_chance,
        "I4a": _change_of_heatmaps,
        "I4b": _change_of_heatmaps,
        "I4c": _rise_on_other_image,
        "I4d": _change_of_heatmaps,
        "I5": _not_normal,
    }
    return {name: functions[name](statement, chains) for name, statement in statements.items()}


def with_thesis_seeds(
    found: Mapping[str, Finding], of_thesis: Mapping[str, Finding], seeds: int
) -> dict[str, Finding]:
    """Return findings whose evidence also has the estimate from the thesis's seeds alone."""
    result = {}
    for name, finding in found.items():
        estimate = of_thesis[name].estimate
        text = "not tested" if estimate is None else estimate.text()
        evidence = f"{finding.evidence}; the thesis's {seeds} seeds alone: {text}"
        result[name] = dataclasses.replace(finding, evidence=evidence)
    return result


def with_left_out_seeds(
    found: Mapping[str, Finding],
    statements: Mapping[str, Statement],
    chains: Chains,
) -> dict[str, Finding]:
    """Return findings whose evidence also says without how many seeds the verdict is the same.

    `found` are the findings from all chains; each seed is left out once.
    """
    fewer = [findings(statements, chains.without(seed)) for seed in chains.seeds]
    result = dict(found)
    for name, finding in found.items():
        if finding.estimate is None:
            continue
        verdicts = [
            Claim(statement=statements[name], finding=each).verdict
            for each in (finding, *(of_fewer[name] for of_fewer in fewer))
        ]
        same = verdicts.count(verdicts[0]) - 1
        text = f"with one seed left out the same verdict in {same} of {len(fewer)} cases"
        result[name] = dataclasses.replace(finding, evidence=f"{finding.evidence}; {text}")
    return result


def estimates(
    statements: Mapping[str, Statement], series: Mapping[str, Mapping[str, Finding]]
) -> pd.DataFrame:
    """Return a row per claim and series of trainings: the estimate and what it says.

    `series` maps names, such as "MNIST, all seeds", to findings. `outcome`: whether the criterion
    is "met", "not met", "undecided" or "not tested here".
    """
    rows = []
    for name, statement in statements.items():
        for title, found in series.items():
            finding = found[name]
            estimate = finding.estimate or Interval(math.nan, math.nan, math.nan)
            verdict = Claim(statement=statement, finding=finding).verdict
            rows.append(
                {
                    "claim": name,
                    "series": title,
                    "trainings": finding.trainings,
                    "value": estimate.value,
                    "low": estimate.low,
                    "high": estimate.high,
                    "relation": statement.relation,
                    "limit": statement.limit,
                    "outcome": _OUTCOMES.get(verdict, verdict),
                    "at_floor": finding.at_floor,
                    "at_chance": finding.at_chance,
                }
            )
    return pd.DataFrame(rows)


def _untested(reason: str, trainings: int = 1) -> Finding:
    return Finding(estimate=None, evidence=reason, points=trainings, trainings=trainings)


def _tested(
    estimate: Interval,
    evidence: str,
    trainings: int,
    *,
    floor: float,
    chance: float,
) -> Finding:
    """Return a finding whose interval is over trainings."""
    return Finding(
        estimate=estimate,
        evidence=evidence,
        points=trainings,
        trainings=trainings,
        at_floor=floor,
        at_chance=chance,
    )


def _correlation(statement: Statement, chains: Chains) -> Finding:
    """I1, I1d: a score and accuracy correlate over all levels."""
    column, method = statement.parameters["column"], statement.parameters["method"]
    by_seed = chains.correlations(column, method)
    estimate = mean_correlation(by_seed)
    count = int((~np.isnan(by_seed)).sum())
    if count < 2:
        return _untested(f"{count} seeds have {FEWEST} levels of different IoU", len(chains))
    of_means = chains.correlation_of_means(column, method)
    low, high = np.nanmin(by_seed), np.nanmax(by_seed)
    chance = _correlation_by_chance(chains, column, method)
    nonempty = mean_correlation(chains.correlations(f"{column}_nonempty", method))
    evidence = (
        f"{method.capitalize()} {estimate.text(2)}, single seeds {low:.2f} to {high:.2f}, of the "
        f"seeds' means {of_means:.2f}; without empty maps {_text(nonempty)}; with another image "
        f"{chance:.2f}"
    )
    return _tested(
        estimate,
        evidence,
        count,
        floor=chains.correlation_of_unpruned(column, method),
        chance=chance,
    )


def _correlation_above_chance(statement: Statement, chains: Chains) -> Finding:
    """I1c: the IoU above chance and accuracy correlate over all levels.

    Where nothing is above chance to begin with, nothing can follow accuracy: the evidence also has
    the correlation of the other seeds.
    """
    finding = _correlation(statement, chains)
    if finding.estimate is None:
        return finding
    column, method = statement.parameters["column"], statement.parameters["method"]
    is_above = chains.scores(column)[:, 0] > 0
    above = mean_correlation(chains.correlations(column, method)[is_above])
    evidence = (
        f"{finding.evidence}; of the {is_above.sum()} seeds of {len(chains)} whose IoU is above "
        f"chance at level 0 {_text(above)}"
    )
    return dataclasses.replace(finding, evidence=evidence)


def _text(correlation: Interval) -> str:
    """Return a mean correlation with its interval in words."""
    return "undefined" if math.isnan(correlation.low) else correlation.text(2)


def _correlation_by_chance(
    chains: Chains,
    column: str,
    method: str,
    above: float = 0.0,
) -> float:
    """Return the mean correlation where every heatmap is laid on another image.

    Of a score above chance nothing remains then, and without a score there is no correlation: 0.
    """
    control = _BY_CHANCE[column]
    if control is None:
        return 0.0
    value = mean_correlation(chains.correlations(control, method, above)).value
    return 0.0 if math.isnan(value) else value


def _correlation_of_working(statement: Statement, chains: Chains) -> Finding:
    """I1b: IoU and accuracy correlate among networks that work, wherever one cuts."""
    column, method = statement.parameters["column"], statement.parameters["method"]
    cuts = [cut - chains.lowered for cut in CUTS if cut]
    by_cut = {cut: mean_correlation(chains.correlations(column, method, cut)) for cut in cuts}
    defined = {cut: bound for cut, bound in by_cut.items() if not math.isnan(bound.low)}
    main_cut = WORKING - chains.lowered
    if main_cut not in defined:
        reason = f"fewer than two seeds have {FEWEST} levels above {main_cut:.0f} % accuracy"
        return _untested(reason, len(chains))
    low = min(bound.low for bound in defined.values())
    high = max(bound.high for bound in defined.values())
    texts = [f"{cut:.0f} %: {bound.text(2)}" for cut, bound in defined.items()]
    chance = _correlation_by_chance(chains, column, method, main_cut)
    nonempty = mean_correlation(chains.correlations(f"{column}_nonempty", method, main_cut))
    evidence = (
        f"{', '.join(texts)}; above {main_cut:.0f} % without empty maps {_text(nonempty)}, with "
        f"another image {chance:.2f}"
    )
    count = int((~np.isnan(chains.correlations(column, method, main_cut))).sum())
    return _tested(
        Interval(defined[main_cut].value, low, high),
        evidence,
        count,
        floor=chains.correlation_of_unpruned(column, method),
        chance=chance,
    )


def _rise(statement: Statement, chains: Chains) -> Finding:
    """I2: IoU rises over the first levels; the evidence has the neighbouring levels, too."""
    before, after = statement.parameters["levels"]
    if after > chains.last_level:
        return _too_few_levels(statement, chains)
    change = t_interval(chains.change("iou", before, after))
    means = chains.scores("iou").mean(axis=0)
    control = chains.scores(_CONTROL)[:, before] - chains.scores("iou")[:, before]
    near = [level for level in (after - 1, after, after + 1) if level <= chains.last_level]
    texts = [f"{level}: {t_interval(chains.change('iou', before, level)).text()}" for level in near]
    evidence = (
        f"change to level {', '.join(texts)}; from {means[before]:.3f} to {means[after]:.3f}, "
        f"highest at level {means.argmax()}"
    )
    return _tested(
        change,
        evidence,
        len(chains),
        floor=0.0,  # the differences between trainings cancel over all pairs
        chance=float(control.mean()),
    )


def _loss_of_accuracy(statement: Statement, chains: Chains) -> Finding:
    """I3a: a sparse network loses no accuracy; judged at the first level that is sparse enough."""
    to_guessing = chains.scores(ACCURACY)[:, 0].mean() - chains.guessing
    finding = _loss(statement, chains, accuracy_loss(chains), "points")
    # The losses from one training to another cancel over all pairs.
    return dataclasses.replace(finding, at_floor=0.0, at_chance=float(to_guessing))


def _loss_of_iou(statement: Statement, chains: Chains) -> Finding:
    """I3b: a sparse network loses no IoU."""
    losses = relative_loss(chains, "iou")
    if np.isnan(losses).any():
        return _untested("there is no IoU at level 0 to lose", len(chains))
    start, control = chains.scores("iou")[:, 0], chains.scores(_CONTROL)[:, 0]
    finding = _loss(statement, chains, losses, "%")
    return dataclasses.replace(
        finding,
        at_floor=loss_between_trainings(start),
        at_chance=float(np.mean(100 * (1 - control / start))),
    )


def _loss(
    statement: Statement,
    chains: Chains,
    losses: np.ndarray,
    unit: str,
) -> Finding:
    """Return the finding on losses (seeds, levels) at the first level of a sparsity."""
    level = _sparse_level(statement, chains)
    if level is None:
        return _untested("no network is that sparse", len(chains))
    sparsity = chains.sparsity
    estimate = t_interval(losses[:, level])
    is_beyond = losses.mean(axis=0) > statement.limit
    last_within = int(is_beyond.argmax()) - 1 if is_beyond.any() else chains.last_level
    limit_unit = unit.removesuffix("s") if statement.limit == 1 else unit
    evidence = (
        f"loss {estimate.text(2)} {unit} at level {level} ({sparsity[level]:.2%} sparse); within "
        f"{statement.limit:g} {limit_unit} up to level {last_within} ({sparsity[last_within]:.1%})"
    )
    count = len(chains)
    return Finding(estimate=estimate, evidence=evidence, points=count, trainings=count)


def _kept_above_chance(statement: Statement, chains: Chains) -> Finding:
    """I3c: a sparse network keeps the part of its IoU that depends on the image."""
    level = _sparse_level(statement, chains)
    if level is None:
        return _untested("no network is that sparse", len(chains))
    above_chance = chains.scores("iou_above_chance")
    start = t_interval(above_chance[:, 0])
    if not start.low > 0:
        reason = f"IoU is not shown to be above chance at level 0 ({start.text()})"
        return _untested(reason, len(chains))
    share = statement.parameters["kept"]
    estimate = t_interval(above_chance[:, level] - share * above_chance[:, 0])
    evidence = (
        f"IoU above chance {start.text()} at level 0, {above_chance[:, level].mean():.3f} at level "
        f"{level}; minus {share:.0%} of the former {estimate.text()}"
    )
    return _tested(
        estimate,
        evidence,
        len(chains),
        floor=(1 - share) * start.value,
        chance=-share * start.value,
    )


def _sparse_level(statement: Statement, chains: Chains) -> int | None:
    """Return the first level of the statement's sparsity; None if no network is that sparse."""
    is_sparse = chains.sparsity >= statement.parameters["sparsity"]
    return int(is_sparse.argmax()) if is_sparse.any() else None


def _change_of_heatmaps(statement: Statement, chains: Chains) -> Finding:
    """I4a, I4b, I4d: a mean over the heatmaps changes between two levels."""
    column = statement.parameters["column"]
    before, after = statement.parameters["levels"]
    if max(before, after) > chains.last_level:
        return _too_few_levels(statement, chains)
    change = t_interval(chains.change(column, before, after))
    means = chains.scores(column).mean(axis=0)
    values = [f"{means[level]:.3f} at level {level}" for level in sorted((before, after))]
    return _tested(
        change,
        f"{', '.join(values)}; change {change.text()}",
        len(chains),
        floor=0.0,  # the differences between trainings cancel over all pairs
        chance=0.0,  # of heatmaps that do not depend on the level
    )


def _rise_on_other_image(statement: Statement, chains: Chains) -> Finding:
    """I4c: more than half of the rise remains if every heatmap is laid on another image."""
    before, after = statement.parameters["levels"]
    if after > chains.last_level:
        return _too_few_levels(statement, chains)
    own = chains.change("iou", before, after)
    rise = t_interval(own)
    if not rise.low > 0:
        reason = f"no rise of IoU from level {before} to {after} is shown (change {rise.text()})"
        return _untested(reason, len(chains))
    control = chains.change(_CONTROL, before, after)
    estimate = t_interval(control - own / 2)
    share = control.mean() / own.mean()
    evidence = (
        f"IoU rises by {rise.text()}, laid on another image by {control.mean():.3f} "
        f"({share:.0%} of that); the latter minus half of the former {estimate.text()}"
    )
    return _tested(
        estimate,
        evidence,
        len(chains),
        floor=0.0,  # without pruning nothing rises
        chance=float((control - control / 2).mean()),
    )


def _not_normal(statement: Statement, chains: Chains) -> Finding:
    """I5: Shapiro and Wilk's test rejects normality of both series in most seeds."""
    scores = ("iou", ACCURACY)
    p_values = [
        [shapiro_wilk(series)[1] for series in pair]
        for pair in zip(*(chains.scores(score) for score in scores), strict=True)
    ]
    if np.isnan(p_values).any():
        return _untested("a series is constant or has fewer than three levels", len(chains))
    is_rejected = np.array(p_values) <= SIGNIFICANCE
    rejected = int(is_rejected.all(axis=1).sum())
    means = [shapiro_wilk(chains.scores(score).mean(axis=0)) for score in scores]
    texts = [f"W {w:.2f} (p {_p_value_text(p_value)})" for w, p_value in means]
    evidence = (
        f"both rejected in {rejected} of {len(chains)} seeds; of the seeds' means {texts[0]} for "
        f"IoU and {texts[1]} for accuracy"
    )
    return _tested(
        proportion_interval(rejected, len(chains)),
        evidence,
        len(chains),
        # The share of normal samples that the test rejects, with pruning or without.
        floor=SIGNIFICANCE,
        chance=SIGNIFICANCE,
    )


def _too_few_levels(statement: Statement, chains: Chains) -> Finding:
    levels: Sequence[int] = statement.parameters["levels"]
    return _untested(f"the study has fewer than {max(levels)} levels", len(chains))


def _p_value_text(value: float) -> str:
    return "< .001" if value < 0.001 else f"= {value:.3f}"
