"""The images that figures show, chosen by a rule, and their heatmaps at every level."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pruncam import cams, metrics
from pruncam.studies.mnist_iou.lottery_run import LotteryRun

_THESIS_DIGIT = 8  # the class that Figure 2.4 shows
_LATE = 10  # the level of Figure 4.1


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
    `inverted` the first image whose heatmap is inverted at level 0 (Figures 4.1 and 4.2), all
    among the images whose heatmaps are not empty at level 0 and, for `inverted`, at level 10.
    Without an inverted heatmap (`has_inverted`), `inverted` is `eight`.
    """

    by_class: list[DigitSample]
    eight: DigitSample
    inverted: DigitSample
    has_inverted: bool


def choose_samples(run: LotteryRun, scores: Sequence[dict[str, Any]]) -> DigitSamples:
    """Return the samples of a trained run with these scores by level.

    Without an 8, the first image of the first class replaces it; without an inverted heatmap, the
    first 8 does. Where all candidates have empty heatmaps, the first of them is taken.
    """
    labels = run.test.labels.cpu()
    has_map = ~scores[0]["empty"]
    late = min(_LATE, len(scores) - 1)
    has_late_map = has_map & ~scores[late]["empty"]
    first_of_class = [_first(labels == number, has_map) for number in labels.unique()]
    is_eight = labels == _THESIS_DIGIT
    is_inverted = scores[0]["inverted"]
    has_inverted = bool(is_inverted.any())
    eight = _first(is_eight, has_map) if is_eight.any() else first_of_class[0]
    inverted = _first(is_inverted, has_late_map) if has_inverted else eight
    *by_class, eight_sample, inverted_sample = _samples(run, [*first_of_class, eight, inverted])
    return DigitSamples(by_class, eight_sample, inverted_sample, has_inverted)


def _first(candidates: torch.Tensor, preferred: torch.Tensor) -> int:
    """Return the first of the candidates that is preferred, or else the first."""
    both = candidates & preferred
    selected = both if both.any() else candidates
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
