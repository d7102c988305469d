"""Findings on the CAM methods and the pruning rules, over all models (S5, S6)."""

from collections.abc import Mapping

import numpy as np

from pruncam.report.claims import Finding, Statement
from pruncam.scoring.controls import CHANCE, FLOOR
from pruncam.studies.paired_scores import PairedScores
from pruncam.studies.sp2ps.curve_claims import NO_SCALE
from pruncam.studies.sp2ps.experiment import L1, RANDOM
from pruncam.studies.sp2ps.judged_models import (
    collapsed_remark,
    mean_level,
    model_name,
    untested,
    working_models,
)

_HIGHEST, _ALIKE = "grad-cam++", ("grad-cam", "ablation-cam")


def highest_cam(statement: Statement, scores: PairedScores) -> Finding:
    """S5a: Grad-CAM++ is above each other CAM in every model."""
    reason = _why_not_compared(scores)
    if reason:
        return untested(reason, scores.datasets)
    margins = {
        (*model, other): scores.of(*model, _HIGHEST) - scores.of(*model, other)
        for model in working_models(scores)
        for other in _ALIKE
    }
    (dataset, rule, rate, other), smallest = scores.extreme(margins, min)
    models = {key[:3] for key in margins}
    lower = {key[:3] for key, margin in margins.items() if margin.mean() <= 0}
    return Finding(
        estimate=smallest,
        evidence=f"{smallest.text()} over {other} on {model_name((dataset, rule, rate))}; highest "
        f"in {len(models - lower)} of {len(models)} models{collapsed_remark(scores)}",
        at_floor=min(_margins(scores, FLOOR)),
        at_chance=min(_margins(scores, CHANCE)),
        trainings=scores.trainings_of(scores.datasets),
        datasets=tuple(scores.datasets),
    )


def similar_cams(statement: Statement, scores: PairedScores) -> Finding:
    """S5b: Grad-CAM and Ablation-CAM are alike in every model, in shares of the scale."""
    reason = _why_not_compared(scores)
    if reason:
        return untested(reason, scores.datasets)
    spans = _spans(scores)
    distances = {}
    for model in working_models(scores):
        first, second = (scores.of(*model, method) for method in _ALIKE)
        difference = first - second
        if model[0] in spans:
            distances[model] = difference * np.sign(difference.mean() or 1) / spans[model[0]]
    if not distances:
        return untested(NO_SCALE, scores.datasets)
    model, largest = scores.extreme(distances, max)
    alike = sum(distance.mean() <= statement.limit for distance in distances.values())
    return Finding(
        estimate=largest,
        evidence=f"{largest.text()} on {model_name(model)}; within {statement.limit:g} in {alike} "
        f"of {len(distances)} models{collapsed_remark(scores)}",
        at_floor=max(_distances(scores, FLOOR, spans)),
        at_chance=max(_distances(scores, CHANCE, spans)),
        trainings=scores.trainings_of(scores.datasets),
        datasets=tuple(scores.datasets),
    )


def by_magnitude(statement: Statement, scores: PairedScores) -> Finding:
    """S6: L1 is above Random at every rate of every data set."""
    working = working_models(scores)
    margins = {
        (dataset, rate): scores.of(dataset, L1, rate) - scores.of(dataset, RANDOM, rate)
        for dataset, rule, rate in working
        if rule == L1 and (dataset, RANDOM, rate) in working
    }
    if not margins:
        return untested("at every rate one of the rules has collapsed", scores.datasets)
    (dataset, rate), smallest = scores.extreme(margins, min)
    datasets = tuple(dict.fromkeys(name for name, _ in margins))
    return Finding(
        estimate=smallest,
        evidence=f"{smallest.text()} at {rate:.0%} on {dataset}, the smallest of {len(margins)}"
        f"{collapsed_remark(scores)}",
        at_floor=0.0,  # nothing is pruned by either rule
        at_chance=0.0,
        trainings=scores.trainings_of(datasets),
        datasets=datasets,
    )


def _why_not_compared(scores: PairedScores) -> str:
    """Return why the CAMs cannot be compared, in words; empty if they can."""
    if not {_HIGHEST, *_ALIKE} <= set(scores.config.methods):
        return "this profile lacks a CAM"
    return "" if working_models(scores) else "all models have collapsed"


def _level(scores: PairedScores, control: str, dataset: str, method: str) -> float:
    """Return the mean Sp2PS of fine-tuning alone (FLOOR) or at chance (CHANCE)."""
    level = scores.floor if control == FLOOR else scores.chance
    return mean_level(level(dataset, method))


def _margins(scores: PairedScores, control: str) -> list[float]:
    """Return the margins of Grad-CAM++ over each other CAM, by data set."""
    return [
        _level(scores, control, dataset, _HIGHEST) - _level(scores, control, dataset, other)
        for dataset in scores.datasets
        for other in _ALIKE
    ]


def _spans(scores: PairedScores) -> dict[str, float]:
    """Return the distance from chance to floor by data set, the mean of the CAMs of S5b.

    Data sets whose floor is not above chance, or was not measured, are left out.
    """
    spans = {}
    for dataset in scores.datasets:
        floors = [_level(scores, FLOOR, dataset, method) for method in _ALIKE]
        chances = [_level(scores, CHANCE, dataset, method) for method in _ALIKE]
        span = float(np.mean(floors) - np.mean(chances))
        if span > 0:
            spans[dataset] = span
    return spans


def _distances(scores: PairedScores, control: str, spans: Mapping[str, float]) -> list[float]:
    """Return the distance of Grad-CAM from Ablation-CAM by data set, in shares of the scale."""
    distances = []
    for dataset, span in spans.items():
        first, second = (_level(scores, control, dataset, method) for method in _ALIKE)
        distances.append(abs(first - second) / span)
    return distances
