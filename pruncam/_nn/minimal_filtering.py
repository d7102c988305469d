"""Winograd's minimal filtering: a 3x3 convolution with a quarter of the multiplications.

Four outputs of a filter of three weights need six products instead of twelve; along both axes, a
tile of 4x4 outputs needs 36 instead of 144 (Lavin & Gray 2016, F(4x4, 3x3)).
"""

import numpy as np
from torch import nn

TILE = 4  # outputs of one tile along one axis
# Of the usual choices of interpolation points the one that rounds least; infinity is the sixth.
_POINTS = (0.0, 1.0, -1.0, 0.5, -2.0)


def transforms() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the matrices A (4, 6), G (6, 3) and B (6, 6) of one axis (Toom-Cook).

    A ((G kernel) * (B inputs)) are the four outputs of a tile of six inputs.
    """
    points = np.array(_POINTS)
    count = len(points)
    inputs = np.zeros((count + 1, count + 1))
    scales = np.empty((count, 1))
    for row, point in enumerate(points):
        others = np.delete(points, row)
        inputs[row, :-1] = np.poly(others)[::-1]
        scales[row] = np.prod(point - others)
    inputs[-1] = np.poly(points)[::-1]
    output_at_infinity = np.eye(1, TILE, TILE - 1)[0]
    output_powers = np.vander(points, TILE, increasing=True).T
    outputs = np.column_stack([output_powers, output_at_infinity])
    kernel_at_infinity = np.eye(1, 3, 2)
    kernel_powers = np.vander(points, 3, increasing=True) / scales
    kernel = np.vstack([kernel_powers, kernel_at_infinity])
    return outputs, kernel, inputs


def is_plain_3x3(layer: nn.Conv2d) -> bool:
    """Return whether a convolution has 3x3 kernels, stride 1, and neither groups nor dilation.

    Subclasses may compute something else, so they are none; padding, if any, must be zeros.
    """
    if type(layer) is not nn.Conv2d or layer.kernel_size != (3, 3):
        return False
    if layer.stride != (1, 1) or layer.dilation != (1, 1):
        return False
    return layer.groups == 1 and layer.padding_mode == "zeros"
