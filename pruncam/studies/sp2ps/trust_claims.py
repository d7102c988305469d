"""Findings on models that keep their accuracy, and on thresholds of trust (S7, S8)."""

import numpy as np

from pruncam.report.claims import Finding, Statement
from pruncam.scoring.controls import FLOOR
from pruncam.statistics import extreme
from pruncam.studies.paired_scores import PairedScores
from pruncam.studies.sp2ps.config import has_paper_finetuning
from pruncam.studies.sp2ps.curve_claims import level_text, position_finding
from pruncam.studies.sp2ps.experiment import L1, RANDOM
from pruncam.studies.sp2ps.judged_models import (
    accuracy_drop,
    mean_level,
    untested,
    working_models,
)
from pruncam.studies.sp2ps.positions import Pair, positions

OTHER_RECIPE = "fine-tuned by another recipe than the paper's"
_CUTS = (0.9, 0.8, 0.5)  # of the position, for the evidence on S7


def attention_moves(statement: Statement, scores: PairedScores) -> Finding:
    """S7: a model keeps its accuracy, but not the place of its maps by some CAM."""
    limit = statement.parameters["max_accuracy_drop"]
    accurate = [
        model for model in working_models(scores) if accuracy_drop(scores, model).mean() < limit
    ]
    pairs = [(*model, method) for model in accurate for method in scores.config.methods]
    on_scale = positions(scores, "sp2ps", pairs)
    if not on_scale:
        return untested(f"no model loses less than {limit:g} points", scores.datasets)
    values = np.array([position.value for position in on_scale.values()])
    counts = ", ".join(f"{(values < cut).sum()} below {cut:g}" for cut in _CUTS)
    level = level_text(scores, "sp2ps")

    def describe(pair: Pair) -> str:
        return f"{level(pair)}; of {len(values)} models and CAMs {counts}"

    return position_finding(scores, on_scale, min, describe)


def threshold(statement: Statement, scores: PairedScores) -> Finding:
    """S8: a threshold of trust must be below the scores of fine-tuning alone."""
    method = statement.parameters["method"]
    datasets = [name for name in scores.datasets if scores.has(name, FLOOR, 0.0)]
    if not datasets or method not in scores.config.methods:
        return untested("this profile has no fine-tuned baseline for it", datasets)
    floors = {(name,): scores.of(name, FLOOR, 0.0, method) for name in datasets}
    intervals = scores.simultaneous(floors)
    lowest = extreme(intervals.values(), min)
    (name,) = next(key for key, each in intervals.items() if each.value == lowest.value)
    evidence = [
        f"{dataset} {floor.text()}, {_crossings(scores, dataset, method, statement.limit)}"
        for (dataset,), floor in intervals.items()
    ]
    if not has_paper_finetuning(scores.config):
        evidence.append(OTHER_RECIPE)
    return Finding(
        estimate=lowest,
        evidence="; ".join(evidence),
        at_floor=lowest.value,
        at_chance=mean_level(scores.chance(name, method)),
        trainings=scores.trainings_of(datasets),
        datasets=tuple(datasets),
    )


def _crossings(scores: PairedScores, dataset: str, method: str, limit: float) -> str:
    """Return from which rate each rule falls below the limit, in words."""
    parts = []
    for rule in (L1, RANDOM):
        rates = [model[2] for model in scores.pruned_models if model[:2] == (dataset, rule)]
        below = [rate for rate in rates if scores.of(dataset, rule, rate, method).mean() < limit]
        parts.append(f"{rule} below it from {min(below):.0%}" if below else f"{rule} never below")
    return ", ".join(parts)
