"""What the paper leaves open, and what it could not measure: choices of the score, ground truth, cost."""

import time

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from pruncam import cams, cost, metrics, pruning
from pruncam.store import Step
from pruncam.studies.sp2ps.half import L1, Half

TIMES, REPEATS = 1, 5  # version of the step, raised by hand; passes that the median is of


def sensitivity(half: Half) -> pd.DataFrame:
    """Mean Sp2PS of the L1 models under other target layers, windows, readings of SAM and target classes.

    Without Ablation-CAM: before the last convolution it runs the rest of the network again for every channel.
    """
    methods = [method for method in half.config.methods if method != "ablation-cam"]
    images = half.test.first(min(half.config.sensitivity_images, len(half.test)))
    x = half.prepared(images.images.float() / 255)
    rows = []
    variants = [v for v in half.variants if v.rule == L1]
    models = {variant: half.model(variant) for variant in variants}
    for choice, given in (_options(half.baseline, x, images.labels) if methods else {}).items():
        first = cams.explain(half.baseline, x, methods=methods, **given["explaining"])
        for variant, model in models.items():
            second = cams.explain(model, x, methods=methods, **given["explaining"])
            for method in methods:
                score = _sp2ps(first.maps[method], second.maps[method], **given["scoring"]).mean().item()
                size = "x".join(map(str, given["size"]))
                row = {"half": half.paper, "choice": choice, "map": size, "method": method}
                rows.append(row | {"rule": variant.rule, "rate": variant.rate, "sp2ps": score, "images": len(images)})
    return pd.DataFrame(rows)


def _options(model: nn.Module, x: Tensor, labels: Tensor) -> dict[str, dict]:
    """Every choice: arguments of `cams.explain`, of `_sp2ps`, and the size of the map before it is enlarged."""
    layers = _last_convolutions(model, x[:1])
    *others, (last, size) = layers.items()
    top = cams.explain(model, x, methods=["grad-cam"], target_layer=last).targets
    plain = {"explaining": {"target_layer": last}, "scoring": {}, "size": size}
    found = {"as configured": plain}
    for name, other in others:
        found[f"target layer: {name}"] = plain | {"explaining": {"target_layer": name}, "size": other}
    found["target class: the baseline's"] = plain | {"explaining": {"target_layer": last, "targets": top}}
    found["target class: the true one"] = plain | {"explaining": {"target_layer": last, "targets": labels}}
    found["SSIM: gaussian window of 11"] = plain | {"scoring": {"window": "gaussian"}}
    found["SAM: per pixel of the coloured map"] = plain | {"scoring": {"over": "pixel"}}
    found["SAM: per band of the coloured map"] = plain | {"scoring": {"over": "band"}}
    return found


def _last_convolutions(model: nn.Module, x: Tensor) -> dict[str, tuple[int, int]]:
    """The last convolution of every spatial size, with that size, from large to small."""
    names = {module: name for name, module in model.named_modules() if isinstance(module, nn.Conv2d)}
    found = {}

    def note(module: nn.Module, inputs: tuple, output: Tensor) -> None:
        found[tuple(output.shape[2:])] = names[module]

    handles = [module.register_forward_hook(note) for module in names]
    with torch.no_grad():
        model(x)
    for handle in handles:
        handle.remove()
    return {name: size for size, name in found.items()}


def _sp2ps(x: Tensor, y: Tensor, window: str = "uniform", over: str = "image") -> Tensor:
    return metrics.combine_sp2ps(metrics.ssim(x, y, window=window), metrics.spectral_angle(x, y, over=over))


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
            rows.append(row | {key: values.double().nanmean().item() for key, values in _hits(maps, objects).items()})
    return pd.DataFrame(rows)


def _hits(maps: Tensor, objects: Tensor) -> dict[str, Tensor]:
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


def times(half: Half) -> pd.DataFrame:
    """How long a forward pass takes for an image, ms: a masked weight is multiplied like any other, so pruning by
    masks saves nothing here. The one table that another run on the same machine gives otherwise."""
    models = _by_rate(half)
    step = Step(
        "sp2ps-times", TIMES, half.training() | {"rates": list(half.config.rates), "on": str(half.workshop.device)}
    )
    measured = half.workshop.keep(step, lambda: _milliseconds(list(models.values()), half))
    found = zip(models, measured, strict=True)
    return pd.DataFrame([{"half": half.paper, "rate": rate, "milliseconds": value} for rate, value in found])


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


def _by_rate(half: Half) -> dict[float, nn.Module]:
    """The baseline, at rate 0, and the L1 models."""
    return {0.0: half.baseline} | {v.rate: half.model(v) for v in half.variants if v.rule == L1}


def costs(half: Half) -> pd.DataFrame:
    """What every rate leaves: parameters, those that are not zero, FLOPs; and as filters, if they were removed."""
    shape = tuple(half.test.images.shape[1:])
    rows = []
    for rate, model in _by_rate(half).items():
        counted = cost.count(model, shape)
        row = {"half": half.paper, "rate": rate, "parameters": counted.parameters, "nonzero": counted.nonzero}
        rows.append(row | {"flops": counted.flops, "sparsity": pruning.sparsity(model)})
    return pd.DataFrame(rows)
