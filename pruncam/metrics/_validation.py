"""Validation of heatmaps and of scores per image."""

import math

import torch
from torch import Tensor

from pruncam._core.validation import check_tensor

_MOST_CLASSES = 2**24  # larger labels are no class indices
_TOLERANCE = 1e-6  # a bilinear resize in float32 may leave [0, 1] by rounding


def check_pair(x: Tensor, y: Tensor) -> None:
    """Raise unless x and y are heatmaps in [0, 1] of one shape (N, H, W), type and device."""
    check_floating("heatmaps", x, y)
    if x.ndim != 3 or x.shape != y.shape:
        raise ValueError(
            f"heatmaps must share one shape (N, H, W), got {tuple(x.shape)} and {tuple(y.shape)}"
        )
    _check_not_empty(x)
    check_range("heatmaps", x, y)


def check_maps(maps: Tensor) -> None:
    """Raise unless `maps` are heatmaps of shape (N, H, W) in [0, 1]."""
    check_floating("heatmaps", maps)
    if maps.ndim != 3:
        raise ValueError(f"heatmaps must have shape (N, H, W), got {tuple(maps.shape)}")
    _check_not_empty(maps)
    check_range("heatmaps", maps)


def check_per_image(name: str, *values: Tensor, low: float = 0) -> None:
    """Raise unless all `values` are tensors of one shape (N,): a number in [low, 1] per image."""
    check_floating(name, *values)
    same_shape = len({value.shape for value in values}) == 1
    if not same_shape or values[0].ndim != 1 or values[0].numel() == 0:
        shapes = " and ".join(str(tuple(value.shape)) for value in values)
        raise ValueError(
            f"{name} must be one number per image, of one shape (N,) with N > 0, got {shapes}"
        )
    check_range(name, *values, low=low)


def check_floating(name: str, *values: Tensor) -> None:
    """Raise TypeError unless all `values` are float32 or float64 tensors of one type and device."""
    for value in values:
        check_tensor(name, value, "tensors")
        if value.dtype not in (torch.float32, torch.float64):
            raise TypeError(
                f"{name} must be float32 or float64, got {value.dtype}: convert them first"
            )
    kinds = [f"{value.dtype} on {value.device}" for value in values]
    if len(set(kinds)) > 1:
        raise TypeError(f"{name} must share type and device, got {' and '.join(kinds)}")


def check_range(name: str, *values: Tensor, low: float = 0) -> None:
    """Raise ValueError if a value is NaN or outside [low, 1]."""
    for value in values:
        bounds = value.aminmax()
        lowest, highest = float(bounds.min), float(bounds.max)
        if math.isnan(lowest):
            raise ValueError(f"{name} must be numbers, got NaN: leave undefined values out")
        if lowest < low - _TOLERANCE or highest > 1 + _TOLERANCE:
            is_uint8_scale = lowest >= 0 and 1 < highest <= 255
            hint = ": divide by 255" if is_uint8_scale else ""
            raise ValueError(
                f"{name} must lie in [{low:g}, 1], got [{lowest:g}, {highest:g}]{hint}"
            )


def check_counts(counts: Tensor) -> None:
    """Raise unless `counts` are numbers of images (classes,), not all of them 0."""
    expected = "the number of images of each class, shape (classes,), not all of them 0"
    check_tensor("counts", counts, f"a tensor of {expected}")
    is_vector = counts.ndim == 1 and not counts.is_complex()
    if not is_vector or (counts < 0).any() or not 0 < counts.sum() < torch.inf:
        raise ValueError(f"counts must be {expected}")


def check_labels(labels: Tensor, shape: torch.Size) -> None:
    """Raise unless `labels` are class indices from 0, of this shape."""
    check_tensor("labels", labels, "a tensor of class indices")
    is_integer = not (labels.is_floating_point() or labels.is_complex())
    if labels.shape != shape or not is_integer or labels.dtype == torch.bool:
        raise ValueError(
            f"labels must be class indices from 0, shape {tuple(shape)}, got {tuple(labels.shape)}"
        )
    low, high = labels.aminmax()
    if low < 0 or high >= _MOST_CLASSES:
        raise ValueError(f"labels must be class indices from 0, got {int(low)} to {int(high)}")


def _check_not_empty(maps: Tensor) -> None:
    if maps.numel() == 0:
        raise ValueError(
            f"heatmaps must hold at least one image and one pixel, got shape {tuple(maps.shape)}"
        )
