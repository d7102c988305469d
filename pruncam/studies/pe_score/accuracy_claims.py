"""Findings on the claims about accuracy, of P5, P7 and P8, in points."""

from collections.abc import Mapping

import numpy as np

from pruncam.report.claims import Finding, Statement
from pruncam.statistics import distance_from
from pruncam.studies.pe_score.dataset_models import DatasetModels
from pruncam.studies.pe_score.score_claims import untested

_STEPS = {"fall": (1, min), "rise": (-1, max)}  # sign of a fall, and which step is judged


def accuracy_step(statement: Statement, models: DatasetModels) -> Finding:
    """P5a, P7a: accuracy rises from one rate to the next, or falls; judged at the extreme step.

    That is the largest of the rises, since one is enough, but the smallest of the falls.
    """
    if not models.standing:
        return _lacks(models)
    step = statement.parameters["step"]
    sign, select = _STEPS[step]
    levels = models.accuracy_levels()
    steps = {key: sign * fall for key, fall in models.falls(levels).items()}
    key, estimate = models.scores.extreme(steps, select)
    _, rule, low, high = key
    count = sum(change.mean() > 0 for change in steps.values())
    error = models.scores.resampled_means(models.dataset, [steps[key]]).std(ddof=1)
    size = f", {estimate.value / error:.1f} standard errors" if error > 0 else ""
    evidence = (
        f"{count} of {len(steps)} steps {step}; "
        f"judged: {rule}, {low:.0%} to {high:.0%}: {estimate.text(2)} points{size}"
    )
    return models.finding(
        estimate,
        evidence,
        at_floor=select(sign * models.floor_loss, 0.0),
        at_chance=sign * models.least_fall_without_order(levels),
    )


def largest_loss(statement: Statement, models: DatasetModels) -> Finding:
    """P5c, P7e: networks lose little, or nothing; judged by the one that loses most."""
    losses = _losses(statement, models)
    if not losses:
        return _lacks(models)
    _, estimate = models.scores.extreme(losses, max)
    return models.finding(
        estimate,
        f"most {estimate.text(2)}; {_points_lost(losses, models)}",
        at_floor=models.floor_loss,
        at_chance=models.chance_loss,
    )


def loss_near(statement: Statement, models: DatasetModels) -> Finding:
    """P5d, P7f: networks lose about the printed points; judged by the most distant one."""
    losses = _losses(statement, models)
    if not losses:
        return _lacks(models)
    printed = statement.parameters["loss"]
    return models.finding(
        models.distance(losses, printed, max),
        _points_lost(losses, models),
        at_floor=abs(models.floor_loss - printed),
        at_chance=abs(models.chance_loss - printed),
    )


def _losses(statement: Statement, models: DatasetModels) -> dict[tuple, np.ndarray]:
    """Return the points lost by the networks that a statement is about, none if one is missing.

    They are those of its `rates`, and of its `rule` or, without one, of all of the paper's.
    """
    rule = statement.parameters.get("rule")
    rules = models.rules if rule is None else [rule]
    chosen = [(rule, rate) for rule in rules for rate in statement.parameters["rates"]]
    if not set(chosen) <= set(models.all):
        return {}
    return {(models.dataset, *model): models.loss(model) for model in chosen}


def _points_lost(losses: Mapping[tuple, np.ndarray], models: DatasetModels) -> str:
    """Return the points that each network loses, and fine-tuning alone, in words."""
    each = [f"{rule} at {rate:.0%} {loss.mean():.2f}" for (_, rule, rate), loss in losses.items()]
    return f"points lost: {', '.join(each)}; fine-tuning alone {models.floor_loss:.2f}"


def cost_of_approximation(statement: Statement, models: DatasetModels) -> Finding:
    """P8: the accuracy that SeNPIS-Faster costs against full SeNPIS, mean of the rates.

    Only of rates at which neither has collapsed.
    """
    exact, approximation = statement.parameters["rule"], statement.parameters["approximation"]
    rates = models.scores.config.rates
    if not all(models.scores.has(models.dataset, rule, *rates) for rule in (exact, approximation)):
        return untested(f"this profile does not prune with full {exact}")
    both = [((exact, rate), (approximation, rate)) for rate in rates]
    both = [pair for pair in both if not any(map(models.has_collapsed, pair))]
    if not both:
        return untested(f"{exact} or {approximation} has collapsed at every rate")
    costs = [models.loss(faster) - models.loss(full) for full, faster in both]
    cost = models.scores.interval(np.mean(costs, axis=0))
    printed = statement.parameters["cost"]
    guessing = models.chance_loss - np.mean([models.loss(full).mean() for full, _ in both])
    return models.finding(
        distance_from(cost, printed),
        f"{cost.text(2)} points, mean of {len(both)} rates",
        at_floor=abs(printed),  # a network costs nothing against itself
        at_chance=abs(guessing - printed),
    )


def _lacks(models: DatasetModels) -> Finding:
    return untested(
        models.missing or f"this profile does not have these models of {models.dataset}"
    )
