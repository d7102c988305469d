"""The fit of heatmaps and the digits in their images: scores by image, and over all images."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pruncam import cams, metrics


def fit_scores(maps: Tensor, images: Tensor) -> dict[str, Tensor]:
    """Return how well heatmaps fit their images, (N,) each.

    `maps` are (N, H, W) in [0, 1]; `images` are the clean images, (N, H, W) in [0, 1].

    `iou`: soft IoU (thesis, Eq. 2.8); `iou_other_image`: the same with the next image, a control
    that no true explanation should pass; `iou_binary`: IoU of the pixels above the mean;
    `energy`: share of the map on the digit, NaN for an empty map; `pixel_correlation`: Pearson
    correlation over pixels; `inverted`: whether the map is weaker on the digit than around it;
    `empty`: whether the map is constant, such as all zero. `minima`, `maxima`, `mean` and
    `mean_square` are the parts of the values over all images (`summarize_images`).
    """
    digit = images > 0
    minima = torch.minimum(maps, images)
    maxima = torch.maximum(maps, images)
    flat = maps.flatten(1)
    return {
        "iou": metrics.soft_iou(maps, images),
        "iou_other_image": metrics.soft_iou(maps, images.roll(-1, 0)),
        "iou_binary": metrics.iou(maps, images),
        "energy": metrics.energy_on(maps, digit),
        "pixel_correlation": _pixel_correlation(flat, images.flatten(1)),
        "inverted": _mean_on(flat, digit) < _mean_on(flat, ~digit),
        "empty": cams.is_empty(maps),
        "minima": minima.sum((1, 2)),
        "maxima": maxima.sum((1, 2)),
        "mean": flat.mean(1),
        "mean_square": flat.square().mean(1),
    }


def summarize_images(batches: Sequence[dict[str, Tensor]], pixels: int) -> dict[str, Any]:
    """Return the scores by image of all batches, and the values over all images.

    `pixels` is the number of pixels of an image. `pooled_iou` is the soft IoU with the minima and
    maxima of all images pooled, `pooled_iou_nonempty` that of the images without empty maps (NaN if
    all are empty); `heatmap_mean` and `heatmap_std` are those of all heatmap pixels.
    """
    scores = {}
    for name in batches[0]:
        scores[name] = torch.cat([batch[name] for batch in batches])
    minima, maxima = scores.pop("minima"), scores.pop("maxima")
    means, mean_squares = scores.pop("mean"), scores.pop("mean_square")
    has_map = ~scores["empty"]
    nonempty = math.nan
    if has_map.any():
        nonempty = _pooled_iou(minima[has_map], maxima[has_map])
    return scores | {
        "pooled_iou": _pooled_iou(minima, maxima),
        "pooled_iou_nonempty": nonempty,
        "heatmap_mean": means.double().mean().item(),
        "heatmap_std": pixel_deviation(means, mean_squares, pixels),
    }


def pixel_deviation(means: Tensor, mean_squares: Tensor, pixels: int) -> float:
    """Return the standard deviation of all pixels of maps, from the mean and mean square of each.

    `means` and `mean_squares` are (N,); every map has `pixels` pixels.
    """
    total = pixels * len(means)
    squares = mean_squares.double().mean() * total
    variance = (squares - total * means.double().mean() ** 2) / (total - 1)
    return variance.clamp(min=0).sqrt().item()


def _mean_on(flat: Tensor, pixels: Tensor) -> Tensor:
    """Return the mean of each map (N, P) on its pixels (N, H, W); 0 without pixels."""
    inside = pixels.flatten(1)
    return (flat * inside).sum(1) / inside.sum(1).clamp(min=1)


def _pooled_iou(minima: Tensor, maxima: Tensor) -> float:
    """Return sum over sum; 1 if both are empty, as for one image."""
    union = maxima.double().sum().item()
    return minima.double().sum().item() / union if union else 1.0


def _pixel_correlation(x: Tensor, y: Tensor) -> Tensor:
    """Return Pearson's correlation over the pixels of each pair; 0 if one of them is constant."""
    x = x - x.mean(1, keepdim=True)
    y = y - y.mean(1, keepdim=True)
    norms = x.norm(dim=1) * y.norm(dim=1)
    correlation = (x * y).sum(1) / norms.clamp(min=1e-12)
    return torch.where(norms > 0, correlation, torch.zeros_like(norms))
