"""Do heatmaps hit the object? By image, of networks that are not pruned (PE-score, Section 2.3)."""

import pandas as pd

from pruncam import cams
from pruncam.scoring.controls import CHANCE, FLOOR
from pruncam.studies.diagnostics import hits_by_image
from pruncam.studies.experiment import BASELINE, Experiment


def by_image(experiment: Experiment) -> pd.DataFrame | None:
    """Return how well heatmaps hit the object, of all test images; None if no object is known.

    A row per network, CAM method and image, with the measures of `diagnostics.hits_by_image`. The
    networks are the unpruned one, and it only fine-tuned and with random weights.
    """
    test = experiment.test
    if test.objects is None:
        return None
    controls = [v for v in experiment.variants if v.rule in (FLOOR, CHANCE)]
    models = {BASELINE: experiment.baseline}
    models |= {variant: experiment.model(variant) for variant in controls}
    inputs = experiment.network_input(test.images)
    methods, layer = experiment.config.methods, experiment.spec.target_layer
    tables = []
    for variant, model in models.items():
        explanation = cams.explain(model, inputs, methods=methods, target_layer=layer)
        for method, maps in explanation.maps.items():
            hits = hits_by_image(maps, test.objects)
            columns = {name: values.double().cpu().numpy() for name, values in hits.items()}
            names = {"rule": variant.rule, "seed": variant.seed, "method": method}
            tables.append(pd.DataFrame(names | {"image": range(len(test))} | columns))
    return pd.concat(tables, ignore_index=True)
