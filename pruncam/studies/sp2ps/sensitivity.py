"""Sensitivity of Sp2PS to the choices the paper leaves open: target layer, window, SAM, class."""

from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd
import torch
from torch import Tensor, nn

from pruncam import cams, metrics
from pruncam._nn.probe import profile_forward
from pruncam.studies.sp2ps.experiment import L1, Sp2psExperiment


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One way to read what the paper leaves open.

    `map_size` is the size of the target layer's feature maps; `targets` the explained classes,
    (N,), or None for each model's top class.
    """

    target_layer: str
    map_size: tuple[int, int]
    targets: Tensor | None = None
    window: Literal["uniform", "gaussian"] = "uniform"  # of SSIM
    over: Literal["image", "pixel", "band"] = "image"  # of the spectral angle


def sensitivity(experiment: Sp2psExperiment) -> pd.DataFrame:
    """Return the mean Sp2PS of the L1 models under every reading.

    Ablation-CAM is left out: before the last convolution it runs the rest of the network again for
    every channel.
    """
    methods = [method for method in experiment.config.methods if method != "ablation-cam"]
    if not methods:
        return pd.DataFrame()
    images = experiment.few_test_images()
    inputs = experiment.network_input(images.images)
    variants = [variant for variant in experiment.variants if variant.rule == L1]
    rows = []
    for name, reading in _readings(experiment.baseline, inputs, images.labels).items():
        baseline = _explain(experiment.baseline, inputs, methods, reading)
        for variant in variants:
            pruned = _explain(experiment.model(variant), inputs, methods, reading)
            for method in methods:
                scores = _sp2ps(baseline[method], pruned[method], reading)
                rows.append(
                    {
                        "dataset": experiment.dataset,
                        "choice": name,
                        "map": "x".join(map(str, reading.map_size)),
                        "method": method,
                        "rule": variant.rule,
                        "rate": variant.rate,
                        "sp2ps": scores.mean().item(),
                        "images": len(images),
                    }
                )
    return pd.DataFrame(rows)


def _readings(model: nn.Module, inputs: Tensor, labels: Tensor) -> dict[str, Reading]:
    """Return every reading by name, the configured one first."""
    with torch.no_grad():
        layers = profile_forward(model, inputs[:1]).last_convolutions()
    *earlier, (last, size) = layers.items()
    explanation = cams.explain(model, inputs, methods=["grad-cam"], target_layer=last)
    readings = {"as configured": Reading(target_layer=last, map_size=size)}
    for layer, layer_size in earlier:
        readings[f"target layer: {layer}"] = Reading(target_layer=layer, map_size=layer_size)

    def at_last_layer(**fields: Any) -> Reading:
        return Reading(target_layer=last, map_size=size, **fields)

    return readings | {
        "target class: the baseline's": at_last_layer(targets=explanation.targets),
        "target class: the true one": at_last_layer(targets=labels),
        "SSIM: gaussian window of 11": at_last_layer(window="gaussian"),
        "SAM: per pixel of the coloured map": at_last_layer(over="pixel"),
        "SAM: per band of the coloured map": at_last_layer(over="band"),
    }


def _explain(
    model: nn.Module, inputs: Tensor, methods: list[str], reading: Reading
) -> dict[str, Tensor]:
    """Return the heatmaps by method."""
    layer, targets = reading.target_layer, reading.targets
    explanation = cams.explain(model, inputs, methods=methods, target_layer=layer, targets=targets)
    return explanation.maps


def _sp2ps(x: Tensor, y: Tensor, reading: Reading) -> Tensor:
    ssim = metrics.ssim(x, y, window=reading.window)
    angle = metrics.spectral_angle(x, y, over=reading.over)
    return metrics.combine_sp2ps(ssim, angle)
