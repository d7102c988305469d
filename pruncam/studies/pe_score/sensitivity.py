"""Sensitivity of PE to the classes of heatmap and confidence, which the paper leaves open.

Each of them may be the model's own top class, the baseline's top class, or the true class.
"""

from collections.abc import Iterable, Mapping
from functools import partial

import pandas as pd
import torch

from pruncam import metrics
from pruncam._core.store import Step
from pruncam.studies.experiment import Variant
from pruncam.studies.pe_score.experiment import PeScoreExperiment
from pruncam.studies.score_tables import EMPTY, with_nonempty

_SCORES_VERSION = 2  # of the step, raised by hand when its code changes the result
_CLASSES = {  # titles by the option of `scoring.score`
    "own": "each model's top class",
    "baseline": "the baseline's top class",
    "label": "the true class",
}


def sensitivity_to_the_class(experiment: PeScoreExperiment) -> pd.DataFrame:
    """Return the mean PE of the first criterion's models for every pair of the two classes.

    With the mean over images without empty maps (`pe_nonempty`) and the shares of empty maps.
    """
    rule = experiment.config.criteria[0]
    variants = {variant.name: variant for variant in _variants(experiment)}
    # SSIM and IoU do not depend on the class of the confidence, nor confidences on that of the map.
    scores = {option: _scores(experiment, variants, option) for option in _CLASSES}
    rows = []
    for of_map, maps in scores.items():
        for of_confidence, confidences in scores.items():
            for (name, method), means in _mean_pe(maps, confidences).iterrows():
                rows.append(
                    {
                        "dataset": experiment.dataset,
                        "rule": rule,
                        "rate": variants[name].rate,
                        "method": method,
                        "map of": _CLASSES[of_map],
                        "confidence of": _CLASSES[of_confidence],
                        **means,
                        "images": len(experiment.few_test_images()),
                    }
                )
    return pd.DataFrame(rows)


def _scores(
    experiment: PeScoreExperiment, variants: Mapping[str, Variant], option: str
) -> pd.DataFrame:
    """Return rows of scores in which map and confidence are of the same class."""
    images = experiment.few_test_images()
    return experiment.trainer.scores(
        _step(experiment, variants.values(), option),
        experiment.baseline,
        {name: partial(experiment.model, variant) for name, variant in variants.items()},
        images,
        methods=experiment.config.methods,
        target_layer=experiment.spec.target_layer,
        transform=experiment.prepare,
        target_class=option,
        confidence_class=option,
    )


def steps(experiment: PeScoreExperiment) -> list[Step]:
    """Return the steps of the scores of the first criterion's models, one per class."""
    variants = _variants(experiment)
    return [_step(experiment, variants, option) for option in _CLASSES]


def _variants(experiment: PeScoreExperiment) -> list[Variant]:
    rule = experiment.config.criteria[0]
    return [variant for variant in experiment.variants if variant.rule == rule]


def _step(experiment: PeScoreExperiment, variants: Iterable[Variant], option: str) -> Step:
    inputs = {
        "class": option,
        "models": [experiment.model_inputs(variant) for variant in variants],
        "test": experiment.few_test_images().checksum,
        "methods": list(experiment.config.methods),
        "target_layer": experiment.spec.target_layer,
    }
    return Step("pe_score-crossed", _SCORES_VERSION, inputs)


def _mean_pe(maps: pd.DataFrame, confidences: pd.DataFrame) -> pd.DataFrame:
    """Return means of PE by model and CAM method, from SSIM and IoU of `maps`."""
    parts = [maps["ssim"], maps["iou"], confidences["confidence_variation"]]
    pe = metrics.combine_pe(*(torch.tensor(part.to_numpy()) for part in parts))
    rows = maps[["model", "method", *EMPTY]].assign(pe=pe.tolist())
    rows, columns = with_nonempty(rows, ["pe"])
    return rows.groupby(["model", "method"], sort=False, observed=True)[columns].mean()
