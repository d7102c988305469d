"""Sensitivity of Sp2PS to the choices the paper leaves open: class, window and SAM."""

from dataclasses import dataclass
from typing import Literal

import pandas as pd
import torch
from torch import Tensor, nn

from pruncam import cams, metrics
from pruncam.studies.sp2ps.experiment import L1, Sp2psExperiment


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One way to read what the paper leaves open.

    `targets` are the explained classes, (N,), or None for each model's top class.
    """

    targets: Tensor | None = None
    window: Literal["uniform", "gaussian"] = "uniform"  # of SSIM
    over: Literal["image", "pixel", "band"] = "image"  # of the spectral angle


def sensitivity(experiment: Sp2psExperiment) -> pd.DataFrame:
    """Return the mean Sp2PS of the L1 models under every reading, at the configured layer."""
    methods = experiment.config.methods
    images = experiment.few_test_images()
    inputs = experiment.network_input(images.images)
    variants = [variant for variant in experiment.variants if variant.rule == L1]
    rows = []
    for name, reading in _readings(experiment, inputs, images.labels).items():
        baseline = _explain(experiment, experiment.baseline, inputs, reading)
        for variant in variants:
            pruned = _explain(experiment, experiment.model(variant), inputs, reading)
            for method in methods:
                scores = _sp2ps(baseline[method], pruned[method], reading)
                rows.append(
                    {
                        "dataset": experiment.dataset,
                        "choice": name,
                        "method": method,
                        "rule": variant.rule,
                        "rate": variant.rate,
                        "sp2ps": scores.mean().item(),
                        "images": len(images),
                    }
                )
    return pd.DataFrame(rows)


def _readings(experiment: Sp2psExperiment, inputs: Tensor, labels: Tensor) -> dict[str, Reading]:
    """Return every reading by name, the configured one first."""
    with torch.no_grad():
        top_classes = experiment.baseline(inputs).argmax(1)
    return {
        "as configured": Reading(),
        "target class: the baseline's": Reading(targets=top_classes),
        "target class: the true one": Reading(targets=labels),
        "SSIM: gaussian window of 11": Reading(window="gaussian"),
        "SAM: per pixel of the coloured map": Reading(over="pixel"),
        "SAM: per band of the coloured map": Reading(over="band"),
    }


def _explain(
    experiment: Sp2psExperiment, model: nn.Module, inputs: Tensor, reading: Reading
) -> dict[str, Tensor]:
    """Return the heatmaps by method."""
    explanation = cams.explain(
        model,
        inputs,
        methods=experiment.config.methods,
        target_layer=experiment.spec.target_layer,
        targets=reading.targets,
    )
    return explanation.maps


def _sp2ps(x: Tensor, y: Tensor, reading: Reading) -> Tensor:
    ssim = metrics.ssim(x, y, window=reading.window)
    angle = metrics.spectral_angle(x, y, over=reading.over)
    return metrics.combine_sp2ps(ssim, angle)
