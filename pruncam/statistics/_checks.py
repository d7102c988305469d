"""Checks of values and confidence levels."""

import numpy as np
from numpy.typing import ArrayLike

from pruncam._core.validation import check_number


def check_confidence(confidence: float) -> None:
    check_number("confidence", confidence)
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be in (0, 1), such as 0.95, got {confidence}")


def all_finite(*arrays: np.ndarray) -> bool:
    return all(np.isfinite(array).all() for array in arrays)


def finite_values(values: ArrayLike, at_least: int) -> np.ndarray:
    """Return `values` as a float array; raise ValueError unless they suffice for an interval."""
    array = np.asarray(values, dtype=float)
    if array.ndim != 1 or len(array) < at_least or not all_finite(array):
        raise ValueError(
            f"an interval needs {at_least} or more finite values in one dimension, "
            f"got {array.shape}"
        )
    return array
