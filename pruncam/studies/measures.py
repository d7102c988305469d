"""What a study can measure of its models beside their scores: hits on the object where it is known, cost, time."""

import io
import platform
import time

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from pruncam import cams, cost, pruning
from pruncam.store import Step
from pruncam.studies.half import Half, Variant

TIMES, REPEATS = 3, 5  # version of the step, raised by hand; passes that the median is of


def truth(half: Half) -> pd.DataFrame | None:
    """How well each model's heatmaps hit the object, where its pixels are known; None where they are not."""
    if half.test.objects is None:
        return None
    images = half.test.first(min(half.config.sensitivity_images, len(half.test)))
    x, objects = half.prepared(images.images.float() / 255), images.objects
    rows = []
    models = {"unpruned": half.baseline} | {v.name: half.model(v) for v in half.variants}
    for name, model in models.items():
        found = cams.explain(model, x, methods=half.config.methods)
        accuracy = 100 * (found.logits.argmax(1) == images.labels).double().mean().item()
        for method, maps in found.maps.items():
            row = {"half": half.paper, "model": name, "method": method, "accuracy": accuracy, "images": len(images)}
            rows.append(row | {key: values.double().nanmean().item() for key, values in hits(maps, objects).items()})
    return pd.DataFrame(rows)


def hits(maps: Tensor, objects: Tensor) -> dict[str, Tensor]:
    """Each image's share of the map on the object (nan for an empty map), whether its peak is, IoU with the object."""
    flat, inside = maps.flatten(1), objects.flatten(1)
    salient = flat > flat.mean(1, keepdim=True)
    peak = inside.gather(1, flat.argmax(1, keepdim=True))[:, 0]
    return {
        "energy": (flat * inside).sum(1) / flat.sum(1),
        "pointing": torch.where(flat.amax(1) > 0, peak.float(), torch.nan),
        "iou_object": (salient & inside).sum(1) / (salient | inside).sum(1),
        "object_area": inside.float().mean(1),
    }


def costs(half: Half, rule: str) -> pd.DataFrame:
    """What every rate leaves: parameters, those that are not zero, FLOPs of an image, bytes of the saved weights."""
    shape = tuple(half.test.images.shape[1:])
    rows = []
    for rate, model in _by_rate(half, rule).items():
        counted = cost.count(model, shape)
        row = {"half": half.paper, "rule": rule, "rate": rate, "parameters": counted.parameters}
        row |= {"nonzero": counted.nonzero, "flops": counted.flops, "sparsity": pruning.sparsity(model)}
        rows.append(row | {"bytes": _saved(model)})
    return pd.DataFrame(rows)


def times(half: Half, rule: str) -> pd.DataFrame:
    """How long a forward pass takes for an image, ms. The one table that another run on the same machine changes."""
    models = _by_rate(half, rule)
    where = f"{half.workshop.device} {platform.processor() or platform.machine()} {torch.get_num_threads()} threads"
    inputs = {"models": [half.made_by(v) for v in _chosen(half, rule)], "on": where, "test": half.test.checksum}
    step = Step(f"{half.study}-times", TIMES, inputs)
    measured = half.workshop.keep(step, lambda: _milliseconds(list(models.values()), half))
    found = zip(models, measured, strict=True)
    rows = [{"half": half.paper, "rule": rule, "rate": rate, "milliseconds": value} for rate, value in found]
    return pd.DataFrame(rows)


def _by_rate(half: Half, rule: str) -> dict[float, nn.Module]:
    """The baseline, at rate 0, and the rule's models of its first seed."""
    return {0.0: half.baseline} | {v.rate: half.model(v) for v in _chosen(half, rule)}


def _chosen(half: Half, rule: str) -> list[Variant]:
    """The rule's variants of its first seed."""
    seed = half.rules[rule][0]
    return [v for v in half.variants if (v.rule, v.seed) == (rule, seed)]


def _saved(model: nn.Module) -> int:
    """The size of the weights as a file, without masks."""
    buffer = io.BytesIO()
    torch.save(pruning.drop_masks(model).state_dict(), buffer)
    return buffer.getbuffer().nbytes


def _milliseconds(models: list[nn.Module], half: Half) -> list[float]:
    """The median of several passes of each model, in turns, so that a busy moment hits all of them."""
    x = half.prepared(half.test.first(min(100, len(half.test))).images.float() / 255)
    taken = [[] for _ in models]
    for _ in range(REPEATS + 1):  # the first one warms up
        for model, times in zip(models, taken, strict=True):
            if x.is_cuda:
                torch.cuda.synchronize()
            start = time.perf_counter()
            with torch.no_grad():
                model(x).sum().item()  # waits for the device
            times.append(1000 * (time.perf_counter() - start) / len(x))
    return [float(np.median(times[1:])) for times in taken]
