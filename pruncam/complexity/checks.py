"""What a caller of CSG may pass: features and labels of many kinds; anything else is refused in one sentence."""

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from pruncam.choices import check_number, shown

VOLUME_DIMENSIONS = 3


def as_points(features: Tensor | ArrayLike) -> Tensor:
    """Features as a finite float tensor of shape (N, D); whole numbers exactly, so that none wraps round."""
    if not isinstance(features, Tensor):
        array = np.asarray(features)
        if array.dtype.kind not in "biuf":
            raise TypeError(f"features must be numbers, got an array of {array.dtype}")
        narrow = array.dtype.itemsize <= (4 if array.dtype.kind == "f" else 2)
        # A copy where the array is read-only, strided backwards or of foreign byte order, which torch does not take.
        features = torch.from_numpy(np.require(array, np.float32 if narrow else np.float64, ["C", "W"]))
    features = features.detach()
    if features.is_complex():
        raise TypeError(f"features must be real numbers, got {features.dtype}")
    if features.ndim == 0 or features.numel() == 0:
        raise ValueError(f"features must have shape (N, ...) and not be empty, got {tuple(features.shape)}")
    if features.device.type == "mps":  # it has no float64
        features = features.cpu()
    narrow = features.dtype.itemsize <= (4 if features.is_floating_point() else 2)
    points = features.reshape(len(features), -1).to(torch.float32 if narrow else torch.float64)
    if not all(end.isfinite() for end in points.aminmax()):
        raise ValueError("features must be finite, got NaN or infinity: leave out or fill what has no value")
    return points


def as_classes(labels: Tensor | ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """The sorted labels that occur, and each point's place among them."""
    labels = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    if labels.ndim != 1:
        raise ValueError(f"labels must be one per point, shape (N,), got {labels.shape}")
    try:
        classes, codes = np.unique(labels, return_inverse=True)
        missing = bool((classes != classes).any())
    except TypeError:
        raise TypeError("labels must be of one kind that can be sorted, got a mixture") from None
    if missing:
        raise ValueError("labels must not be NaN: leave out the points that have none")
    return classes, codes


def check_set(points: Tensor, classes: np.ndarray, codes: np.ndarray, k: int) -> None:
    """Refuse a set without a complexity, or k neighbours where there are not as many."""
    check_number("k", k, whole=True, at_least=1)
    if len(codes) != len(points):
        raise ValueError(f"each point needs its label, got {len(points)} points and {len(codes)} labels")
    if len(classes) < 2:
        raise ValueError(f"complexity is between classes, got only the label {shown(classes.tolist()[0])}")
    if k >= len(points):
        raise ValueError(f"k must be below the number of points, which is {len(points)}, got {k}")


def check_sampling(samples_per_class: int | None, volume: bool, seed: int) -> None:
    """Refuse settings of a measurement that are none."""
    if samples_per_class is not None:
        check_number("samples_per_class", samples_per_class, whole=True, at_least=1)
    check_number("seed", seed, whole=True)
    if not isinstance(volume, bool):
        raise TypeError(f"volume must be True or False, got {shown(volume)}")


def check_volume(dimensions: int) -> None:
    """Refuse the volume of boxes in many dimensions."""
    if dimensions > VOLUME_DIMENSIONS:
        raise ValueError(f"volume is for at most {VOLUME_DIMENSIONS} dimensions, got {dimensions}: leave it off")
