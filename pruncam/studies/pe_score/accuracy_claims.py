"""Findings on the claims about accuracy, of P5, P7 and P8, in points."""

import numpy as np

from pruncam.report.claims import Finding, Statement
from pruncam.statistics import distance_from, extreme
from pruncam.studies.pe_score.dataset_models import DatasetModels
from pruncam.studies.pe_score.score_claims import untested


def accuracy_falls(statement: Statement, models: DatasetModels) -> Finding:
    """P7a: accuracy falls with the rate; judged where it falls least."""
    if not models.standing:
        return _lacks(models)
    levels = models.accuracy_levels()
    falls = models.falls(levels)
    (_, rule, low, high), estimate = models.scores.extreme(falls, min)
    count = sum(fall.mean() > 0 for fall in falls.values())
    evidence = (
        f"{count} of {len(falls)} steps fall; "
        f"least {rule}, {low:.0%} to {high:.0%}: {estimate.text(2)} points"
    )
    return models.finding(
        estimate,
        evidence,
        at_floor=min(models.floor_loss, 0.0),
        at_chance=models.least_fall_without_order(levels),
    )


def accuracy_rises(statement: Statement, models: DatasetModels) -> Finding:
    """P5a: accuracy rises somewhere; judged at the largest rise."""
    if not models.standing:
        return _lacks(models)
    levels = models.accuracy_levels()
    rises = {key: -fall for key, fall in models.falls(levels).items()}
    key, estimate = models.scores.extreme(rises, max)
    _, rule, low, high = key
    error = models.scores.resampled_means(models.dataset, [rises[key]]).std(ddof=1)
    size = f", {estimate.value / error:.1f} standard errors" if error > 0 else ""
    count = sum(rise.mean() > 0 for rise in rises.values())
    evidence = (
        f"{count} of {len(rises)} steps rise; "
        f"largest {rule}, {low:.0%} to {high:.0%}: {estimate.value:.2f} points{size}"
    )
    return models.finding(
        estimate,
        evidence,
        at_floor=max(-models.floor_loss, 0.0),
        at_chance=-models.least_fall_without_order(levels),
    )


def above_baseline(statement: Statement, models: DatasetModels) -> Finding:
    """P5c: accuracy is above the unpruned network's; judged at the rate where it is least."""
    chosen = [(statement.parameters["rule"], rate) for rate in statement.parameters["rates"]]
    if not set(chosen) <= set(models.all):
        return _lacks(models)
    gains = {(models.dataset, *model): -models.loss(model) for model in chosen}
    _, estimate = models.scores.extreme(gains, min)
    evidence = ", ".join(f"{rate:.0%} {gain.mean():+.2f}" for (_, _, rate), gain in gains.items())
    return models.finding(
        estimate,
        f"{evidence} points; fine-tuning alone {-models.floor_loss:+.2f}",
        at_floor=-models.floor_loss,
        at_chance=-models.chance_loss,
    )


def gain_near(statement: Statement, models: DatasetModels) -> Finding:
    """P5d: accuracy is above the unpruned network's by about the printed points."""
    model = statement.parameters["rule"], statement.parameters["rate"]
    if model not in models.all:
        return _lacks(models)
    gain = models.scores.interval(-models.loss(model))
    printed = statement.parameters["gain"]
    return models.finding(
        distance_from(gain, printed),
        f"{gain.text(2)} points; fine-tuning alone {-models.floor_loss:+.2f}",
        at_floor=abs(-models.floor_loss - printed),
        at_chance=abs(-models.chance_loss - printed),
    )


def small_loss(statement: Statement, models: DatasetModels) -> Finding:
    """P7e: up to a rate, both criteria cost little; judged at the largest loss."""
    chosen = [model for model in models.all if model[1] <= statement.parameters["max_rate"]]
    if not chosen:
        return _lacks(models)
    losses = {(models.dataset, *model): models.loss(model) for model in chosen}
    (_, rule, rate), estimate = models.scores.extreme(losses, max)
    return models.finding(
        estimate,
        f"most with {rule} at {rate:.0%}: {estimate.text(2)} points",
        at_floor=models.floor_loss,
        at_chance=models.chance_loss,
    )


def loss_near(statement: Statement, models: DatasetModels) -> Finding:
    """P7f: a rate costs about the printed points; judged by the more distant criterion."""
    chosen = [model for model in models.all if model[1] == statement.parameters["rate"]]
    if not chosen:
        return _lacks(models)
    losses = {(models.dataset, *model): models.loss(model) for model in chosen}
    printed = statement.parameters["loss"]
    intervals = models.scores.simultaneous(losses).values()
    return models.finding(
        extreme([distance_from(interval, printed) for interval in intervals], max),
        ", ".join(f"{rule} {loss.mean():.2f} points" for (_, rule, _), loss in losses.items()),
        at_floor=abs(models.floor_loss - printed),
        at_chance=abs(models.chance_loss - printed),
    )


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
