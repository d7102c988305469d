"""Training of 3x3 convolutions on small maps on a CPU, one weight of the kernel at a time.

For each of the nine weights of a kernel, one matrix product takes all the cells that this weight
meets (kn2row, Vasudevan et al. 2017). What it would meet in the padding is left out: on 2x2 cells
16 multiplications instead of 36. Output and gradients equal those of PyTorch's convolution up to
rounding. On 2x2 cells PyTorch usually needs two to four times as long, on 4x4 cells up to twice.
"""

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from pruncam._nn.tiled_convolution import are_plain_maps, channels_last, is_replaceable

_LEAST_WEIGHTS = 2**14  # channels x filters: with fewer, PyTorch is as fast
_MOST_CELLS = 4  # of the outputs, along each axis
_LEAST_FOR_TILES = 64  # images from which tiles are faster on 4x4 cells


def is_supported(layer: nn.Module) -> bool:
    """Return whether a layer is a plain 3x3 convolution that `convolve` may make faster."""
    return is_replaceable(layer) and layer.weight.shape[:2].numel() >= _LEAST_WEIGHTS


def is_worthwhile(layer: nn.Conv2d, inputs: Tensor, *, in_tiles: bool) -> bool:
    """Return whether a supported layer is faster by `convolve` on these inputs.

    `in_tiles` says whether it could be computed in tiles instead.
    """
    if not are_plain_maps(inputs, layer):
        return False
    size = [length + 2 * int(layer.padding[0]) - 2 for length in inputs.shape[2:]]
    if min(size) < 1 or max(size) > _MOST_CELLS:
        return False
    return max(size) < _MOST_CELLS or len(inputs) < _LEAST_FOR_TILES or not in_tiles


def convolve(inputs: Tensor, layer: nn.Conv2d) -> Tensor:
    """Return the output of a supported layer, with channels last in memory."""
    padding = int(layer.padding[0])
    output: Tensor = _SmallMapsConvolution.apply(inputs, layer.weight, layer.bias, padding)
    return output


class _Position(NamedTuple):
    """A weight of the kernel, and the cells of outputs and inputs (N, H, W, C) that it links."""

    row: int
    column: int
    outputs: tuple[slice, slice, slice]
    inputs: tuple[slice, slice, slice]

    def of_kernel(self, weight: Tensor) -> Tensor:
        """Return the matrix (filters, channels) of this weight in `weight` (K, C, 3, 3)."""
        return weight[:, :, self.row, self.column]


class _SmallMapsConvolution(torch.autograd.Function):
    """A 3x3 convolution with stride 1."""

    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        padding: int,
    ) -> Tensor:
        """Return the output, with channels last in memory."""
        maps = channels_last(inputs)
        weight = weight.detach().contiguous(memory_format=torch.channels_last)
        ctx.save_for_backward(maps, weight)
        ctx.padding = padding
        images, height, width = maps.shape[:3]
        # Allocated in its final shape: an in-place ReLU may not change a view of it.
        result = torch.empty(
            (images, len(weight), height + 2 * padding - 2, width + 2 * padding - 2),
            dtype=torch.float32,
            device="cpu",
            memory_format=torch.channels_last,
        ).zero_()
        output = result.permute(0, 2, 3, 1)
        for position in _positions(maps.shape[1:3], padding):
            cells = output[position.outputs]
            products = _rows(maps[position.inputs]) @ position.of_kernel(weight).T
            cells += products.view(cells.shape)
        if bias is not None:
            output += bias.detach()
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of inputs, weights and bias."""
        maps, weight = ctx.saved_tensors
        gradients = channels_last(gradient)
        needs_inputs, needs_weight, needs_bias, _ = ctx.needs_input_grad
        of_inputs = torch.zeros_like(maps) if needs_inputs else None
        of_weight = torch.zeros_like(weight) if needs_weight else None
        for position in _positions(maps.shape[1:3], ctx.padding):
            rows = _rows(gradients[position.outputs])
            if of_weight is not None:
                position.of_kernel(of_weight).copy_(rows.T @ _rows(maps[position.inputs]))
            if of_inputs is not None:
                cells = of_inputs[position.inputs]
                cells += (rows @ position.of_kernel(weight)).view(cells.shape)
        return (
            None if of_inputs is None else of_inputs.permute(0, 3, 1, 2),
            of_weight,
            gradients.sum((0, 1, 2)) if needs_bias else None,
            None,
        )


def _rows(cells: Tensor) -> Tensor:
    """Return cells (N, h, w, C) as a matrix (N h w, C)."""
    return cells.reshape(-1, cells.shape[3])


def _positions(size: torch.Size, padding: int) -> Iterator[_Position]:
    """Yield the weights of the kernel that meet a cell of maps of this size (H, W)."""
    of_rows, of_columns = (
        [_link(length, weight, padding) for weight in range(3)] for length in size
    )
    for row, column in itertools.product(range(3), range(3)):
        (rows_out, rows_in), (columns_out, columns_in) = of_rows[row], of_columns[column]
        if rows_out.start < rows_out.stop and columns_out.start < columns_out.stop:
            outputs = slice(None), rows_out, columns_out
            yield _Position(row, column, outputs, (slice(None), rows_in, columns_in))


def _link(length: int, weight: int, padding: int) -> tuple[slice, slice]:
    """Return the outputs in a line that a weight reaches, and the inputs that it meets there."""
    shift = weight - padding
    first, last = max(0, -shift), min(length + 2 * padding - 2, length - shift)
    return slice(first, last), slice(first + shift, last + shift)
