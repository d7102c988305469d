"""Heatmaps per second, beside pytorch-grad-cam.

Ratios are of one-thread CPU time, because the wall clock of a shared machine varies by several
times; the wall clock with all threads is given too. The library's Ablation-CAM takes hundreds of
forward passes per image, so it gets fewer images; all rates are per image. Maps are read at the
default target layer, which the column `layer` names.
"""

from collections.abc import Callable
from functools import partial
from statistics import median

import pandas as pd
from torch import Tensor, nn

from benchmarks._networks import NETWORKS, Case, forward
from benchmarks._timing import cpu_times, per_item, ratio_columns, ratios, wall_times
from pruncam import cams

TOGETHER = "together"


def run() -> pd.DataFrame:
    """Return a row per network and method, with both engines and the plain forward pass."""
    tables = [_compare(name, build()) for name, build in NETWORKS.items()]
    return pd.concat(tables, ignore_index=True)


def _compare(network: str, case: Case) -> pd.DataFrame:
    model = case.model
    images = case.images
    sides: dict[str, Callable[[], object]] = {}
    sides["forward"] = partial(forward, model, images, case.batch)
    counts = {"forward": len(images), TOGETHER: len(images)}
    methods = list(case.library_images)
    for method in methods:
        library = _library_side(method)
        counts[method] = len(images)
        counts[library] = case.library_images[method]
        few = images[: counts[library]]
        sides[method] = partial(cams.heatmaps, model, images, method=method)
        sides[library] = partial(_library, model, few, method, case.batch)
    shown = list(methods)
    if len(methods) > 1:
        sides[TOGETHER] = partial(cams.explain, model, images, methods=methods)
        shown.append(TOGETHER)
    cpu = per_item(cpu_times(sides, case.rounds), counts)
    wall = per_item(wall_times(sides, 1), counts)
    layer = cams.default_layer(model, images[:1])
    rows = []
    for method in shown:
        row = {
            "network": network,
            "method": method,
            "layer": layer,
            "images/s": 1 / median(cpu[method]),
            "forward passes": median(ratios(cpu[method], cpu["forward"])),
            "wall images/s": 1 / wall[method][0],
        }
        if method in methods:
            library = _library_side(method)
            row["pytorch-grad-cam images/s"] = 1 / median(cpu[library])
            row.update(ratio_columns(cpu[library], cpu[method]))
            row["wall ratio"] = wall[library][0] / wall[method][0]
        rows.append(row)
    return pd.DataFrame(rows)


def _library_side(method: str) -> str:
    return f"library {method}"


def _library(model: nn.Module, images: Tensor, method: str, batch: int) -> None:
    cams.heatmaps(model, images, method=method, engine="grad-cam", batch_size=batch)
