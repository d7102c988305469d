"""The models that a claim is about, and why some of them cannot be judged."""

from collections.abc import Iterable, Sequence

import numpy as np

from pruncam.report.claims import Finding, Statement
from pruncam.studies.paired_scores import Model, PairedScores


def untested(reason: str, datasets: Iterable[str] = ()) -> Finding:
    """Return a finding without an estimate."""
    return Finding(estimate=None, evidence=reason, datasets=tuple(datasets))


def models_of(statement: Statement) -> list[Model]:
    """Return the models that a statement names by data set, rule and rates."""
    (dataset,) = statement.datasets
    rule, rates = statement.parameters["rule"], statement.parameters["rates"]
    return [(dataset, rule, rate) for rate in rates]


def why_untested(statement: Statement, scores: PairedScores, models: Sequence[Model]) -> str:
    """Return why not all of the models can be judged, in words; empty if they can.

    A model that has collapsed judges nothing about heatmaps.
    """
    method = statement.parameters.get("method")
    if method is not None and method not in scores.config.methods:
        return f"this profile does not have {method}"
    lacking = [model for model in models if not scores.has(*model)]
    if lacking:
        return f"this profile does not have {' and '.join(map(model_name, lacking))}"
    collapsed = [model for model in models if model in scores.collapsed]
    if collapsed:
        return f"accuracy has collapsed on {' and '.join(map(model_name, collapsed))}"
    return ""


def model_name(model: Model) -> str:
    """Return a model's data set, rate and rule in words."""
    dataset, rule, rate = model
    return f"{dataset} at {rate:.0%} with {rule}"


def working_models(scores: PairedScores, dataset: str | None = None) -> list[Model]:
    """Return the pruned models of one data set, or of all, that have not collapsed."""
    return [
        model
        for model in scores.pruned_models
        if model not in scores.collapsed and dataset in (None, model[0])
    ]


def collapsed_remark(scores: PairedScores) -> str:
    """Return a remark on the models left out because they collapsed; empty if there is none."""
    count = len(scores.collapsed)
    return f"; without {count} collapsed models" if count else ""


def accuracy_drop(scores: PairedScores, model: Model) -> np.ndarray:
    """Return the accuracy drop by image, (trainings, images); its mean is in points."""
    correct = scores.of(*model, scores.config.methods[0], "correct")
    return scores.baseline_correct(model[0]) - correct


def mean_level(values: np.ndarray | None) -> float:
    """Return the mean of a floor or chance level; NaN if it was not measured."""
    return np.nan if values is None else float(values.mean())
