"""3x3 convolutions of maps of at most 2x2 cells on a CPU, as one matrix product.

There every output depends on every cell, each by one weight of the kernel; the other weights meet
the padding only. A product of all cells with a matrix (channels x cells, filters x cells) leaves
them out: on 2x2 cells 16 multiplications instead of 36, on a single cell one instead of nine.
"""

import itertools

import torch
from torch import Tensor, nn

from pruncam._nn.tiled_convolution import are_plain_maps

_MOST_CELLS = 2  # along each axis
_LEAST_ROWS = 16  # with fewer, reading the matrix takes longer than the products


def is_worthwhile(layer: nn.Conv2d, inputs: Tensor) -> bool:
    """Return whether a matrix makes a wide 3x3 convolution faster on these inputs.

    The layer is one for which `tiled_convolution.is_wide_3x3` holds.
    """
    if not are_plain_maps(inputs, layer) or layer.padding != (1, 1):
        return False
    return max(inputs.shape[2:]) <= _MOST_CELLS and len(inputs) >= _LEAST_ROWS


def dense_matrix(weight: Tensor, size: torch.Size) -> Tensor:
    """Return the matrix (h w C, h w K) of a convolution (K, C, 3, 3) with padding 1.

    `size` (h, w) is that of the maps, at most 2x2.
    """
    by_tap = weight.detach().permute(2, 3, 1, 0).contiguous()
    matrix = torch.empty((*size, by_tap.shape[2], *size, by_tap.shape[3]))
    cells = list(itertools.product(*map(range, size)))
    for (row, column), (to_row, to_column) in itertools.product(cells, cells):
        tap = by_tap[1 + row - to_row, 1 + column - to_column]
        matrix[row, column, :, to_row, to_column] = tap
    return matrix.flatten(3).flatten(0, 2)


def convolve(maps: Tensor, matrix: Tensor, bias: Tensor | None) -> Tensor:
    """Return the output (N, K, h, w) of maps (N, h, w, C), with channels last in memory.

    `matrix` is the `dense_matrix` of the weights.
    """
    outputs = (maps.flatten(1) @ matrix).view(*maps.shape[:3], -1)
    if bias is not None:
        outputs += bias.detach()
    return outputs.permute(0, 3, 1, 2)
