"""The images that figures show, chosen by a rule, and their heatmaps at every level."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pruncam import cams, metrics
from pruncam.studies.mnist_iou.lottery_run import LotteryRun

_THESIS_DIGIT = 8  # the class that Figure 2.4 shows


@dataclass(frozen=True)
class DigitSample:
    """A test image, its noisy copy, and its heatmap and IoU at every level; pixels in [0, 1]."""

    index: int
    label: str
    image: np.ndarray  # (H, W)
    noisy: np.ndarray  # (H, W)
    maps: np.ndarray  # (levels, H, W)
    iou: list[float]


@dataclass(frozen=True)
class DigitSamples:
    """All images that figures show.

    `by_class` has the first test image of every class, `eight` the first 8 (Figure 2.4), and
    `inverted` the first image whose heatmap is inverted at level 0 (Figures 4.1 and 4.2).
    """

    by_class: list[DigitSample]
    eight: DigitSample
    inverted: DigitSample


def choose_samples(run: LotteryRun, scores: Sequence[dict[str, Any]]) -> DigitSamples:
    """Return the samples of a trained run with these scores by level.

    Without an 8, the first image of the first class replaces it; without an inverted heatmap, the
    first 8 does.
    """
    labels = run.test.labels.cpu()
    first_of_class = [_first(labels == number) for number in labels.unique()]
    is_eight, is_inverted = labels == _THESIS_DIGIT, scores[0]["inverted"]
    eight = _first(is_eight) if is_eight.any() else first_of_class[0]
    inverted = _first(is_inverted) if is_inverted.any() else eight
    *by_class, eight_sample, inverted_sample = _samples(run, [*first_of_class, eight, inverted])
    return DigitSamples(by_class, eight_sample, inverted_sample)


def _first(selected: torch.Tensor) -> int:
    return int(selected.nonzero()[0])


def _samples(run: LotteryRun, indices: list[int]) -> list[DigitSample]:
    rows = torch.tensor(indices, device=run.trainer.device)
    clean, noisy = run.clean[rows], run.noisy[rows]
    inputs = run.config.inputs.normalize(noisy)
    method, layer = run.config.method, run.config.target_layer
    maps, iou = [], []
    for model in run.models:
        of_level = cams.heatmaps(model, inputs, method=method, target_layer=layer)
        maps.append(of_level)
        iou.append(metrics.soft_iou(of_level, clean))
    maps_by_image = torch.stack(maps, dim=1).cpu().numpy()
    iou_by_image = torch.stack(iou, dim=1).tolist()
    return [
        DigitSample(
            index=index,
            label=run.test.classes[int(run.test.labels[index])],
            image=clean[k].cpu().numpy(),
            noisy=noisy[k, 0].cpu().numpy() / 255,
            maps=maps_by_image[k],
            iou=iou_by_image[k],
        )
        for k, index in enumerate(indices)
    ]
