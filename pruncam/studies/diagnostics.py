"""Further measurements on models: hits of the heatmaps on the object, cost, run time."""

import io
import platform
import time
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from pruncam import cams, cost, metrics, pruning
from pruncam._core.store import Step
from pruncam.datasets import ImageSet
from pruncam.statistics import accuracy_interval
from pruncam.studies.experiment import Experiment

# Versions of the steps, raised by hand when their code changes the result.
_TIMES_VERSION, _HITS_VERSION = 3, 1
TIMED_PASSES = 5
TIMED_IMAGES = 50


def object_hits(experiment: Experiment) -> pd.DataFrame | None:
    """Return how well every model's heatmaps hit the object; None if its pixels are not known."""
    images = experiment.few_test_images()
    if images.objects is None:
        return None
    step = hits_step(experiment)
    rows = experiment.trainer.cached_table(step, partial(_object_hits, experiment, images))
    rows.insert(0, "dataset", experiment.dataset)
    return rows


def hits_step(experiment: Experiment) -> Step:
    """Return the step of `object_hits`."""
    inputs = experiment.heatmap_inputs(experiment.few_test_images(), experiment.variants)
    name = f"{experiment.study}-object-hits"
    return Step(name, _HITS_VERSION, experiment.baseline_inputs() | inputs)


def _object_hits(experiment: Experiment, images: ImageSet) -> list[dict[str, Any]]:
    """Return a row per model and CAM method."""
    inputs = experiment.network_input(images.images)
    models = {"unpruned": experiment.baseline}
    models |= {variant.name: experiment.model(variant) for variant in experiment.variants}
    rows = []
    for name, model in models.items():
        explanation = cams.explain(
            model,
            inputs,
            methods=experiment.config.methods,
            target_layer=experiment.spec.target_layer,
        )
        correct = int((explanation.logits.argmax(1) == images.labels).sum())
        for method, maps in explanation.maps.items():
            row = {
                "model": name,
                "method": method,
                **accuracy_interval(correct, len(images)).columns("accuracy"),
                "images": len(images),
            }
            hits = hits_by_image(maps, images.objects)
            means = {column: values.double().nanmean().item() for column, values in hits.items()}
            rows.append(row | means)
    return rows


def hits_by_image(maps: Tensor, objects: Tensor) -> dict[str, Tensor]:
    """Return how well heatmaps (N, H, W) hit the pixels of objects (N, H, W, bool), (N,) each.

    `energy`: share of the map on the object; `pointing`: 1 if its maximum is on the object, both
    NaN for an empty map; `iou_object`: IoU of the object and the pixels above the map's mean;
    `object_area`: share of the image that the object covers.
    """
    flat, inside = maps.flatten(1), objects.flatten(1)
    salient = flat > flat.mean(1, keepdim=True)
    peak = inside.gather(1, flat.argmax(1, keepdim=True))[:, 0]
    intersection, union = (salient & inside).sum(1), (salient | inside).sum(1)
    return {
        "energy": metrics.energy_on(maps, objects),
        "pointing": torch.where(flat.amax(1) > 0, peak.float(), torch.nan),
        "iou_object": intersection / union,
        "object_area": inside.float().mean(1),
    }


def costs(experiment: Experiment, rule: str) -> pd.DataFrame:
    """Return parameters, FLOPs per image and bytes on disk of a rule's models, by rate."""
    shape = tuple(experiment.test.images.shape[1:])
    rows = []
    for rate, model in _models_by_rate(experiment, rule).items():
        counts = cost.count(model, shape)
        rows.append(
            {
                "dataset": experiment.dataset,
                "rule": rule,
                "rate": rate,
                "parameters": counts.parameters,
                "nonzero": counts.nonzero,
                "flops": counts.flops,
                "sparsity": pruning.sparsity(model),
                "bytes": _bytes_on_disk(model),
            }
        )
    return pd.DataFrame(rows)


def times(experiment: Experiment, rule: str) -> pd.DataFrame:
    """Return the time of a forward pass per image, in ms, of a rule's models by rate.

    This is the one table that changes when a run is repeated on the same machine.
    """
    models = _models_by_rate(experiment, rule)
    milliseconds = experiment.trainer.cached(
        times_step(experiment, rule), lambda: _milliseconds(list(models.values()), experiment)
    )
    return pd.DataFrame(
        {
            "dataset": experiment.dataset,
            "rule": rule,
            "rate": list(models),
            "milliseconds": milliseconds,
        }
    )


def times_step(experiment: Experiment, rule: str) -> Step:
    """Return the step of the times of a rule's models; they belong to a processor."""
    processor = platform.processor() or platform.machine()
    threads = torch.get_num_threads()
    inputs = {
        "models": [experiment.model_inputs(variant) for variant in experiment.of_rule(rule)],
        "on": f"{experiment.trainer.device} {processor} {threads} threads",
        "test": experiment.test.checksum,
    }
    return Step(f"{experiment.study}-times", _TIMES_VERSION, inputs)


def _models_by_rate(experiment: Experiment, rule: str) -> dict[float, nn.Module]:
    """Return the baseline, at rate 0, and the rule's models of its first seed."""
    pruned = {variant.rate: experiment.model(variant) for variant in experiment.of_rule(rule)}
    return {0.0: experiment.baseline} | pruned


def _bytes_on_disk(model: nn.Module) -> int:
    buffer = io.BytesIO()
    torch.save(pruning.drop_masks(model).state_dict(), buffer)
    return buffer.getbuffer().nbytes


def _milliseconds(models: list[nn.Module], experiment: Experiment) -> list[float]:
    """Return the median time of each model; models take turns, so that all share busy moments."""
    images = experiment.test.first(min(TIMED_IMAGES, len(experiment.test)))
    inputs = experiment.network_input(images.images)
    measured: list[list[float]] = [[] for _ in models]
    for _ in range(TIMED_PASSES + 1):  # the first pass warms up
        for model, durations in zip(models, measured, strict=True):
            durations.append(_forward_seconds(model, inputs))
    return [1000 * float(np.median(durations[1:])) / len(images) for durations in measured]


@torch.no_grad()
def _forward_seconds(model: nn.Module, inputs: Tensor) -> float:
    if inputs.is_cuda:
        torch.cuda.synchronize()
    start = time.perf_counter()
    model(inputs).sum().item()  # waits for the device
    return time.perf_counter() - start
