"""Findings on the claims of the PE-score paper.

Statements, criteria and limits are in `published/claims/pe_score.yaml`. Intervals resample the
trainings of the baseline and the images, which all models share.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd

from pruncam.report.claims import Finding, Statement
from pruncam.studies.paired_scores import PairedScores
from pruncam.studies.pe_score import accuracy_claims, map_claims, score_claims
from pruncam.studies.pe_score.dataset_models import DatasetModels

_OF_ONE_DATASET: Mapping[str, Callable[[Statement, DatasetModels], Finding]] = {
    "P1a": score_claims.pe_falls,
    "P1b": score_claims.pe_falls,
    "P2a": score_claims.rank_of_cam,
    "P2b": score_claims.rank_of_cam,
    "P2c": score_claims.rank_of_cam,
    "P3": score_claims.pe_at_small_loss,
    "P4": score_claims.pe_at_large_loss,
    "P5a": accuracy_claims.accuracy_step,
    "P5b": score_claims.pe_near,
    "P5c": accuracy_claims.largest_loss,
    "P5d": accuracy_claims.loss_near,
    "P7a": accuracy_claims.accuracy_step,
    "P7b": map_claims.map_overlap,
    "P7c": map_claims.map_overlap,
    "P7e": accuracy_claims.largest_loss,
    "P7f": accuracy_claims.loss_near,
    "P8": accuracy_claims.cost_of_approximation,
    "P9a": score_claims.strong_relation,
    "P9b": score_claims.no_relation,
    "P11a": map_claims.high_pe_ensures_place,
    "P11b": map_claims.high_pe_ensures_place,
}


@dataclass(frozen=True)
class Measured:
    """What the claims are judged by.

    `intensities` are the rows of `map_intensity.by_image` and `hits` those of
    `localisation.by_image`; None if they were not measured.
    """

    scores: PairedScores
    intensities: pd.DataFrame | None = None
    hits: pd.DataFrame | None = None


def findings(statements: Mapping[str, Statement], measured: Measured) -> dict[str, Finding]:
    """Return the findings on claims P1 to P11."""
    return {name: _finding(name, statement, measured) for name, statement in statements.items()}


def _finding(name: str, statement: Statement, measured: Measured) -> Finding:
    models = [DatasetModels(measured.scores, dataset) for dataset in statement.datasets]
    if name == "P6":
        return score_claims.no_threshold(statement, models)
    if name == "P7d":
        return map_claims.intensity_falls(statement, models[0], measured.intensities)
    if name == "P10":
        return map_claims.best_localisation(statement, models[0], measured.hits)
    return _OF_ONE_DATASET[name](statement, models[0])
