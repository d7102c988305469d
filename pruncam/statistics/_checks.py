"""Checks of values and confidence levels."""

import numpy as np
from numpy.typing import ArrayLike

from pruncam._core.validation import check_number, short_repr

_LARGEST = 1e300


def check_confidence(confidence: float) -> None:
    check_number("confidence", confidence)
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be in (0, 1), such as 0.95, got {confidence}")


def as_numbers(name: str, values: object) -> np.ndarray:
    """Return numbers as a float64 array; what is missing or masked is NaN.

    Raises TypeError if they are no real numbers, such as text, dates or lists of several lengths.
    """
    try:
        if hasattr(values, "detach"):  # a tensor
            values = values.detach().cpu()
        array = np.asarray(values)
        if array.dtype.kind == "O" and not any(isinstance(v, str | bytes) for v in array.flat):
            array = array.astype(float)
    except (TypeError, ValueError, RuntimeError):
        array = None
    if array is None or array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must be numbers in a list or an array, got {short_repr(values)}")
    if isinstance(values, np.ma.MaskedArray):
        return np.where(np.ma.getmaskarray(values), np.nan, array).astype(float)
    return array.astype(float)


def all_finite(*arrays: np.ndarray) -> bool:
    return all(np.isfinite(array).all() for array in arrays)


def within_range(array: np.ndarray) -> bool:
    """Return whether all values are finite, and small enough that their sums are."""
    return bool((np.abs(array) < _LARGEST).all())


def finite_values(values: ArrayLike, at_least: int) -> np.ndarray:
    """Return `values` as a float array; raise ValueError unless they suffice for an interval."""
    array = as_numbers("values", values)
    if array.ndim != 1 or len(array) < at_least or not within_range(array):
        raise ValueError(
            f"an interval needs {at_least} or more finite values in one dimension, "
            f"got {array.shape}"
        )
    return array
