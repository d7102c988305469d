"""Sensitivity of Sp2PS to the choices the paper leaves open: class, window and SAM."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import pandas as pd
import torch
from torch import Tensor, nn

from pruncam import cams, metrics
from pruncam._core.store import Step
from pruncam.studies.experiment import Variant
from pruncam.studies.sp2ps.experiment import L1, Sp2psExperiment
from pruncam.studies.work import ExperimentWork, Work

_VERSION = 1  # of the step, raised by hand when its code changes the result
Maps = Mapping[str, Tensor]  # heatmaps (N, H, W) by CAM method


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One way to read what the paper leaves open.

    `target` is the explained class: each model's "own" top class, the "baseline"'s, or the "true"
    one.
    """

    target: Literal["own", "baseline", "true"] = "own"
    window: Literal["uniform", "gaussian"] = "uniform"  # of SSIM
    over: Literal["image", "pixel", "band"] = "image"  # of the spectral angle


_READINGS = {  # the configured one first
    "as configured": Reading(),
    "target class: the baseline's": Reading(target="baseline"),
    "target class: the true one": Reading(target="true"),
    "SSIM: gaussian window of 11": Reading(window="gaussian"),
    "SAM: per pixel of the coloured map": Reading(over="pixel"),
    "SAM: per band of the coloured map": Reading(over="band"),
}


def sensitivity(experiment: Sp2psExperiment) -> pd.DataFrame:
    """Return the mean Sp2PS of the L1 models under every reading, at the configured layer."""
    variants = _models(experiment)
    step = sensitivity_step(experiment)
    table = experiment.trainer.cached_table(step, partial(_measured, experiment, variants))
    table.insert(0, "dataset", experiment.dataset)
    return table


def sensitivity_step(experiment: Sp2psExperiment) -> Step:
    """Return the step of `sensitivity`."""
    inputs = experiment.heatmap_inputs(experiment.few_test_images(), _models(experiment))
    return Step("sp2ps-sensitivity", _VERSION, experiment.baseline_inputs() | inputs)


def _models(experiment: Sp2psExperiment) -> list[Variant]:
    return [variant for variant in experiment.variants if variant.rule == L1]


def sensitivity_work(part: ExperimentWork) -> Work:
    """Return the step of `sensitivity`, with its amount of work."""
    experiment = part.experiment
    targets = {reading.target for reading in _READINGS.values()}
    models = 1 + len(_models(experiment))
    images = experiment.few_test_images()
    return part.explaining(sensitivity_step(experiment), len(targets) * models, images)


def _measured(experiment: Sp2psExperiment, variants: list[Variant]) -> list[dict[str, Any]]:
    """Return a row per reading, model and CAM method."""
    images = experiment.few_test_images()
    inputs = experiment.network_input(images.images)
    rows: dict[str, list[dict[str, Any]]] = {choice: [] for choice in _READINGS}
    for target, classes in _target_classes(experiment, inputs, images.labels).items():
        choices = [choice for choice, reading in _READINGS.items() if reading.target == target]
        baseline = _explain(experiment, experiment.baseline, inputs, classes)
        for variant in variants:
            pruned = _explain(experiment, experiment.model(variant), inputs, classes)
            for choice in choices:
                rows[choice] += _rows(choice, variant, baseline, pruned)
    return [row for of_choice in rows.values() for row in of_choice]


def _target_classes(
    experiment: Sp2psExperiment, inputs: Tensor, labels: Tensor
) -> dict[str, Tensor | None]:
    """Return the classes to explain, (N,), by target; None for each model's top class."""
    with torch.no_grad():
        top_classes = experiment.baseline(inputs).argmax(1)
    return {"own": None, "baseline": top_classes, "true": labels}


def _explain(
    experiment: Sp2psExperiment, model: nn.Module, inputs: Tensor, classes: Tensor | None
) -> Maps:
    """Return the heatmaps by method."""
    explanation = cams.explain(
        model,
        inputs,
        methods=experiment.config.methods,
        target_layer=experiment.spec.target_layer,
        targets=classes,
    )
    return explanation.maps


def _rows(choice: str, variant: Variant, baseline: Maps, pruned: Maps) -> list[dict[str, Any]]:
    """Return a row per CAM method."""
    reading = _READINGS[choice]
    return [
        {
            "choice": choice,
            "method": method,
            "rule": variant.rule,
            "rate": variant.rate,
            "sp2ps": _sp2ps(x, pruned[method], reading).mean().item(),
            "images": len(x),
        }
        for method, x in baseline.items()
    ]


def _sp2ps(x: Tensor, y: Tensor, reading: Reading) -> Tensor:
    ssim = metrics.ssim(x, y, window=reading.window)
    angle = metrics.spectral_angle(x, y, over=reading.over)
    return metrics.combine_sp2ps(ssim, angle)
