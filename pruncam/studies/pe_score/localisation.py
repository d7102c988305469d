"""Do heatmaps hit the object? By image, of networks that are not pruned (PE-score, Section 2.3)."""

from functools import partial

import pandas as pd
from torch import Tensor

from pruncam import cams
from pruncam._core.store import Step
from pruncam.scoring.controls import CHANCE, FLOOR
from pruncam.studies.diagnostics import hits_by_image
from pruncam.studies.experiment import BASELINE, Experiment, Variant

_VERSION = 1  # of the step, raised by hand when its code changes the result


def by_image(experiment: Experiment) -> pd.DataFrame | None:
    """Return how well heatmaps hit the object, of all test images; None if no object is known.

    A row per network, CAM method and image, with the measures of `diagnostics.hits_by_image`. The
    networks are the unpruned one, and it only fine-tuned and with random weights.
    """
    test = experiment.test
    if test.objects is None:
        return None
    controls = controls_of(experiment)
    hits = experiment.trainer.cached(hits_step(experiment), partial(_hits, experiment, controls))
    tables = []
    for variant, by_method in zip([BASELINE, *controls], hits, strict=True):
        for method, measured in by_method.items():
            columns = {name: values.numpy() for name, values in measured.items()}
            names = {"rule": variant.rule, "seed": variant.seed, "method": method}
            tables.append(pd.DataFrame(names | {"image": range(len(test))} | columns))
    return pd.concat(tables, ignore_index=True)


def controls_of(experiment: Experiment) -> list[Variant]:
    """Return the networks that are only fine-tuned, and those with random weights."""
    return [variant for variant in experiment.variants if variant.rule in (FLOOR, CHANCE)]


def hits_step(experiment: Experiment) -> Step:
    """Return the step of `by_image`."""
    inputs = experiment.heatmap_inputs(experiment.test, controls_of(experiment))
    return Step("pe_score-hits", _VERSION, experiment.baseline_inputs() | inputs)


def _hits(experiment: Experiment, controls: list[Variant]) -> list[dict[str, dict[str, Tensor]]]:
    """Return the measures (N,) of the baseline and the controls, by CAM method."""
    test = experiment.test
    assert test.objects is not None
    inputs = experiment.network_input(test.images)
    methods, layer = experiment.config.methods, experiment.spec.target_layer
    hits = []
    for model in [experiment.baseline, *map(experiment.model, controls)]:
        maps = cams.explain(model, inputs, methods=methods, target_layer=layer).maps
        by_method = {name: hits_by_image(heatmaps, test.objects) for name, heatmaps in maps.items()}
        hits.append(
            {
                name: {measure: values.double().cpu() for measure, values in measured.items()}
                for name, measured in by_method.items()
            }
        )
    return hits
