"""From channel weights to heatmaps at image size, with pytorch-grad-cam's arithmetic."""

import torch
from torch import Tensor

_EPSILON = 1e-7  # pytorch-grad-cam's constant: keeps a constant map from 0/0


def at_least_float32(values: Tensor) -> Tensor:
    """Half-precision values in float32, others as they are: a map's arithmetic needs more than 8 or 11 bits."""
    return values if values.dtype in (torch.float32, torch.float64) else values.float()


def to_heatmaps(activations: Tensor, weights: Tensor, size: tuple[int, int]) -> Tensor:
    """Weighted sum over channels, ReLU, min-max, resize, min-max: (N, K, h, w) and (N, K) -> (N, H, W) float32."""
    # A caller's autocast would round the maps.
    with torch.autocast(activations.device.type, enabled=False):
        maps = torch.einsum("nk,nkhw->nhw", weights, activations).relu()
        return _min_max(_resize(_min_max(maps).float(), size))


def _min_max(maps: Tensor) -> Tensor:
    maps = maps - maps.amin(dim=(1, 2), keepdim=True)
    return maps / (_EPSILON + maps.amax(dim=(1, 2), keepdim=True))


def _resize(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear with half-pixel centres, as OpenCV's: two matrix products, several times faster at small sizes."""
    height, width = (_interpolation(old, new).to(maps.device) for old, new in zip(maps.shape[1:], size, strict=True))
    return height @ (maps @ width.T)  # the wide product first: it is one product for all images


def _interpolation(old: int, new: int) -> Tensor:
    """The (new, old) matrix of linear interpolation with half-pixel centres; each row sums to 1."""
    centre = (torch.arange(new, dtype=torch.float64) + 0.5) * (old / new) - 0.5
    distance = (centre.clamp(0, old - 1)[:, None] - torch.arange(old)).abs()
    return (1 - distance).clamp(min=0).float()
