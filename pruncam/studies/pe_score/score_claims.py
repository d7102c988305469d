"""Findings on the claims about PE, P1 to P4, P5b and P6, and on its relation to accuracy, P9."""

from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np

from pruncam.report.claims import Finding, Statement
from pruncam.statistics import (
    Interval,
    distance_from,
    extreme,
    rank_correlation,
    simultaneous_intervals,
)
from pruncam.studies.paired_scores import PairedScores
from pruncam.studies.pe_score.dataset_models import DatasetModels, Model

_ALL_CAMS = {"grad-cam", "grad-cam++", "ablation-cam"}
_FEWEST = 5  # models that a correlation needs


def untested(reason: str, datasets: tuple[str, ...] = ()) -> Finding:
    """Return the finding on a claim that cannot be tested, with the reason."""
    return Finding(estimate=None, evidence=reason, datasets=datasets)


def pe_falls(statement: Statement, models: DatasetModels) -> Finding:
    """P1: PE falls from rate to rate, from fine-tuning alone on; judged where it falls least."""
    if models.missing:
        return untested(models.missing)
    levels = models.pe_levels()
    falls = models.falls(levels)
    key, estimate = models.scores.extreme(falls, min)
    _, rule, method, low, high = key
    count = sum(fall.mean() > 0 for fall in falls.values())
    start = f"{low:.0%}" if low else "fine-tuning alone"
    evidence = (
        f"{count} of {len(falls)} steps fall; "
        f"least {method}, {rule}, {start} to {high:.0%}: {estimate.text()}{_left_out(models)}"
    )
    # Fine-tuning alone falls by nothing against itself.
    at_chance = models.least_fall_without_order(levels)
    return models.finding(estimate, evidence, at_floor=0, at_chance=at_chance)


def _left_out(models: DatasetModels) -> str:
    """Return the number of collapsed networks in words; empty if there is none."""
    count = len(models.all) - len(models.standing)
    return f"; {count} collapsed networks left out" if count else ""


def rank_of_cam(statement: Statement, models: DatasetModels) -> Finding:
    """P2: PE of one CAM is the highest, or lowest, of every model; judged at the least margin."""
    if models.missing or not _ALL_CAMS.issubset(models.methods):
        return untested(models.missing or "this profile lacks a CAM")
    cam = statement.parameters["method"]
    sign = 1 if statement.parameters["rank"] == "highest" else -1
    others = [method for method in models.methods if method != cam]
    margins = {
        (models.dataset, *model, other): sign * (models.of(model, cam) - models.of(model, other))
        for model in models.standing
        for other in others
    }
    (_, rule, rate, other), estimate = models.scores.extreme(margins, min)
    count = sum(
        all(margins[models.dataset, *model, other].mean() > 0 for other in others)
        for model in models.standing
    )
    evidence = (
        f"{count} of {len(models.standing)} models; "
        f"least margin {rule} {rate:.0%}, to {other}: {estimate.text()}{_left_out(models)}"
    )
    floors = [sign * (models.floor(cam) - models.floor(other)).mean() for other in others]
    chances = [sign * (models.chance(cam) - models.chance(other)).mean() for other in others]
    return models.finding(estimate, evidence, at_floor=min(floors), at_chance=min(chances))


def pe_at_small_loss(statement: Statement, models: DatasetModels) -> Finding:
    """P3: models that lose little have a high PE; judged at the lowest one."""
    method = statement.parameters["method"]
    limit = statement.parameters["max_loss"]
    reason = _reason_against(models, method, statement.limit)
    chosen = [] if reason else [m for m in models.standing if models.loss(m).mean() < limit]
    if not chosen:
        return untested(reason or f"no model loses less than {limit:g} point")
    pes = {(models.dataset, *model): models.of(model, method) for model in chosen}
    _, estimate = models.scores.extreme(pes, min)
    return models.finding(
        estimate,
        _means(models, chosen, method),
        at_floor=models.floor(method).mean(),
        at_chance=models.chance(method).mean(),
    )


def pe_at_large_loss(statement: Statement, models: DatasetModels) -> Finding:
    """P4: models that lose much have the printed PE; judged at the most distant one."""
    method, printed = statement.parameters["method"], statement.parameters["pe"]
    low, high = statement.parameters["losses"]
    reason = _reason_against(models, method, printed, statement.limit)
    chosen = [] if reason else [m for m in models.standing if low <= models.loss(m).mean() <= high]
    if not chosen:
        return untested(reason or f"no model loses {low:g} to {high:g} points")
    pes = {(models.dataset, *model): models.of(model, method) for model in chosen}
    return models.finding(
        models.distance(pes, printed, max),
        _means(models, chosen, method),
        at_floor=abs(models.floor(method).mean() - printed),
        at_chance=abs(models.chance(method).mean() - printed),
    )


def _reason_against(
    models: DatasetModels, method: str, printed: float, tolerance: float = 0.0
) -> str:
    """Return why a printed PE tells nothing about pruning here; empty if it does.

    It must lie between chance and fine-tuning alone: beyond them, no network could hold it.
    """
    if models.missing or method not in models.methods:
        return models.missing or f"this profile does not have {method}"
    floor, chance = models.floor(method).mean(), models.chance(method).mean()
    if printed - tolerance > floor:
        return f"fine-tuning alone, without pruning, has a PE of {floor:.3f} already"
    if printed + tolerance < chance:
        return f"a PE of {chance:.3f} is reached by chance"
    return ""


def _means(models: DatasetModels, chosen: Sequence[Model], method: str) -> str:
    """Return the mean PE of models and of fine-tuning alone in words."""
    means = [
        f"{rule} {rate:.0%} {models.of((rule, rate), method).mean():.3f}" for rule, rate in chosen
    ]
    return f"{', '.join(means)}; fine-tuning alone {models.floor(method).mean():.3f}"


def pe_near(statement: Statement, models: DatasetModels) -> Finding:
    """P5b: PE is about as printed; judged by the nearest CAM."""
    printed = statement.parameters["pe"]
    model = statement.parameters["rule"], statement.parameters["rate"]
    if models.missing or model not in models.all:
        return untested(models.missing or f"this profile does not have {_name(model)}")
    if models.has_collapsed(model):
        accuracy = models.correct(model).mean()
        return untested(f"{_name(model)} has collapsed: {accuracy:.1f} % correct")
    reasons = [
        _reason_against(models, method, printed, statement.limit) for method in models.methods
    ]
    if all(reasons):
        return untested(reasons[0])
    pes = {(models.dataset, method): models.of(model, method) for method in models.methods}
    return models.finding(
        models.distance(pes, printed, min),
        ", ".join(f"{method} {pe.mean():.3f}" for (_, method), pe in pes.items()),
        at_floor=min(abs(models.floor(method).mean() - printed) for method in models.methods),
        at_chance=min(abs(models.chance(method).mean() - printed) for method in models.methods),
    )


def _name(model: Model) -> str:
    return f"{model[0]} at {model[1]:.0%}"


def no_threshold(statement: Statement, datasets: Sequence[DatasetModels]) -> Finding:
    """P6: PE at the largest rate that costs little differs between data sets and CAMs."""
    tested = [models for models in datasets if not models.missing]
    names = tuple(models.dataset for models in tested)
    limit = statement.parameters["max_loss"]
    levels = {
        (models.dataset, *model, method): models.of(model, method)
        for models in tested
        for model in _largest_acceptable(models, limit)
        for method in models.methods
    }
    if len(levels) < 2:
        return untested(f"fewer than two models lose {limit:g} point at most", names)
    scores = tested[0].scores
    intervals = scores.simultaneous(levels)
    bottom = min(intervals, key=lambda key: intervals[key].value)
    top = max(intervals, key=lambda key: intervals[key].value)
    evidence = " to ".join(
        f"{intervals[key].value:.3f} ({key[0]}, {key[1]} {key[2]:.0%}, {key[3]})"
        for key in (bottom, top)
    )
    return Finding(
        estimate=_range(intervals.values()),
        evidence=evidence,
        datasets=names,
        at_floor=_range_at_floor(tested),
        at_chance=_range_by_sampling(scores, levels),
        trainings=scores.trainings_of(names),
    )


def _range(intervals: Collection[Interval]) -> Interval:
    """Return the largest minus the smallest of estimates with simultaneous intervals."""
    high, low = extreme(intervals, max), extreme(intervals, min)
    return Interval(high.value - low.value, high.low - low.high, high.high - low.low)


def _range_at_floor(tested: Sequence[DatasetModels]) -> float:
    """Return the range of PE over data sets and CAM methods if models are only fine-tuned."""
    means = [models.floor(method).mean() for models in tested for method in models.methods]
    return float(np.ptp(means))


def _range_by_sampling(scores: PairedScores, levels: Mapping[tuple, np.ndarray]) -> float:
    """Return the mean range of levels that differ by the sampling of trainings and images alone."""
    deviations = []
    for dataset in dict.fromkeys(key[0] for key in levels):
        arrays = [values for key, values in levels.items() if key[0] == dataset]
        resampled = scores.resampled_means(dataset, arrays)
        deviations.append(resampled - np.array([values.mean() for values in arrays]))
    return float(np.ptp(np.concatenate(deviations, axis=1), axis=1).mean())


def _largest_acceptable(models: DatasetModels, limit: float) -> list[Model]:
    """Return each criterion's model of the largest rate that loses at most `limit` points."""
    largest = {
        rule: rate for rule, rate in models.standing if models.loss((rule, rate)).mean() <= limit
    }
    return list(largest.items())


def strong_relation(statement: Statement, models: DatasetModels) -> Finding:
    """P9a: models of lower PE have a lower accuracy; judged by the CAM of the weakest relation."""
    return _relation(models, lambda correlations: extreme(correlations, min))


def no_relation(statement: Statement, models: DatasetModels) -> Finding:
    """P9b: accuracy does not follow PE; judged by the CAM of the strongest relation."""
    return _relation(
        models, lambda found: extreme([distance_from(each, 0.0) for each in found], max)
    )


def _relation(models: DatasetModels, judge: Callable[[Sequence[Interval]], Interval]) -> Finding:
    if models.missing:
        return untested(models.missing)
    if len(models.standing) < _FEWEST:
        return untested(f"fewer than {_FEWEST} networks have not collapsed")
    correlations = relation_by_cam(models)
    each = ", ".join(f"{method} {found.text(2)}" for method, found in correlations.items())
    evidence = f"{len(models.standing)} networks: {each}{_left_out(models)}"
    # Neither networks that differ by fine-tuning alone nor random ones have a relation.
    return models.finding(judge(list(correlations.values())), evidence, at_floor=0, at_chance=0)


def relation_by_cam(models: DatasetModels) -> dict[str, Interval]:
    """Return Spearman's correlation of accuracy and PE over the standing models, by CAM method.

    The intervals resample trainings and images and hold for all CAM methods at once. In a sample
    without an order the correlation counts as 0.
    """
    count = len(models.standing)
    arrays = [models.correct(model) for model in models.standing]
    arrays += [models.of(model, method) for method in models.methods for model in models.standing]
    means = np.array([array.mean() for array in arrays])
    resampled = models.scores.resampled_means(models.dataset, arrays)
    samples = np.stack([_correlations(row, count) for row in resampled])
    intervals = simultaneous_intervals(_correlations(means, count), samples)
    bounded = [Interval(i.value, max(i.low, -1.0), min(i.high, 1.0)) for i in intervals]
    return dict(zip(models.methods, bounded, strict=True))


def _correlations(means: np.ndarray, count: int) -> np.ndarray:
    """Return the correlation of the first `count` means, accuracies, with each later group."""
    accuracy, *pes = means.reshape(-1, count)
    return rank_correlation(accuracy, pes, undefined=0.0)
