"""What the paper leaves open: how much the choices of target layer, window, reading of SAM and class matter."""

import pandas as pd
import torch
from torch import Tensor, nn

from pruncam import cams, metrics
from pruncam.studies.sp2ps.half import L1, Half


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
    layers = last_convolutions(model, x[:1])
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


def last_convolutions(model: nn.Module, x: Tensor) -> dict[str, tuple[int, int]]:
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
