"""Findings on the claims of the PE-score paper.

Statements, criteria and limits are in `published/claims/pe_score.yaml`. Intervals resample images:
all models see the same ones.
"""

from collections.abc import Callable, Mapping
from itertools import pairwise

import numpy as np
import pandas as pd

from pruncam.report.claims import Finding, Statement
from pruncam.statistics import Interval, distance_from
from pruncam.studies.paired_scores import PairedScores
from pruncam.studies.pe_score.config import FASTER, WEIGHT, PeScoreConfig

_ALL_CAMS = {"grad-cam", "grad-cam++", "ablation-cam"}
_CRITERIA = (WEIGHT, FASTER)  # those of the paper's figures
Model = tuple[str, float]  # criterion and rate


def scores(config: PeScoreConfig, rows: pd.DataFrame) -> PairedScores:
    """Return the scores with one more, "correct": 100 for a correctly classified image, else 0."""
    is_correct = rows["pruned_prediction"] == rows["label"]
    return PairedScores(config, rows.assign(correct=100 * is_correct.astype(float)))


def findings(statements: Mapping[str, Statement], scores: PairedScores) -> dict[str, Finding]:
    """Return the findings on claims P1 to P8."""
    functions: dict[str, Callable[[Statement, PairedScores], Finding]] = {
        "P1a": _pe_falls,
        "P1b": _pe_falls,
        "P2a": _highest_cam,
        "P2b": _lowest_cam,
        "P3": _pe_at_small_loss,
        "P4": _pe_at_large_loss,
        "P5a": _accuracy_rises,
        "P5b": _pe_near,
        "P6": _no_threshold,
        "P7a": _accuracy_falls,
        "P7b": _map_overlap,
        "P7c": _map_overlap,
        "P8": _cost_of_approximation,
    }
    return {name: functions[name](statement, scores) for name, statement in statements.items()}


def _untested(reason: str) -> Finding:
    return Finding(estimate=None, evidence=reason)


def _criteria(scores: PairedScores, dataset: str) -> list[str]:
    """Return the criteria that were run at every rate."""
    return [rule for rule in _CRITERIA if scores.has(dataset, rule, *scores.config.rates)]


def _models(scores: PairedScores, dataset: str) -> list[Model]:
    """Return the models of these criteria."""
    rates = scores.config.rates
    return [(rule, rate) for rule in _criteria(scores, dataset) for rate in rates]


def _pe(
    scores: PairedScores,
    dataset: str,
    model: Model,
    method: str,
) -> np.ndarray:
    """Return PE by image."""
    rule, rate = model
    return scores.of(dataset, rule, rate, method, "pe")


def _correct(
    scores: PairedScores,
    dataset: str,
    model: Model,
) -> np.ndarray:
    """Return 100 for every image that the model classifies correctly, else 0."""
    rule, rate = model
    return scores.of(dataset, rule, rate, scores.config.methods[0], "correct")


def _baseline_correct(scores: PairedScores, dataset: str) -> np.ndarray:
    """Return the same for the unpruned model."""
    rows = scores.rows[scores.rows["dataset"] == dataset]
    once = rows.drop_duplicates("image").sort_values("image")
    return 100.0 * (once["baseline_prediction"] == once["label"]).to_numpy()


def _accuracy_loss(scores: PairedScores, dataset: str, model: Model) -> float:
    """Return how many points the model's accuracy is below the unpruned model's."""
    baseline = _baseline_correct(scores, dataset).mean()
    return float(baseline - _correct(scores, dataset, model).mean())


def _accuracy_changes(scores: PairedScores, dataset: str) -> dict[Model, np.ndarray]:
    """Return each model's change of accuracy by image from the next lower rate, first unpruned."""
    changes = {}
    rates = scores.config.rates
    for rule in _criteria(scores, dataset):
        pruned = [_correct(scores, dataset, (rule, rate)) for rate in rates]
        steps = pairwise([_baseline_correct(scores, dataset), *pruned])
        for rate, (before, after) in zip(rates, steps, strict=True):
            changes[rule, rate] = after - before
    return changes


def _smallest(intervals: Mapping[tuple, Interval]) -> tuple:
    return min(intervals, key=lambda key: intervals[key].value)


def _largest(intervals: Mapping[tuple, Interval]) -> tuple:
    return max(intervals, key=lambda key: intervals[key].value)


def _pe_falls(statement: Statement, scores: PairedScores) -> Finding:
    """P1: PE falls from rate to rate; judged where it falls least."""
    (dataset,) = statement.datasets
    falls = {}
    for rule in _criteria(scores, dataset):
        for method in scores.config.methods:
            for low, high in pairwise(scores.config.rates):
                before = _pe(scores, dataset, (rule, low), method)
                after = _pe(scores, dataset, (rule, high), method)
                falls[rule, method, low, high] = scores.interval(before - after)
    if not falls:
        return _untested(f"this profile does not have {dataset} at two rates")
    rule, method, low, high = _smallest(falls)
    estimate = falls[rule, method, low, high]
    count = sum(fall.value > 0 for fall in falls.values())
    evidence = (
        f"{count} of {len(falls)} steps fall; "
        f"least {method}, {rule}, {low:.0%} to {high:.0%}: {estimate.text()}"
    )
    return Finding(estimate=estimate, evidence=evidence)


def _highest_cam(statement: Statement, scores: PairedScores) -> Finding:
    """P2a: Grad-CAM++ gives the highest PE."""
    by_cam = _mean_by_cam(statement, scores)
    if not by_cam:
        return _lacks_a_cam(statement)
    others = [cam for cam in by_cam if cam != "grad-cam++"]
    second = max(others, key=lambda cam: by_cam[cam].mean())
    return _margin(scores, by_cam, "grad-cam++", second)


def _lowest_cam(statement: Statement, scores: PairedScores) -> Finding:
    """P2b: Grad-CAM gives the lowest PE."""
    by_cam = _mean_by_cam(statement, scores)
    if not by_cam:
        return _lacks_a_cam(statement)
    others = [cam for cam in by_cam if cam != "grad-cam"]
    second = min(others, key=lambda cam: by_cam[cam].mean())
    return _margin(scores, by_cam, second, "grad-cam")


def _lacks_a_cam(statement: Statement) -> Finding:
    return _untested(f"this profile lacks {statement.datasets[0]} or a CAM")


def _mean_by_cam(statement: Statement, scores: PairedScores) -> dict[str, np.ndarray]:
    """Return PE by image of every CAM, the mean of the models, lowest first; empty if one lacks."""
    (dataset,) = statement.datasets
    models = _models(scores, dataset)
    if not models or not _ALL_CAMS.issubset(scores.config.methods):
        return {}
    by_cam = {
        method: np.mean([_pe(scores, dataset, model, method) for model in models], axis=0)
        for method in scores.config.methods
    }
    return dict(sorted(by_cam.items(), key=lambda entry: entry[1].mean()))


def _margin(
    scores: PairedScores,
    by_cam: Mapping[str, np.ndarray],
    higher: str,
    lower: str,
) -> Finding:
    """Return by how much the PE of one CAM is above that of another."""
    estimate = scores.interval(by_cam[higher] - by_cam[lower])
    means = ", ".join(f"{cam} {pe.mean():.3f}" for cam, pe in by_cam.items())
    return Finding(estimate=estimate, evidence=f"{estimate.text()}; {means}")


def _pe_at_small_loss(statement: Statement, scores: PairedScores) -> Finding:
    """P3: models that lose little have a high PE; judged at the lowest one."""
    limit = statement.parameters["max_loss"]
    models = _pe_by_loss(statement, scores, lambda loss: loss < limit)
    if not models:
        return _untested(f"no model loses less than {limit:g} points")
    intervals = {model: scores.interval(pe) for model, pe in models.items()}
    return Finding(estimate=intervals[_smallest(intervals)], evidence=_means(models))


def _pe_at_large_loss(statement: Statement, scores: PairedScores) -> Finding:
    """P4: models that lose much have the printed PE; judged at the most distant one."""
    low, high = statement.parameters["losses"]
    models = _pe_by_loss(statement, scores, lambda loss: low <= loss <= high)
    if not models:
        return _untested(f"no model loses {low:g} to {high:g} points")
    printed = statement.parameters["pe"]
    distances = {model: distance_from(scores.interval(pe), printed) for model, pe in models.items()}
    return Finding(estimate=distances[_largest(distances)], evidence=_means(models))


def _pe_by_loss(
    statement: Statement,
    scores: PairedScores,
    is_included: Callable[[float], bool],
) -> dict[Model, np.ndarray]:
    """Return PE by image of the models whose loss of accuracy is included."""
    (dataset,) = statement.datasets
    method = statement.parameters["method"]
    if method not in scores.config.methods:
        return {}
    return {
        model: _pe(scores, dataset, model, method)
        for model in _models(scores, dataset)
        if is_included(_accuracy_loss(scores, dataset, model))
    }


def _means(models: Mapping[Model, np.ndarray]) -> str:
    return ", ".join(f"{rule} {rate:.0%} {pe.mean():.3f}" for (rule, rate), pe in models.items())


def _accuracy_rises(statement: Statement, scores: PairedScores) -> Finding:
    """P5a: accuracy rises somewhere; judged at the largest rise."""
    (dataset,) = statement.datasets
    changes = _accuracy_changes(scores, dataset)
    if not changes:
        return _untested(f"this profile does not have {dataset}")
    rises = {model: scores.interval(change) for model, change in changes.items()}
    rule, rate = _largest(rises)
    estimate = rises[rule, rate]
    evidence = f"largest rise with {rule} at {rate:.0%}: {estimate.value:.2f} points"
    return Finding(estimate=estimate, evidence=evidence)


def _pe_near(statement: Statement, scores: PairedScores) -> Finding:
    """P5b: PE is about as printed; judged on the nearest CAM."""
    (dataset,) = statement.datasets
    rule = statement.parameters["rule"]
    rate = statement.parameters["rate"]
    if not scores.has(dataset, rule, rate):
        return _untested(f"this profile does not have {dataset} at {100 * rate:g} %")
    by_cam = {
        method: scores.interval(_pe(scores, dataset, (rule, rate), method))
        for method in scores.config.methods
    }
    printed = statement.parameters["pe"]
    distances = [distance_from(interval, printed) for interval in by_cam.values()]
    return Finding(
        estimate=min(distances, key=lambda distance: distance.value),
        evidence=", ".join(f"{cam} {interval.value:.3f}" for cam, interval in by_cam.items()),
    )


def _no_threshold(statement: Statement, scores: PairedScores) -> Finding:
    """P6: PE at the largest rate that costs little differs between data sets and CAMs."""
    limit = statement.parameters["max_loss"]
    levels = {}
    for dataset in statement.datasets:
        for model in _largest_acceptable(scores, dataset, limit):
            for method in scores.config.methods:
                pe = _pe(scores, dataset, model, method)
                levels[dataset, model[0], method] = scores.interval(pe)
    datasets = tuple(dict.fromkeys(dataset for dataset, _, _ in levels))
    if len(levels) < 2:
        evidence = f"fewer than two models lose {limit:g} points at most"
        return Finding(estimate=None, evidence=evidence, datasets=datasets)
    top = _largest(levels)
    bottom = _smallest(levels)
    high = levels[top]
    low = levels[bottom]
    return Finding(
        estimate=Interval(high.value - low.value, high.low - low.high, high.high - low.low),
        evidence=f"from {low.value:.3f} ({', '.join(bottom)}) "
        f"to {high.value:.3f} ({', '.join(top)})",
        datasets=datasets,
    )


def _largest_acceptable(
    scores: PairedScores,
    dataset: str,
    limit: float,
) -> list[Model]:
    """Return each criterion's model of the largest rate that loses at most `limit` points."""
    largest = {
        rule: rate
        for rule, rate in _models(scores, dataset)
        if _accuracy_loss(scores, dataset, (rule, rate)) <= limit
    }
    return list(largest.items())


def _accuracy_falls(statement: Statement, scores: PairedScores) -> Finding:
    """P7a: accuracy falls with the rate; judged where it falls least."""
    (dataset,) = statement.datasets
    changes = _accuracy_changes(scores, dataset)
    if not changes:
        return _untested(f"this profile does not have {dataset}")
    falls = {model: scores.interval(-change) for model, change in changes.items()}
    rule, rate = _smallest(falls)
    estimate = falls[rule, rate]
    evidence = f"least with {rule} at {rate:.0%}: {estimate.value:.2f} points"
    return Finding(estimate=estimate, evidence=evidence)


def _map_overlap(statement: Statement, scores: PairedScores) -> Finding:
    """P7b, P7c: at the highest rate the maps keep their place, or move."""
    (dataset,) = statement.datasets
    rule = statement.parameters["rule"]
    highest = scores.config.rates[-1]
    if not scores.has(dataset, rule, highest):
        return _untested(f"this profile does not have {dataset} with {rule}")
    estimate = scores.interval(
        scores.of(
            dataset,
            rule,
            highest,
            score="iou",
        )
    )
    return Finding(estimate=estimate, evidence=estimate.text())


def _cost_of_approximation(statement: Statement, scores: PairedScores) -> Finding:
    """P8: the accuracy that SeNPIS-Faster costs against full SeNPIS, mean of the rates."""
    (dataset,) = statement.datasets
    rates = scores.config.rates
    exact = statement.parameters["rule"]
    approximation = statement.parameters["approximation"]
    if not (scores.has(dataset, exact, *rates) and scores.has(dataset, approximation, *rates)):
        return _untested(f"this profile does not prune with full {exact}")
    costs = [
        _correct(scores, dataset, (exact, rate)) - _correct(scores, dataset, (approximation, rate))
        for rate in rates
    ]
    cost = scores.interval(np.mean(costs, axis=0))
    return Finding(
        estimate=distance_from(cost, statement.parameters["cost"]),
        evidence=f"{cost.text(2)} points",
    )
