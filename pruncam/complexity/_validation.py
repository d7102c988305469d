"""Validation of features, labels and settings of CSG."""

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from pruncam._core.validation import check_number, check_seed, check_tensor, short_repr

VOLUME_DIMENSIONS = 3


def as_points(features: Tensor | ArrayLike) -> Tensor:
    """Return features as a finite float32 or float64 tensor of shape (N, D).

    Integers are converted exactly, so that none wraps around. Raises TypeError or ValueError if
    the features are not real numbers, empty or not finite.
    """
    if not isinstance(features, Tensor):
        features = _as_tensor(features)
    else:
        check_tensor("features", features, "numbers of shape (N, ...)")
    features = features.detach()
    shape = tuple(features.shape)
    if features.is_complex():
        raise TypeError(f"features must be real numbers, got {features.dtype}")
    if features.ndim == 0 or features.numel() == 0:
        raise ValueError(f"features must have shape (N, ...) and not be empty, got {shape}")
    if features.device.type == "mps":  # MPS has no float64
        features = features.cpu()
    is_single = _fits_float32(features.is_floating_point(), features.dtype.itemsize)
    points = features.reshape(len(features), -1)
    points = points.to(torch.float32 if is_single else torch.float64)
    low, high = points.aminmax()
    if not (low.isfinite() and high.isfinite()):
        raise ValueError(
            "features must be finite, got NaN or infinity: remove or impute missing values"
        )
    return points


def as_classes(labels: Tensor | ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return the sorted distinct labels, and for each point the index of its label among them.

    Raises TypeError or ValueError if the labels have no single order, a wrong shape, or NaN.
    """
    try:
        if isinstance(labels, Tensor):
            labels = labels.detach().cpu().numpy()
        array = np.asarray(labels)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"labels must be one per point, got {short_repr(labels)}") from None
    if array.ndim != 1:
        raise ValueError(f"labels must be one per point, shape (N,), got {array.shape}")
    try:
        classes, codes = np.unique(array, return_inverse=True)
        has_nan = bool((classes != classes).any())
    except TypeError:
        raise TypeError("labels must be of one kind that can be sorted, got a mixture") from None
    if has_nan:
        raise ValueError("labels must not be NaN: leave out points without a label")
    return classes, codes


def check_set(
    points: Tensor,
    classes: np.ndarray,
    codes: np.ndarray,
    k: int,
) -> None:
    """Raise unless points and labels match, with two classes or more and more than k points."""
    check_number("k", k, whole=True, at_least=1)
    if len(codes) != len(points):
        raise ValueError(
            f"each point needs its label, got {len(points)} points and {len(codes)} labels"
        )
    if len(classes) < 2:
        label = short_repr(classes.tolist()[0])
        raise ValueError(f"complexity is between classes, got only the label {label}")
    if k >= len(points):
        raise ValueError(f"k must be below the number of points, which is {len(points)}, got {k}")


def check_sampling(
    samples_per_class: int | None,
    volume: bool,
    seed: int,
) -> int:
    """Return the seed; raise TypeError or ValueError if a setting has a wrong type or value."""
    if samples_per_class is not None:
        check_number("samples_per_class", samples_per_class, whole=True, at_least=1)
    if not isinstance(volume, bool):
        raise TypeError(f"volume must be True or False, got {short_repr(volume)}")
    return check_seed(seed)


def check_volume(dimensions: int) -> None:
    """Raise ValueError if the features have too many dimensions for volumes."""
    if dimensions > VOLUME_DIMENSIONS:
        raise ValueError(
            f"volume is for at most {VOLUME_DIMENSIONS} dimensions, got {dimensions}: leave it off"
        )


def _as_tensor(features: ArrayLike) -> Tensor:
    try:
        array = np.asarray(features)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"features must be numbers, got {short_repr(features)}") from None
    kind = array.dtype.kind
    if kind not in "biuf":
        raise TypeError(f"features must be numbers, got an array of {array.dtype}")
    is_single = _fits_float32(kind == "f", array.dtype.itemsize)
    dtype = np.float32 if is_single else np.float64
    # Copies an array that is read-only, reversed or byte-swapped, which torch does not accept.
    array = np.require(array, dtype, ["C", "W"])
    return torch.from_numpy(array)


def _fits_float32(is_float: bool, itemsize: int) -> bool:
    """Return whether float32 holds every value of a type of `itemsize` bytes exactly."""
    return itemsize <= (4 if is_float else 2)
