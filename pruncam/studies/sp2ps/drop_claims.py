"""Findings on the drops of Sp2PS and PE as accuracy drops (S9, S10; Tables 1 to 3)."""

import numpy as np

from pruncam.report.claims import Finding, Statement
from pruncam.scoring.controls import FLOOR
from pruncam.statistics import (
    Interval,
    distance_from,
    extreme,
    rank_correlation,
    simultaneous_intervals,
)
from pruncam.studies.paired_scores import Model, PairedScores
from pruncam.studies.sp2ps.judged_models import (
    accuracy_drop,
    collapsed_remark,
    mean_level,
    untested,
    working_models,
)

CIFAR = "CIFAR-10"  # the data set of Tables 1 to 3
_MIN_MODELS = 5  # for a rank correlation


def more_sensitive(statement: Statement, scores: PairedScores) -> Finding:
    """S9: Sp2PS drops more than PE on the same models, by as much as the tables print."""
    method, printed = statement.parameters["method"], statement.parameters["printed"]
    low, high = statement.parameters["accuracy_drops"]
    models = [
        model
        for model in working_models(scores, CIFAR)
        if low <= accuracy_drop(scores, model).mean() <= high
    ]
    if not models or method not in scores.config.methods or not scores.has(CIFAR, FLOOR, 0.0):
        return untested(f"no model on {CIFAR} loses {low:g} to {high:g} points")
    gaps = [_gap(scores, model, method) for model in models]
    gap = scores.interval(np.mean(gaps, axis=0))
    floor = _gap(scores, (CIFAR, FLOOR, 0.0), method).mean()
    pe, sp2ps = (mean_level(scores.chance(CIFAR, method, score)) for score in ("pe", "sp2ps"))
    chance = 100 * (pe - sp2ps)
    return Finding(
        estimate=distance_from(gap, printed),
        evidence=f"Sp2PS_drop minus PE_drop: {gap.text(1)} points, models: {len(models)}; "
        f"only fine-tuned {floor:.1f}, chance {chance:.1f}",
        at_floor=abs(floor - printed),
        at_chance=abs(chance - printed),
        trainings=scores.trainings_of([CIFAR]),
    )


def _gap(scores: PairedScores, model: Model, method: str) -> np.ndarray:
    """Return Sp2PS_drop minus PE_drop in points, (trainings, images)."""
    return 100 * (scores.of(*model, method, "pe") - scores.of(*model, method, "sp2ps"))


def rises_with_accuracy_drop(statement: Statement, scores: PairedScores) -> Finding:
    """S10: the drop of a score rises with the accuracy drop; judged on the weakest CAM.

    The models have a baseline in common and are no independent draws: the interval resamples
    trainings and images, and keeps the models.
    """
    models = working_models(scores, CIFAR)
    if len(models) < _MIN_MODELS:
        return untested(f"{len(models)} models that work are too few{collapsed_remark(scores)}")
    methods, score = scores.config.methods, statement.parameters["score"]
    arrays = [accuracy_drop(scores, model) for model in models]
    arrays += [-scores.of(*model, method, score) for method in methods for model in models]
    means = np.array([[array.mean() for array in arrays]])
    estimates = _correlations(means, len(models))[0]
    resampled = _correlations(scores.resampled_means(CIFAR, arrays), len(models))
    weakest = extreme(simultaneous_intervals(estimates, resampled), min)
    by_cam = [f"{method} {each:.2f}" for method, each in zip(methods, estimates, strict=True)]
    return Finding(
        estimate=Interval(weakest.value, max(weakest.low, -1.0), min(weakest.high, 1.0)),
        evidence=f"{', '.join(by_cam)} over {len(models)} models{collapsed_remark(scores)}",
        at_floor=0.0,  # no relation
        at_chance=0.0,
        trainings=scores.trainings_of([CIFAR]),
    )


def _correlations(means: np.ndarray, models: int) -> np.ndarray:
    """Return rank correlations of accuracy drops and score drops, (samples, methods).

    `means` (samples, columns) has the accuracy drops of the models, then a score's drops of the
    models by one CAM method after the other.
    """
    by_method = means[:, models:].reshape(len(means), -1, models)
    pairs = zip(means[:, :models], by_method, strict=True)
    return np.array([rank_correlation(drops, rows, undefined=0.0) for drops, rows in pairs])
