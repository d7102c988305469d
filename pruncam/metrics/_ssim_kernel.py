"""Compiled SSIM over a uniform window, from running sums over the rows of one pair at a time."""

import numpy as np
from numba import njit

_compile = njit(cache=True, fastmath=True, nogil=True, error_model="numpy")


@_compile
def mean_ssim(x, y, size, correction, c1, c2):
    """Return the mean SSIM of each pair of (N, H, W) arrays, (N,) float64.

    `correction` scales variances and covariance; `c1` and `c2` are the constants of Wang et al.
    """
    count, height, width = x.shape
    across = width - size + 1
    pixels = size * size
    result = np.empty(count)
    # Per column: sums of x, y, x^2 + y^2 and xy over the rows of the window.
    column = np.empty((4, width))
    window = np.empty((4, across))
    for i in range(count):
        column[:] = 0.0
        total = 0.0
        for row in range(height):
            _add(column, x[i, row], y[i, row], 1.0)
            if row >= size:
                _add(column, x[i, row - size], y[i, row - size], -1.0)
            if row < size - 1:
                continue
            window[:] = 0.0
            for moment in range(4):
                for shift in range(size):
                    for j in range(across):
                        window[moment, j] += column[moment, j + shift]
            for j in range(across):
                mean_x, mean_y = window[0, j] / pixels, window[1, j] / pixels
                product, squares = mean_x * mean_y, mean_x * mean_x + mean_y * mean_y
                covariance = correction * (window[3, j] / pixels - product)
                variances = correction * (window[2, j] / pixels - squares)
                numerator = (2 * product + c1) * (2 * covariance + c2)
                denominator = (squares + c1) * (variances + c2)
                total += numerator / denominator
        result[i] = total / (across * (height - size + 1))
    return result


@_compile
def _add(column, x, y, sign):
    for j in range(len(x)):
        a, b = np.float64(x[j]), np.float64(y[j])
        column[0, j] += sign * a
        column[1, j] += sign * b
        column[2, j] += sign * (a * a + b * b)
        column[3, j] += sign * (a * b)
