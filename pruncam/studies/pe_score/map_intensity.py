"""Intensity of heatmaps where those of the unpruned network are bright (PE-score, Figure 6)."""

import pandas as pd
import torch
from torch import Tensor, nn

from pruncam import cams
from pruncam._core.store import Step
from pruncam.scoring.controls import SHUFFLED
from pruncam.studies.experiment import Experiment, Variant

METHOD = "grad-cam++"  # the CAM of the paper's sentence
_VERSION = 1  # of the step, raised by hand when its code changes the result


def relative_intensity(baseline: Tensor, model: Tensor) -> Tensor:
    """Return how bright a model's heatmaps are on the bright pixels of the baseline's.

    It is the mean of the model's map over the mean of the baseline's map, on the pixels above the
    mean of the latter (the threshold of PE-score, Eq. 3): 1 for equal maps.

    Parameters
    ----------
    baseline, model : tensor of shape (N, H, W), in [0, 1]
        Heatmaps of the same N images.

    Returns
    -------
    tensor of shape (N,), from 0; NaN where either map is empty

    Examples
    --------
    >>> baseline = torch.tensor([[[1.0, 0.0], [0.0, 0.0]]])
    >>> relative_intensity(baseline, torch.tensor([[[0.7, 0.3], [0.0, 1.0]]]))
    tensor([0.7000])
    """
    is_bright = baseline > baseline.mean(dim=(1, 2), keepdim=True)
    ratio = (model * is_bright).sum(dim=(1, 2)) / (baseline * is_bright).sum(dim=(1, 2))
    is_undefined = cams.is_empty(baseline) | cams.is_empty(model)
    return torch.where(is_undefined, torch.nan, ratio)


def by_image(experiment: Experiment) -> pd.DataFrame | None:
    """Return the intensity of each model's Grad-CAM++ maps on the few test images.

    A row per model and image, with the columns `dataset`, `rule`, `rate`, `seed`, `image` and
    `intensity`. The models are those that are fine-tuned; the rule `maps of other images` compares
    the baseline's map with its map of the next image. None if the CAM is not among the methods.
    """
    if METHOD not in experiment.config.methods:
        return None
    variants = [*experiment.trained_variants, Variant(SHUFFLED, 0.0, experiment.config.seed)]
    images = experiment.few_test_images()
    intensities = experiment.trainer.cached(step(experiment), lambda: _intensities(experiment))
    tables = [
        pd.DataFrame(
            {
                "dataset": experiment.dataset,
                "rule": variant.rule,
                "rate": variant.rate,
                "seed": variant.seed,
                "image": range(len(images)),
                "intensity": values,
            }
        )
        for variant, values in zip(variants, intensities.tolist(), strict=True)
    ]
    return pd.concat(tables, ignore_index=True)


def step(experiment: Experiment) -> Step:
    """Return the step of the intensities."""
    inputs = {
        "models": [experiment.model_inputs(variant) for variant in experiment.trained_variants],
        "test": experiment.few_test_images().checksum,
        "target_layer": experiment.spec.target_layer,
    }
    return Step("pe_score-intensity", _VERSION, inputs)


def _intensities(experiment: Experiment) -> Tensor:
    """Return the intensities (models, images), those of shuffled maps last."""
    baseline = _maps(experiment, experiment.baseline)
    maps = [_maps(experiment, experiment.model(v)) for v in experiment.trained_variants]
    return torch.stack(
        [relative_intensity(baseline, of_model) for of_model in [*maps, baseline.roll(1, dims=0)]]
    ).cpu()


def _maps(experiment: Experiment, model: nn.Module) -> Tensor:
    inputs = experiment.network_input(experiment.few_test_images().images)
    layer = experiment.spec.target_layer
    return cams.heatmaps(model, inputs, method=METHOD, target_layer=layer)


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the mean intensity of each model, of the images without an empty map."""
    keys = ["dataset", "rule", "rate", "seed"]
    groups = rows.groupby(keys, sort=False)["intensity"]
    return groups.agg(intensity="mean", images="count").reset_index()
