"""Reliance on a mark in the corner that agrees with the class: a distractor (beyond the paper).

The paper suspects distractors in its chest X-rays, where they cannot be told from the disease. In
images with a planted mark, reliance on it can be measured: it is the accuracy that a model loses
when the marks lie.
"""

from functools import partial
from typing import Any

import pandas as pd
from torch import nn

from pruncam import cams, metrics
from pruncam._core.store import Step
from pruncam.datasets import ImageSet
from pruncam.datasets.marks import mark_mask, plant_marks
from pruncam.statistics import Interval, accuracy_interval
from pruncam.studies.experiment import BASELINE, Experiment
from pruncam.training import accuracy

_MARKED = "generated-10-marked"
_VERSION = 1  # of the step, raised by hand when its code changes the result


def mark_reliance(experiment: Experiment) -> pd.DataFrame | None:
    """Return accuracy in % with agreeing and lying marks, and the maps' share on the mark.

    One row per model and CAM method; empty maps are left out of the share on the mark, and their
    own share is `empty`. None if the images of the data set have no marks.
    """
    if not has_marks(experiment):
        return None
    step = marks_step(experiment)
    table = experiment.trainer.cached_table(step, partial(_mark_reliance, experiment))
    table.insert(0, "dataset", experiment.dataset)
    return table


def has_marks(experiment: Experiment) -> bool:
    """Return whether the images of the data set have marks."""
    return experiment.test.name == _MARKED


def marks_step(experiment: Experiment) -> Step:
    """Return the step of `mark_reliance`."""
    images, variants = experiment.few_test_images(), experiment.trained_variants
    inputs = experiment.heatmap_inputs(images, variants)
    return Step("pe_score-marks", _VERSION, experiment.baseline_inputs() | inputs)


def _mark_reliance(experiment: Experiment) -> list[dict[str, Any]]:
    """Return a row per model and CAM method."""
    agreeing = plant_marks(experiment.few_test_images(), 1.0)
    lying = plant_marks(experiment.few_test_images(), 0.0)
    inputs = experiment.network_input(agreeing.images)
    models = {BASELINE: experiment.baseline}
    models |= {variant: experiment.model(variant) for variant in experiment.trained_variants}
    rows = []
    for variant, model in models.items():
        with_agreeing = accuracy_on(experiment, model, agreeing)
        with_lying = accuracy_on(experiment, model, lying)
        explanation = cams.explain(
            model,
            inputs,
            methods=experiment.config.methods,
            target_layer=experiment.spec.target_layer,
        )
        for method, maps in explanation.maps.items():
            mark = mark_mask(maps.shape[-1]).to(maps.device)
            rows.append(
                {
                    "rule": variant.rule,
                    "rate": variant.rate,
                    "seed": variant.seed,
                    "method": method,
                    **with_agreeing.columns("accuracy_agreeing"),
                    **with_lying.columns("accuracy_lying"),
                    "from_marks": with_agreeing.value - with_lying.value,
                    "energy_mark": metrics.energy_on(maps, mark).double().nanmean().item(),
                    "mark_area": mark.float().mean().item(),
                    "empty": cams.is_empty(maps).float().mean().item(),
                    "images": len(agreeing),
                }
            )
    return rows


def accuracy_on(experiment: Experiment, model: nn.Module, images: ImageSet) -> Interval:
    """Return a model's accuracy in % with its interval."""
    share = accuracy(
        model,
        images.images,
        images.labels,
        prepare=experiment.network_input,
        batch_size=len(images),
    )
    return accuracy_interval(round(share * len(images)), len(images))
