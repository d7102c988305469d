"""Structural similarity (SSIM) of two heatmaps, batched."""

import math

import torch
from torch import Tensor

from pruncam._core.extras import can_import
from pruncam._core.validation import check_choice, check_flag, check_number, short_repr
from pruncam.metrics._validation import check_pair

# (K1 L)^2 and (K2 L)^2 of Wang et al. 2004 with a data range L of 1
_C1 = 0.01**2
_C2 = 0.03**2
_SIGMA = 1.5
_WIDTHS = {"uniform": 7, "gaussian": 11}  # pixels

_CHUNK = 2**20  # pixels per step, so that memory does not grow with the number of pairs


def ssim(
    x: Tensor,
    y: Tensor,
    window: str = "uniform",
    size: int | None = None,
    *,
    sample_covariance: bool = True,
) -> Tensor:
    """Return the structural similarity, averaged over all windows that lie inside the image.

    Sources: Sp2PS, Eq. 6; PE-score, Eq. 2; Wang et al. 2004. The values equal those of
    `skimage.metrics.structural_similarity(data_range=1)`.

    Parameters
    ----------
    x, y : tensor of shape (N, H, W), in [0, 1]
        Heatmaps of the same N images, at least as large as the window.
    window : "uniform" (scikit-image's default) or "gaussian" (sigma 1.5, as in Wang et al.)
    size : int, optional
        Odd width of the uniform window, 7 by default. The Gaussian window is 11 pixels wide.
    sample_covariance : bool
        Divide by the number of the window's pixels minus one, as scikit-image does by default;
        Wang et al. do not.

    Returns
    -------
    tensor of shape (N,), in [-1, 1]; higher is more similar
        Negative where the structures are opposed; `sp2ps` and `pe_score` clamp it at 0. Two
        constant maps a and b have only the luminance term, (2ab + 1e-4) / (a^2 + b^2 + 1e-4).

    Raises
    ------
    TypeError, ValueError
        If shapes, types or devices differ, there is no image, a value is NaN or outside [0, 1], or
        the window is unknown, even, or larger than the maps.

    Examples
    --------
    >>> x = torch.eye(8)[None]
    >>> ssim(x, x), ssim(x, 1 - x)
    (tensor([1.]), tensor([-0.2968]))
    """
    check_pair(x, y)
    check_flag("sample_covariance", sample_covariance)
    width = _window_width(window, size)
    if min(x.shape[1:]) < width:
        raise ValueError(
            f"the SSIM window is {width} wide, larger than maps of {x.shape[1]}x{x.shape[2]} "
            "pixels: take larger images or a smaller window"
        )
    # From population to sample covariance.
    correction = width**2 / (width**2 - 1) if sample_covariance else 1.0
    if window == "uniform" and x.device.type == "cpu" and can_import("numba"):
        values = _uniform_ssim(x, y, width, correction)
    else:
        values = _batched_ssim(x, y, _window_weights(window, width), correction)
    return values.to(x.dtype).clamp(-1, 1)


def _uniform_ssim(x: Tensor, y: Tensor, width: int, correction: float) -> Tensor:
    """Return the SSIM over uniform windows of this width, computed on the CPU, (N,) float64."""
    # The kernel imports numba, which takes a second: only when it is needed.
    from pruncam.metrics._ssim_kernel import mean_ssim

    array_x = x.detach().contiguous().numpy()
    array_y = y.detach().contiguous().numpy()
    return torch.from_numpy(mean_ssim(array_x, array_y, width, correction, _C1, _C2))


def _batched_ssim(
    x: Tensor,
    y: Tensor,
    weights: list[float],
    correction: float,
) -> Tensor:
    pairs = max(1, _CHUNK // x[0].numel())
    chunks = zip(x.split(pairs), y.split(pairs), strict=True)
    return torch.cat([_mean_ssim(a, b, weights, correction) for a, b in chunks])


def _mean_ssim(
    x: Tensor,
    y: Tensor,
    weights: list[float],
    correction: float,
) -> Tensor:
    # Variances are small differences of large squares: float32 would be off by 1e-4 on maps that
    # are flat and bright. MPS has no float64.
    if x.device.type != "mps":
        x, y = x.double(), y.double()
    moments = torch.stack([x, y, x * x + y * y, x * y])
    moments = _average(_average(moments, weights, 2), weights, 3)
    mean_x, mean_y, squares, product = moments
    covariance = correction * (product - mean_x * mean_y)
    variances = correction * (squares - mean_x.square() - mean_y.square())
    numerator = (2 * mean_x * mean_y + _C1) * (2 * covariance + _C2)
    squared_means = mean_x.square() + mean_y.square()
    denominator = (squared_means + _C1) * (variances + _C2)
    return (numerator / denominator).mean(dim=(1, 2))


def _window_width(window: str, size: int | None) -> int:
    """Return the width of a window; raise TypeError or ValueError if it is unknown or unfit."""
    check_choice("SSIM window", window, _WIDTHS)
    if size is None:
        return _WIDTHS[window]
    check_number("size", size, whole=True)
    if window == "gaussian" and size != _WIDTHS[window]:
        raise ValueError(
            f"the gaussian window is {_WIDTHS[window]} pixels wide (sigma {_SIGMA}), "
            f"got size {short_repr(size)}"
        )
    if size < 3 or size % 2 == 0:
        raise ValueError(
            f"the uniform window's size must be odd and at least 3, got {short_repr(size)}"
        )
    return int(size)


def _window_weights(window: str, width: int) -> list[float]:
    """Return the window's weights along one axis."""
    if window == "uniform":
        return [1 / width] * width
    offsets = range(-(width // 2), width // 2 + 1)
    weights = [math.exp(-0.5 * (offset / _SIGMA) ** 2) for offset in offsets]
    return [weight / sum(weights) for weight in weights]


def _average(values: Tensor, weights: list[float], dim: int) -> Tensor:
    """Return the weighted means of all windows inside the image, along one dimension."""
    count = values.shape[dim] - len(weights) + 1
    total = values.narrow(dim, 0, count) * weights[0]
    for offset, weight in enumerate(weights[1:], start=1):
        total.add_(values.narrow(dim, offset, count), alpha=weight)
    return total
