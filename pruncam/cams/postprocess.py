"""Heatmaps of image size from weighted activations, with pytorch-grad-cam's arithmetic."""

import torch
from torch import Tensor

from pruncam._core.validation import check_tensor

_EPSILON = 1e-7  # pytorch-grad-cam's constant: a constant map becomes 0, not 0/0


def to_heatmaps(activations: Tensor, weights: Tensor, size: tuple[int, int]) -> Tensor:
    """Return heatmaps (N, H, W) in [0, 1], float32, from activations (N, K, h, w).

    The weighted sum over channels, its positive part, scaled to [0, 1], resized to `size` and
    scaled again. `weights` are (N, K), or (N, K, h, w) for a weight per activation.
    """
    # Autocast of the caller would round the maps.
    with torch.autocast(activations.device.type, enabled=False):
        maps = _weighted_sum(activations, weights)
        if maps.isfinite().all():
            small = _min_max(maps.relu()).float()
        else:  # sums beyond the range of the type; on the CPU, since not every device has float64
            maps = _weighted_sum(activations.cpu().double(), weights.cpu().double())
            small = _min_max(maps.relu()).float().to(activations.device)
        return _min_max(_resize(small, size))


def _weighted_sum(activations: Tensor, weights: Tensor) -> Tensor:
    """Return the sum over channels of weights times activations, (N, h, w)."""
    if weights.ndim == 2:
        return torch.einsum("nk,nkhw->nhw", weights, activations)
    return (weights * activations).sum(dim=1)


def is_empty(maps: Tensor) -> Tensor:
    """Return which heatmaps (N, H, W) are constant, such as all zero, and so explain nothing.

    The result is a bool tensor of shape (N,). Raises TypeError or ValueError for anything else.

    Examples
    --------
    >>> is_empty(torch.tensor([[[0.0, 0.0]], [[0.5, 0.5]], [[0.0, 1.0]]]))
    tensor([ True,  True, False])
    """
    check_tensor("maps", maps, "a tensor of heatmaps (N, H, W)")
    if maps.ndim != 3 or maps.is_complex() or maps[:1].numel() == 0 < len(maps):
        raise ValueError(f"maps must be real heatmaps (N, H, W), got {tuple(maps.shape)}")
    return maps.amax(dim=(1, 2)) == maps.amin(dim=(1, 2))


def _min_max(maps: Tensor) -> Tensor:
    lowest = maps.amin(dim=(1, 2), keepdim=True)
    shifted = maps - lowest
    highest = shifted.amax(dim=(1, 2), keepdim=True)
    return shifted / (_EPSILON + highest)


def _resize(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize bilinearly with half-pixel centres, as OpenCV does.

    Two matrix products are several times faster than `interpolate` at small sizes.
    """
    _, height, width = maps.shape
    rows = _interpolation(height, size[0]).to(maps.device)
    columns = _interpolation(width, size[1]).to(maps.device)
    wide = maps @ columns.T  # first, since it is one product for all images
    return rows @ wide


def _interpolation(old: int, new: int) -> Tensor:
    """Return the (new, old) matrix of linear interpolation; each row sums to 1."""
    pixels = torch.arange(new, dtype=torch.float64)
    centres = (pixels + 0.5) * (old / new) - 0.5
    inside = centres.clamp(0, old - 1)
    distance = (inside[:, None] - torch.arange(old)).abs()
    return (1 - distance).clamp(min=0).float()
