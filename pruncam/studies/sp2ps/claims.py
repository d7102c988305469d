"""Findings on the claims of the Sp2PS paper.

Statements, criteria and limits are in `published/claims/sp2ps.yaml`. The intervals resample
trainings of the baseline and images: all models score the same ones.
"""

from collections.abc import Callable, Mapping

from pruncam.report.claims import Finding, Statement
from pruncam.studies.paired_scores import PairedScores
from pruncam.studies.sp2ps import (
    cam_claims,
    curve_claims,
    drop_claims,
    highlight_claims,
    trust_claims,
)
from pruncam.studies.sp2ps.highlights import Highlights

_FROM_SCORES: dict[str, Callable[[Statement, PairedScores], Finding]] = {
    "S1a": curve_claims.position,
    "S1b": curve_claims.steps,
    "S2": curve_claims.steps,
    "S3a": curve_claims.position,
    "S3b": curve_claims.steps,
    "S4": curve_claims.position,
    "S5a": cam_claims.highest_cam,
    "S5b": cam_claims.similar_cams,
    "S6": cam_claims.by_magnitude,
    "S7": trust_claims.attention_moves,
    "S8a": trust_claims.threshold,
    "S8b": trust_claims.threshold,
    "S8c": trust_claims.threshold,
    "S9a": drop_claims.more_sensitive,
    "S9b": drop_claims.more_sensitive,
    "S9c": drop_claims.more_sensitive,
    "S10a": drop_claims.rises_with_accuracy_drop,
    "S10b": drop_claims.rises_with_accuracy_drop,
    "S11": curve_claims.position,
}
_FROM_HIGHLIGHTS: dict[str, Callable[[Statement, PairedScores, Highlights], Finding]] = {
    "S12a": highlight_claims.smaller_area,
    "S12b": highlight_claims.smaller_area,
    "S12c": highlight_claims.weaker_highlights,
}


def findings(
    statements: Mapping[str, Statement], scores: PairedScores, highlights: Highlights
) -> dict[str, Finding]:
    """Return the findings on claims S1 to S12."""
    result = {}
    for name, statement in statements.items():
        group, _, _ = name.partition(".")  # S11 of S11.3
        if group in _FROM_SCORES:
            result[name] = _FROM_SCORES[group](statement, scores)
        else:
            result[name] = _FROM_HIGHLIGHTS[group](statement, scores, highlights)
    return result
