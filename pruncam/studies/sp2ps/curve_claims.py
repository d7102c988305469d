"""Findings on the curves of Figures 10 to 13 and on the maps of Figures 4 to 9 (S1 to S4, S11)."""

from collections.abc import Callable, Iterable, Mapping

from pruncam.report.claims import Finding, Statement
from pruncam.statistics import Interval, extreme
from pruncam.studies.paired_scores import PairedScores
from pruncam.studies.sp2ps.judged_models import (
    mean_level,
    model_name,
    models_of,
    untested,
    why_untested,
)
from pruncam.studies.sp2ps.positions import Pair, positions

NO_SCALE = "fine-tuning alone and chance cannot be told apart"


def position(statement: Statement, scores: PairedScores) -> Finding:
    """Judge where models of one rule stand between chance (0) and fine-tuning alone (1).

    Of several rates, the one that speaks most against the sentence decides.
    """
    models = models_of(statement)
    reason = why_untested(statement, scores, models)
    if reason:
        return untested(reason)
    method, score = statement.parameters.get("method"), statement.parameters["score"]
    on_scale = positions(scores, score, [(*model, method) for model in models])
    if not on_scale:
        return untested(NO_SCALE)
    return position_finding(scores, on_scale, decisive(statement), level_text(scores, score))


def decisive(statement: Statement) -> Callable[[Iterable[float]], float]:
    """Return min for a claim of "at least", max for one of "at most"."""
    return min if statement.relation == "at least" else max


def position_finding(
    scores: PairedScores,
    on_scale: Mapping[Pair, Interval],
    select: Callable[[Iterable[float]], float],
    describe: Callable[[Pair], str],
) -> Finding:
    """Return the finding on the lowest or highest of several positions."""
    estimate = extreme(on_scale.values(), select)
    pair = next(pair for pair, each in on_scale.items() if each.value == estimate.value)
    datasets = tuple(dict.fromkeys(pair[0] for pair in on_scale))
    return Finding(
        estimate=estimate,
        evidence=f"{estimate.text(2)} {describe(pair)}",
        at_floor=1.0,  # the ends of the scale
        at_chance=0.0,
        trainings=scores.trainings_of(datasets),
        datasets=datasets,
    )


def level_text(scores: PairedScores, score: str) -> Callable[[Pair], str]:
    """Return a function that describes the score of a pair beside its floor and chance level."""

    def describe(pair: Pair) -> str:
        dataset, rule, rate, method = pair
        value = scores.of(dataset, rule, rate, method, score).mean()
        floor = mean_level(scores.floor(dataset, method, score))
        chance = mean_level(scores.chance(dataset, method, score))
        by = f" by {method}" if method else ""
        levels = f"{value:.3f}; only fine-tuned {floor:.3f}, chance {chance:.3f}"
        return f"({model_name(pair[:3])}{by}: {levels})"

    return describe


def steps(statement: Statement, scores: PairedScores) -> Finding:
    """S1b, S2, S3b: compare two falls of the curves of Sp2PS, in a weighted sum of means."""
    (dataset,) = statement.datasets
    terms = statement.parameters["terms"]
    reason = why_untested(statement, scores, [(dataset, rule, rate) for _, rule, rate in terms])
    if reason:
        return untested(reason)
    estimate = scores.interval(sum(factor * scores.of(dataset, *model) for factor, *model in terms))
    total = sum(factor for factor, _, _ in terms)  # the weight of a Sp2PS that is the same at all
    return Finding(
        estimate=estimate,
        evidence=estimate.text(),
        at_floor=total * mean_level(scores.floor(dataset)),
        at_chance=total * mean_level(scores.chance(dataset)),
        trainings=scores.trainings_of([dataset]),
    )
