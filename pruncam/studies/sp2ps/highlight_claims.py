"""Findings on area and intensity of what heatmaps highlight (S12; Figures 4, 5 and 9)."""

from pruncam.report.claims import Finding, Statement
from pruncam.studies.paired_scores import PairedScores
from pruncam.studies.sp2ps.curve_claims import NO_SCALE, decisive, position_finding
from pruncam.studies.sp2ps.highlights import Highlights, PairedHighlights
from pruncam.studies.sp2ps.judged_models import model_name, models_of, untested, why_untested
from pruncam.studies.sp2ps.positions import Pair, positions_of

_UNMEASURED = "fine-tuning alone or chance was not measured"


def smaller_area(statement: Statement, scores: PairedScores, highlights: Highlights) -> Finding:
    """S12a, S12b: at every rate the area is smaller than after fine-tuning alone."""
    reason = why_untested(statement, scores, models_of(statement))
    if reason:
        return untested(reason)
    paired = _paired(statement, highlights, "area")
    if paired is None:
        return untested(_UNMEASURED)
    floor, chance = paired.floor.mean(), paired.chance.mean()
    changes = {model: (area - paired.floor) / floor for model, area in paired.models.items()}
    model, largest = scores.extreme(changes, max)
    share = paired.models[model].mean()
    return Finding(
        estimate=largest,
        evidence=f"{largest.text()} (share of the image on {model_name(model)}: {share:.3f}; "
        f"only fine-tuned {floor:.3f}, chance {chance:.3f})",
        at_floor=0.0,  # compared with itself
        at_chance=float(chance / floor - 1),
        trainings=len(paired.floor),
    )


def weaker_highlights(
    statement: Statement, scores: PairedScores, highlights: Highlights
) -> Finding:
    """S12c: the pixels that the baseline highlights lose intensity."""
    reason = why_untested(statement, scores, models_of(statement))
    if reason:
        return untested(reason)
    paired = _paired(statement, highlights, "intensity_within")
    if paired is None:
        return untested(_UNMEASURED)
    method = statement.parameters["method"]
    levels = {
        (*model, method): (values, paired.floor, paired.chance)
        for model, values in paired.models.items()
    }
    on_scale = positions_of(scores, levels)
    if not on_scale:
        return untested(NO_SCALE)

    def describe(pair: Pair) -> str:
        value, floor, chance = (array.mean() for array in levels[pair])
        levels_text = f"{value:.3f}; only fine-tuned {floor:.3f}, chance {chance:.3f}"
        return f"({model_name(pair[:3])} by {method}: {levels_text})"

    return position_finding(scores, on_scale, decisive(statement), describe)


def _paired(statement: Statement, highlights: Highlights, measure: str) -> PairedHighlights | None:
    """Return a measure of the models that a statement names, beside floor and chance."""
    return highlights.paired(models_of(statement), statement.parameters["method"], measure)
