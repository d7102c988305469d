"""Scores under other readings of what the thesis leaves open: target layer and target class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from pruncam import cams, metrics, networks
from pruncam._core.store import Step
from pruncam.studies.mnist_iou.config import MnistIouConfig
from pruncam.studies.mnist_iou.heatmap_fit import pixel_deviation
from pruncam.studies.mnist_iou.lottery_run import LotteryRun
from pruncam.studies.mnist_iou.published import AT_LEVEL, PEAK, printed_values
from pruncam.studies.readings import ranking

_VERSION = 1  # raised by hand when the code of the step changes its result
_STEP_FIELDS = ("fraction", "level_zero", "retraining", "levels", "method")


@dataclass(frozen=True)
class Reading:
    """A layer at which heatmaps are read, and the class that they explain."""

    title: str
    layer: str
    explains_label: bool = False  # or else the class that the network predicts


# The mean scores of every level, by reading and seed (`level_means`).
Means = Mapping[Reading, Mapping[int, Sequence[Mapping[str, float]]]]


def possible_readings(run: LotteryRun) -> list[Reading]:
    """Return the readings: every output of the two convolutions, then the true class."""
    image = run.noisy_input(slice(0, 1))
    layers = cams.readings(networks.mnist_net().to(image.device), image)
    readings = [Reading(title, layer) for title, layer in layers.items()]
    true_class = Reading("target class: the true one", run.config.target_layer, explains_label=True)
    return [*readings, true_class]


def level_means(run: LotteryRun, reading: Reading) -> list[dict[str, float]]:
    """Return the mean scores of every level of a run under a reading, once they are trained.

    `iou`: soft IoU of heatmap and clean image; `iou_nonempty`: the same without empty maps, NaN if
    all are empty; `empty`: share of empty maps; `iou_with_level_0`: soft IoU with the heatmap of
    the unpruned network; `heatmap_mean`, `heatmap_std`: of all heatmap pixels.
    """
    run.train_levels()
    return run.trainer.cached(step(run, reading), partial(_level_means, run, reading))


def step(run: LotteryRun, reading: Reading) -> Step:
    """Return the step of the mean scores under a reading."""
    inputs: dict[str, Any] = {
        **run.training_inputs(),
        **{name: getattr(run.config, name) for name in _STEP_FIELDS},
        "layer": reading.layer,
        "explains_label": reading.explains_label,
        "test": run.test.checksum,
    }
    return Step("mnist-iou-readings", _VERSION, inputs)


def _level_means(run: LotteryRun, reading: Reading) -> list[dict[str, float]]:
    batches: list[list[dict[str, Tensor]]] = [[] for _ in run.models]
    unpruned, *pruned = run.models
    for rows in run.test_batches():
        images = run.clean[rows]
        first_maps = _heatmaps(run, unpruned, reading, rows)
        batches[0].append(_scores(first_maps, images, first_maps))
        for level, model in enumerate(pruned, start=1):
            maps = _heatmaps(run, model, reading, rows)
            scores = _scores(maps, images, first_maps)
            batches[level].append(scores)
    pixels = run.clean[0].numel()
    return [_means(of_level, pixels) for of_level in batches]


def _heatmaps(run: LotteryRun, model: nn.Module, reading: Reading, rows: slice) -> Tensor:
    return cams.heatmaps(
        model,
        run.noisy_input(rows),
        method=run.config.method,
        target_layer=reading.layer,
        targets=run.test.labels[rows] if reading.explains_label else None,
    )


def _scores(maps: Tensor, images: Tensor, first_maps: Tensor) -> dict[str, Tensor]:
    """Return the scores by image, on the CPU."""
    flat = maps.flatten(1)
    scores = {
        "iou": metrics.soft_iou(maps, images),
        "iou_with_level_0": metrics.soft_iou(maps, first_maps),
        "empty": cams.is_empty(maps),
        "mean": flat.mean(1),
        "mean_square": flat.square().mean(1),
    }
    return {name: values.cpu() for name, values in scores.items()}


def _means(batches: Sequence[Mapping[str, Tensor]], pixels: int) -> dict[str, float]:
    joined = {}
    for name in batches[0]:
        joined[name] = torch.cat([batch[name] for batch in batches])
    is_empty = joined["empty"]
    nonempty = joined["iou"][~is_empty]
    return {
        "iou": _mean(joined["iou"]),
        "iou_nonempty": _mean(nonempty),
        "empty": _mean(is_empty),
        "iou_with_level_0": _mean(joined["iou_with_level_0"]),
        "heatmap_mean": _mean(joined["mean"]),
        "heatmap_std": pixel_deviation(
            joined["mean"],
            joined["mean_square"],
            pixels,
        ),
    }


def _mean(values: Tensor) -> float:
    """Return the mean in double precision; NaN without values."""
    return values.double().mean().item()


def by_level(config: MnistIouConfig, means: Means) -> pd.DataFrame:
    """Return the scores of `level_means` by reading and level, means of the thesis's seeds.

    With the standard deviations over these seeds (`..._sd`).
    """
    tables = []
    for reading, of_seeds in means.items():
        seeds = pd.concat([pd.DataFrame(of_seeds[seed]) for seed in config.seeds])
        levels = seeds.groupby(level=0)
        table = levels.mean().join(levels.std(ddof=1).add_suffix("_sd"))
        table.insert(0, "reading", reading.title)
        table.insert(1, "layer", reading.layer)
        table.insert(2, "configured", is_configured(config, reading))
        table.insert(3, "level", table.index)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def is_configured(config: MnistIouConfig, reading: Reading) -> bool:
    """Return True for the reading of all other tables: the target layer, the predicted class."""
    return reading.layer == config.target_layer and not reading.explains_label


def ranks(table: pd.DataFrame) -> pd.DataFrame:
    """Rank the layers by their distance from the printed values (`studies.readings.ranking`).

    `table` is that of `by_level`. The printed values are the highest mean IoU of a level, and mean
    and standard deviation of the heatmaps at levels 0 and 10, all between 0 and 1.
    """
    printed = printed_values()
    distances = []
    for (title, layer), part in table.groupby(["reading", "layer"], sort=False):
        ours = _printed_quantities(part)
        for quantity, value in ours.items():
            row = {"reading": title, "layer": layer, "quantity": quantity}
            distances.append(row | {"printed": printed[quantity], "ours": value})
    return ranking(pd.DataFrame(distances))


def _printed_quantities(table: pd.DataFrame) -> dict[str, float]:
    """Return the printed quantities that the levels of a reading have."""
    by_level = table.set_index("level")
    quantities = {PEAK: by_level["iou"].max()}
    for quantity, (column, level) in AT_LEVEL.items():
        if column in by_level and level in by_level.index:
            quantities[quantity] = by_level.loc[level, column]
    return quantities
