"""Structural similarity (SSIM) of two heatmaps, batched."""

import math

import torch
from torch import Tensor

from pruncam.metrics.checks import check_pair

_C1, _C2 = 0.01**2, 0.03**2  # (K1 L)^2 and (K2 L)^2 of Wang et al. with a data range L of 1
_SIGMA, _GAUSSIAN_SIZE = 1.5, 11

_CHUNK = 2**20  # pixels treated at once, so that memory does not grow with the number of pairs


def ssim(
    x: Tensor, y: Tensor, window: str = "uniform", size: int | None = None, *, sample_covariance: bool = True
) -> Tensor:
    """Structural similarity of two heatmaps, mean over all windows inside the image (Sp2PS, Eq. 6; PE-score, Eq. 2).

    The numbers are those of `skimage.metrics.structural_similarity(data_range=1)`.

    Parameters
    ----------
    x, y : tensor of shape (N, H, W), in [0, 1]
        Heatmaps of the same N images, not smaller than the window.
    window : "uniform" (scikit-image's default) or "gaussian" (sigma 1.5, as in Wang et al. 2004)
    size : odd width of the uniform window, 7 unless given; the gaussian one is 11 wide
    sample_covariance : divide by the window's pixels less one
        As scikit-image does by default; Wang et al. do not.

    Returns
    -------
    tensor of shape (N,), in [-1, 1], higher is more alike
        Negative where structures are opposed; `sp2ps` and `pe_score` clamp it at 0. Two constant maps a and b: the
        luminance term alone, (2ab + 1e-4) / (a^2 + b^2 + 1e-4).

    Raises
    ------
    TypeError, ValueError
        If the shapes, types or devices differ, the set is empty, a value is NaN or outside [0, 1], the window is
        unknown, even, or larger than the maps.

    Examples
    --------
    >>> x = torch.eye(8)[None]
    >>> ssim(x, x), ssim(x, 1 - x)
    (tensor([1.]), tensor([-0.2968]))
    """
    check_pair(x, y)
    weights = _window(window, size)
    if min(x.shape[1:]) < len(weights):
        raise ValueError(f"SSIM's window is {len(weights)} wide, larger than maps of {x.shape[1]}x{x.shape[2]} pixels")
    pixels = len(weights) ** 2
    correction = pixels / (pixels - 1) if sample_covariance else 1.0
    if window == "uniform" and x.device.type == "cpu":
        from pruncam.metrics.ssim_kernel import uniform_ssim  # compiled on first use, so not imported before

        arrays = (maps.detach().contiguous().numpy() for maps in (x, y))
        return torch.from_numpy(uniform_ssim(*arrays, len(weights), correction, _C1, _C2)).to(x.dtype).clamp(-1, 1)
    pairs = max(1, _CHUNK // x[0].numel())
    parts = zip(x.split(pairs), y.split(pairs), strict=True)
    return torch.cat([_mean_ssim(a, b, weights, correction) for a, b in parts]).to(x.dtype).clamp(-1, 1)


def _mean_ssim(x: Tensor, y: Tensor, weights: list[float], correction: float) -> Tensor:
    # Variances are small differences of large squares: in float32 flat, bright maps would be off by 1e-4.
    if x.device.type != "mps":  # which has no float64
        x, y = x.double(), y.double()
    moments = torch.stack([x, y, x * x + y * y, x * y])
    mean_x, mean_y, squares, product = _average(_average(moments, weights, 2), weights, 3)
    covariance = correction * (product - mean_x * mean_y)
    variances = correction * (squares - mean_x.square() - mean_y.square())
    alike = (2 * mean_x * mean_y + _C1) * (2 * covariance + _C2)
    return (alike / ((mean_x.square() + mean_y.square() + _C1) * (variances + _C2))).mean(dim=(1, 2))


def _window(window: str, size: int | None) -> list[float]:
    """The window's weights along one axis."""
    if window == "uniform":
        size = 7 if size is None else size
        if size < 3 or size % 2 == 0:
            raise ValueError(f"the uniform window's size must be odd and at least 3, got {size}")
        return [1 / size] * size
    if window == "gaussian":
        if size not in (None, _GAUSSIAN_SIZE):
            raise ValueError(f"the gaussian window is {_GAUSSIAN_SIZE} pixels wide (sigma {_SIGMA}), got size {size}")
        offsets = range(-(_GAUSSIAN_SIZE // 2), _GAUSSIAN_SIZE // 2 + 1)
        weights = [math.exp(-0.5 * (offset / _SIGMA) ** 2) for offset in offsets]
        return [weight / sum(weights) for weight in weights]
    raise ValueError(f"unknown SSIM window {window!r}: choose uniform or gaussian")


def _average(values: Tensor, weights: list[float], dim: int) -> Tensor:
    """Weighted mean of each run of neighbours along one dimension, windows inside the image only."""
    count = values.shape[dim] - len(weights) + 1
    total = values.narrow(dim, 0, count) * weights[0]
    for offset, weight in enumerate(weights[1:], start=1):
        total.add_(values.narrow(dim, offset, count), alpha=weight)
    return total
