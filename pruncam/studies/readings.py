"""The outputs at which heatmaps can be read: scores at each, ranked against the printed ones.

The papers name no layer. Which one did the authors use? Every output of the last convolutions is
tried, and ranked by its distance from the printed values.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd

from pruncam import cams
from pruncam._core.store import Step
from pruncam.studies.experiment import Experiment, Variant
from pruncam.studies.score_tables import with_nonempty

_VERSION = 1  # raised by hand when the code of the step changes its result


def scores_by_reading(
    experiment: Experiment, variants: Sequence[Variant], scores: Sequence[str]
) -> pd.DataFrame:
    """Return mean scores of models at every reading of the network, on the few test images.

    The readings are those of `cams.readings`; the configured layer follows if it is not among
    them. A row per reading, CAM method and variant: the mean of each score, the mean over images
    without empty maps (`..._nonempty`), and the shares of empty maps.
    """
    images = experiment.few_test_images()
    layers = cams.readings(experiment.baseline, experiment.network_input(images.images[:1]))
    if experiment.target_layer not in layers.values():
        layers["as configured"] = experiment.target_layer
    tables = []
    for label, layer in layers.items():
        rows = _rows(experiment, variants, layer)
        table = _means(rows, scores)
        table.insert(0, "dataset", experiment.dataset)
        table.insert(1, "reading", label)
        table.insert(2, "layer", layer)
        table.insert(3, "configured", layer == experiment.target_layer)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _rows(experiment: Experiment, variants: Sequence[Variant], layer: str) -> pd.DataFrame:
    """Return the rows of scores of the variants with maps read at a layer."""
    images = experiment.few_test_images()
    rows = experiment.trainer.scores(
        step(experiment, variants, layer),
        experiment.baseline,
        {variant.name: partial(experiment.model, variant) for variant in variants},
        images,
        methods=experiment.config.methods,
        target_layer=layer,
        transform=experiment.prepare,
    )
    by_name = {variant.name: variant for variant in variants}
    of_row = rows["model"].astype(object).map(by_name)
    return rows.assign(
        rule=[variant.rule for variant in of_row],
        rate=[variant.rate for variant in of_row],
        seed=[variant.seed for variant in of_row],
    )


def step(experiment: Experiment, variants: Sequence[Variant], layer: str) -> Step:
    """Return the step of the scores of some variants with maps read at a layer."""
    inputs = {
        "layer": layer,
        "test": experiment.few_test_images().checksum,
        "methods": list(experiment.config.methods),
        "variants": [experiment.model_inputs(variant) for variant in variants],
    }
    return Step(f"{experiment.study}-readings", _VERSION, inputs)


def _means(rows: pd.DataFrame, scores: Sequence[str]) -> pd.DataFrame:
    keys = ["method", "rule", "rate", "seed"]
    rows, columns = with_nonempty(rows, scores)
    groups = rows.groupby(keys, sort=False, observed=True)
    table = groups[columns].mean()
    table.insert(0, "images", groups.size())
    return table.reset_index()


def ranking(distances: pd.DataFrame) -> pd.DataFrame:
    """Rank readings by their mean distance from printed values, the nearest first.

    Parameters
    ----------
    distances : DataFrame with a row per reading and printed value
        Columns `reading`, `layer`, `printed` and `ours`, in the same unit.

    Returns
    -------
    DataFrame with a row per reading
        `reading`, `layer`, `values` (number of printed values), `mean_distance` (mean of the
        absolute differences), `bias` (mean of ours minus printed), `rank` from 1.
    """
    difference = distances["ours"] - distances["printed"]
    table = distances.assign(distance=difference.abs(), bias=difference)
    groups = table.groupby(["reading", "layer"], sort=False)
    ranked = pd.DataFrame(
        {
            "values": groups.size(),
            "mean_distance": groups["distance"].mean(),
            "bias": groups["bias"].mean(),
        }
    ).reset_index()
    ranked = ranked.sort_values("mean_distance", kind="stable", ignore_index=True)
    return ranked.assign(rank=np.arange(1, len(ranked) + 1))
