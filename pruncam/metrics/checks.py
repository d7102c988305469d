"""What a caller can get wrong, refused in one sentence."""

import torch
from torch import Tensor

_TOLERANCE = 1e-6  # a bilinear resize in float32 may leave [0, 1] by rounding


def check_pair(x: Tensor, y: Tensor) -> None:
    """Refuse what is not a pair of heatmaps of one shape (N, H, W), type and device, with values in [0, 1]."""
    check_floating("heatmaps", x, y)
    if x.ndim != 3 or x.shape != y.shape:
        raise ValueError(f"heatmaps must share one shape (N, H, W), got {tuple(x.shape)} and {tuple(y.shape)}")
    if x.numel() == 0:
        raise ValueError(f"heatmaps must hold at least one image and one pixel, got shape {tuple(x.shape)}")
    check_range("heatmaps", x, y)


def check_per_image(name: str, *values: Tensor, low: float = 0) -> None:
    """Refuse what is not one number in [low, 1] per image: tensors of one shape (N,), type and device."""
    check_floating(name, *values)
    if values[0].ndim != 1 or len({value.shape for value in values}) > 1 or values[0].numel() == 0:
        shapes = " and ".join(str(tuple(value.shape)) for value in values)
        raise ValueError(f"{name} must be one number per image, of one shape (N,) with N > 0, got {shapes}")
    check_range(name, *values, low=low)


def check_floating(name: str, *values: Tensor) -> None:
    """Refuse what are not float32 or float64 tensors of one type on one device."""
    for value in values:
        if not isinstance(value, Tensor):
            raise TypeError(f"{name} must be tensors, got {type(value).__name__}")
        if value.dtype not in (torch.float32, torch.float64):
            raise TypeError(f"{name} must be float32 or float64, got {value.dtype}: convert them first")
    places = [f"{value.dtype} on {value.device}" for value in values]
    if len(set(places)) > 1:
        raise TypeError(f"{name} must share type and device, got {' and '.join(places)}")


def check_range(name: str, *values: Tensor, low: float = 0) -> None:
    """Refuse NaN and values outside [low, 1]."""
    for value in values:
        lowest, highest = (float(end) for end in value.aminmax())
        if lowest != lowest:
            raise ValueError(f"{name} must be numbers, got NaN: leave out what has no value")
        if lowest < low - _TOLERANCE or highest > 1 + _TOLERANCE:
            hint = ": divide by 255" if lowest >= 0 and 1 < highest <= 255 else ""
            raise ValueError(f"{name} must lie in [{low:g}, 1], got [{lowest:g}, {highest:g}]{hint}")
