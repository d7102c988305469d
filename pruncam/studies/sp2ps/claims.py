"""Findings on the claims of the Sp2PS paper.

Statements, criteria and limits are in `published/claims/sp2ps.yaml`. Most estimates are sums of
mean scores whose interval resamples images: all models see the same ones.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from pruncam.report.claims import Finding, Statement
from pruncam.scoring.controls import FLOOR
from pruncam.statistics import Interval, correlation
from pruncam.studies.paired_scores import PairedScores
from pruncam.studies.sp2ps.experiment import L1, RANDOM

CIFAR = "CIFAR-10"  # the data set of Tables 1 to 3
_ALL_CAMS = {"grad-cam", "grad-cam++", "ablation-cam"}


def findings(
    statements: dict[str, Statement], scores: PairedScores, drops: pd.DataFrame
) -> dict[str, Finding]:
    """Return the findings on claims S1 to S11; `drops` is the table of `score_tables.drops`."""
    by_kind = {
        "S1": _curve,
        "S2": _curve,
        "S3": _curve,
        "S4": _curve,
        "S8": _threshold,
        "S11": _keeps_its_place,
    }
    from_drops = {"S7": _attention_moves, "S9": _more_sensitive, "S10": _rises_with_drop}
    from_scores = {"S5a": _highest_cam, "S5b": _similar_cams, "S6": _by_magnitude}
    result = {}
    for name, statement in statements.items():
        kind = _kind(name)
        if kind in by_kind:
            result[name] = by_kind[kind](statement, scores)
        elif kind in from_drops:
            result[name] = from_drops[kind](statement, drops)
        else:
            result[name] = from_scores[name](scores)
    return result


def _kind(name: str) -> str:
    """Return a claim's number without its part: S1 for S1a, S11 for S11.3."""
    return name.partition(".")[0].rstrip("ab")


def _curve(statement: Statement, scores: PairedScores) -> Finding:
    """S1 to S4: how the curves of Figures 10 to 13 fall, as a weighted sum of mean Sp2PS."""
    (dataset,) = statement.datasets
    terms = statement.parameters["terms"]
    if not all(scores.has(dataset, rule, rate) for _, rule, rate in terms):
        return _untested(f"this profile does not have {dataset} at these rates")
    total = sum(factor * scores.of(dataset, rule, rate) for factor, rule, rate in terms)
    estimate = scores.interval(total)
    return Finding(estimate=estimate, evidence=estimate.text())


def _untested(reason: str, datasets: Iterable[str] = ()) -> Finding:
    return Finding(estimate=None, evidence=reason, datasets=tuple(datasets))


def _mean_by_cam(scores: PairedScores, dataset: str) -> dict[str, np.ndarray]:
    """Return Sp2PS by image, (images,), of every CAM method: the mean of the pruned models."""
    models = [model for model in scores.pruned_models if model[0] == dataset]
    return {
        method: np.mean([scores.of(*model, method) for model in models], axis=0)
        for method in sorted(_ALL_CAMS)
    }


def _highest_cam(scores: PairedScores) -> Finding:
    """S5a: Grad-CAM++ is highest; judged on the data set with the smaller margin."""
    if not _ALL_CAMS.issubset(scores.config.methods):
        return _untested("this profile lacks a CAM", scores.datasets)
    margins = {}
    for dataset in scores.datasets:
        by_cam = _mean_by_cam(scores, dataset)
        second = max(("grad-cam", "ablation-cam"), key=lambda cam: by_cam[cam].mean())
        margins[dataset] = scores.interval(by_cam["grad-cam++"] - by_cam[second])
    return _extreme(margins, min)


def _similar_cams(scores: PairedScores) -> Finding:
    """S5b: Grad-CAM and Ablation-CAM are alike; judged on the data set with the larger distance."""
    if not _ALL_CAMS.issubset(scores.config.methods):
        return _untested("this profile lacks a CAM", scores.datasets)
    distances = {}
    for dataset in scores.datasets:
        by_cam = _mean_by_cam(scores, dataset)
        difference = by_cam["grad-cam"] - by_cam["ablation-cam"]
        sign = np.sign(difference.mean() or 1)
        distances[dataset] = scores.interval(difference * sign)
    return _extreme(distances, max)


def _extreme(by_dataset: dict[str, Interval], select) -> Finding:
    """Return the smallest or largest estimate, with all of them as evidence."""
    return Finding(
        estimate=select(by_dataset.values(), key=lambda interval: interval.value),
        evidence="; ".join(f"{name} {interval.text()}" for name, interval in by_dataset.items()),
        datasets=tuple(by_dataset),
    )


def _by_magnitude(scores: PairedScores) -> Finding:
    """S6: L1 above Random at every rate of every data set; judged at the smallest margin."""
    margins = {}
    for dataset, rule, rate in scores.pruned_models:
        if rule == L1:
            margin = scores.of(dataset, L1, rate) - scores.of(dataset, RANDOM, rate)
            margins[dataset, rate] = scores.interval(margin)
    dataset, rate = min(margins, key=lambda pair: margins[pair].value)
    smallest = margins[dataset, rate]
    return Finding(
        estimate=smallest,
        evidence=f"smallest at {rate:.0%} on {dataset}: {smallest.text()}",
        datasets=tuple(dict.fromkeys(pair[0] for pair in margins)),
    )


def _attention_moves(statement: Statement, drops: pd.DataFrame) -> Finding:
    """S7: a model keeps its accuracy but not its zones of attention."""
    limit = statement.parameters["max_accuracy_drop"]
    accurate = drops[drops["acc_drop"] < limit]
    datasets = tuple(dict.fromkeys(drops["dataset"]))
    models = len(accurate[["dataset", "rule", "rate", "seed"]].drop_duplicates())
    moved = (accurate["sp2ps_drop"] >= statement.limit).sum()
    evidence = (
        f"{moved} of {len(accurate)} pairs of model and CAM; "
        f"{models} models lose less than {limit:g} points"
    )
    if accurate.empty:
        return _untested(evidence, datasets)
    largest = accurate["sp2ps_drop"].max()
    estimate = Interval(largest, largest, largest)
    return Finding(estimate=estimate, evidence=evidence, datasets=datasets)


def _threshold(statement: Statement, scores: PairedScores) -> Finding:
    """S8: a threshold of trust must be below the scores of fine-tuning alone."""
    method = statement.parameters["method"]
    datasets = [name for name in scores.datasets if scores.has(name, FLOOR, 0.0)]
    if not datasets or method not in scores.config.methods:
        return _untested("this profile has no fine-tuned baseline for it", datasets)
    floors = {name: scores.interval(scores.of(name, FLOOR, 0.0, method)) for name in datasets}
    evidence = [
        f"{name} {floor.text()}, {_crossings(scores, name, method, statement.limit)}"
        for name, floor in floors.items()
    ]
    return Finding(
        estimate=min(floors.values(), key=lambda floor: floor.value),
        evidence="; ".join(evidence),
        datasets=tuple(floors),
    )


def _crossings(scores: PairedScores, dataset: str, method: str, limit: float) -> str:
    """Return from which rate each rule falls below the limit, in words."""
    parts = []
    for rule in (L1, RANDOM):
        rates = [
            r for name, of_rule, r in scores.pruned_models if (name, of_rule) == (dataset, rule)
        ]
        below = [r for r in rates if scores.of(dataset, rule, r, method).mean() < limit]
        parts.append(
            f"{rule} below it from {min(below):.0%}" if below else f"{rule} never below it"
        )
    return ", ".join(parts)


def _more_sensitive(statement: Statement, drops: pd.DataFrame) -> Finding:
    """S9: Sp2PS drops more than PE on the same models."""
    is_cifar = drops["dataset"] == CIFAR
    is_method = drops["method"] == statement.parameters["method"]
    is_large = drops["acc_drop"] >= statement.parameters["min_accuracy_drop"]
    models = drops[is_cifar & is_method & is_large]
    if models.empty:
        return _untested("no such model")
    gap = models["sp2ps_drop"] - models["pe_drop"]
    return Finding(
        estimate=Interval(gap.mean(), gap.min(), gap.max()),
        evidence=f"{len(gap)} models, from {gap.min():.1f} to {gap.max():.1f}",
    )


def _rises_with_drop(statement: Statement, drops: pd.DataFrame) -> Finding:
    """S10: the drop of a score rises with the accuracy drop; judged on the weakest CAM."""
    column = f"{statement.parameters['score']}_drop"
    correlations = [
        correlation(part["acc_drop"], part[column], "spearman")
        for _, part in drops[drops["dataset"] == CIFAR].groupby("method", sort=False)
        if len(part) >= 5
    ]
    if not correlations:
        return Finding(estimate=None, evidence="too few models", points=0)
    weakest = min(correlations, key=lambda each: each.value)
    models = weakest.df + 2
    return Finding(
        estimate=Interval(weakest.value, weakest.low, weakest.high),
        evidence=f"weakest of the CAMs: {weakest.value:.2f} over {models} models",
        points=models,
    )


def _keeps_its_place(statement: Statement, scores: PairedScores) -> Finding:
    """S11: what Figures 4 to 9 show for one image, asked of all images."""
    (dataset,) = statement.datasets
    method, rule, rate = (statement.parameters[name] for name in ("method", "rule", "rate"))
    if not scores.has(dataset, rule, rate) or method not in scores.config.methods:
        return _untested(f"this profile does not have {dataset} at {rate:.0%} with {method}")
    estimate = scores.interval(scores.of(dataset, rule, rate, method, "iou"))
    return Finding(estimate=estimate, evidence=estimate.text())
