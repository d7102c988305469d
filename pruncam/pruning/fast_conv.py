"""Convolutions of small feature maps on a CPU with fewer multiplications, for SeNPIS.

A 2x2 map under a 3x3 kernel is mostly padding; as one matrix product over all pixels nothing is
multiplied by a padded zero. A 3x3 kernel on 4x4 and 8x8 maps uses Winograd's minimal filtering
(Lavin & Gray 2016): 36 products for 16 outputs instead of 144. Both equal the convolution up to
rounding: 3e-7 and 3e-6 of the largest output in float32, where PyTorch's own convolution has 2e-6
(512 channels, against float64).
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from pruncam._nn import minimal_filtering
from pruncam._nn.minimal_filtering import TILE, is_plain_3x3

Step = Callable[[Tensor], Tensor]

_LARGEST_MATRIX = 2**24


def faster(step: Step, row: Tensor) -> Step:
    """Return a faster function equal to `step` for inputs of the shape of `row` (1, ...).

    Returns `step` itself if there is none.
    """
    if not isinstance(step, nn.Conv2d) or not _is_plain(step) or row.device.type != "cpu":
        return step
    height, width = row.shape[2:]
    kernel_height, kernel_width = step.kernel_size
    is_mostly_padding = height * width < kernel_height * kernel_width
    if is_mostly_padding and row.numel() * step(row).numel() <= _LARGEST_MATRIX:
        return _MatrixConvolution(step, row)
    is_tiled = height == width and height in (TILE, 2 * TILE)
    if is_tiled and is_plain_3x3(step) and step.padding in (1, (1, 1)):
        return _WinogradConvolution(step, height)
    return step


def _is_plain(layer: nn.Conv2d) -> bool:
    """Return True for a convolution itself, not a subclass, without groups and special padding."""
    return type(layer) is nn.Conv2d and layer.groups == 1 and layer.padding_mode == "zeros"


class _MatrixConvolution:
    """A convolution as a matrix from all inputs to all outputs."""

    def __init__(self, layer: nn.Conv2d, row: Tensor):
        units = torch.eye(row.numel(), dtype=row.dtype)
        constant = layer(torch.zeros_like(row))
        weight = nn.functional.conv2d(
            units.view(-1, *row.shape[1:]),
            layer.weight,
            stride=layer.stride,
            padding=layer.padding,
            dilation=layer.dilation,
        )
        self._shape = constant.shape[1:]
        self._constant = constant.flatten(1)
        self._matrix = weight.flatten(1)

    def __call__(self, value: Tensor) -> Tensor:
        output = torch.addmm(self._constant, value.flatten(1), self._matrix)
        return output.view(-1, *self._shape)


class _WinogradConvolution:
    """A 3x3 convolution, padding 1, on square maps whose size is a multiple of the tile."""

    def __init__(self, layer: nn.Conv2d, size: int):
        dtype = layer.weight.dtype
        self._size = size
        self._tiles = size // TILE
        outputs, kernel, inputs = minimal_filtering.transforms()
        self._points = len(inputs)
        to_products, to_outputs = self._axis_matrices(inputs, outputs)
        self._to_products = _both_axes(to_products).to(dtype)
        self._to_outputs = _both_axes(to_outputs).to(dtype)
        transform = torch.from_numpy(kernel)
        kernels = layer.weight.detach().double()
        weight = transform @ kernels @ transform.T  # (filters, channels, points, points)
        weight = weight.permute(2, 3, 1, 0).flatten(0, 1)
        self._weight = weight.to(dtype).contiguous()
        self._bias = layer.bias

    def _axis_matrices(
        self, inputs: np.ndarray, outputs: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the matrices from one axis of the map to products, and from products to outputs.

        They hold the matrices of all tiles. Padding is 0 and needs no column.
        """
        points, size = self._points, self._size
        count = self._tiles * points
        to_products = np.zeros((count, size + 2))
        to_outputs = np.zeros((size, count))
        for tile in range(self._tiles):
            products = slice(tile * points, (tile + 1) * points)
            start = tile * TILE
            to_products[products, start : start + points] = inputs
            to_outputs[start : start + TILE, products] = outputs
        return to_products[:, 1:-1], to_outputs

    def __call__(self, value: Tensor) -> Tensor:
        rows, channels = value.shape[:2]
        tiles, points = self._tiles, self._points
        filters = self._weight.shape[2]
        tiled = value.reshape(rows * channels, -1) @ self._to_products
        tiled = tiled.view(rows, channels, tiles, points, tiles, points)
        tiled = tiled.permute(3, 5, 0, 2, 4, 1)
        products = tiled.reshape(points**2, -1, channels) @ self._weight
        products = products.view(points, points, rows, tiles, tiles, filters)
        products = products.permute(2, 5, 3, 0, 4, 1)
        output = products.reshape(rows * filters, -1) @ self._to_outputs
        output = output.view(rows, filters, self._size, self._size)
        if self._bias is None:
            return output
        return output.add_(self._bias[:, None, None])


def _both_axes(matrix: np.ndarray) -> Tensor:
    """Return the matrix that applies `matrix` along height and width of flattened maps."""
    return torch.from_numpy(np.kron(matrix, matrix).T.copy())
