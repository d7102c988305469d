"""3x3 convolutions of wide layers, trained on a CPU with a quarter of the multiplications.

Winograd's minimal filtering (Lavin & Gray 2016): inputs and weights are transformed so that tiles
of 4x4 outputs are 36 matrix products. The gradients use the transposed transforms, so the weights'
gradient needs a quarter of the multiplications as well. Output and gradients equal those of
PyTorch's convolution up to rounding: errors are 1e-6 to 4e-6 of their size in float32, two to nine
times PyTorch's. Like a change of processor, that is not part of the key of a stored training.
"""

import functools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from pruncam._core.extras import needed_for
from pruncam._nn import minimal_filtering
from pruncam._nn.minimal_filtering import TILE, is_plain_3x3
from pruncam._nn.wrappers import COMPILED

_POINTS = (TILE + 2) ** 2
_LEAST_CHANNELS = 64  # with fewer, the transforms take as long as the products save
_LEAST_WORK = 2**18  # channels x filters x outputs of an image
_CHUNK = 2**20  # products at a time: 4 MiB, which stay in the cache between their steps


def applies(model: nn.Module) -> bool:
    """Return whether `model` is on a CPU and has a convolution for `fast_convolutions`.

    A model in `torch.compile` keeps its own code.
    """
    return not _is_compiled(model) and len(_wide_layers(model)) > 0


@contextmanager
def fast_convolutions(model: nn.Module) -> Iterator[None]:
    """Compute the wide 3x3 convolutions of `model` by minimal filtering in this context."""
    layers = [layer for layer in _wide_layers(model) if "forward" not in vars(layer)]
    for layer in layers:
        vars(layer)["forward"] = functools.partial(_forward, layer)
    try:
        yield
    finally:
        for layer in layers:
            del vars(layer)["forward"]


def _is_compiled(model: nn.Module) -> bool:
    return any(
        hasattr(module, COMPILED) or getattr(module, "_compiled_call_impl", None) is not None
        for module in model.modules()
    )


def _wide_layers(model: nn.Module) -> list[nn.Conv2d]:
    layers = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    return [layer for layer in layers if _is_wide_3x3(layer)]


def _is_wide_3x3(layer: nn.Conv2d) -> bool:
    if not is_plain_3x3(layer) or layer.padding not in ((0, 0), (1, 1)):
        return False
    filters, channels = layer.weight.shape[:2]
    if min(filters, channels) < _LEAST_CHANNELS or filters % 8 or channels % 8:
        return False
    return layer.weight.device.type == "cpu" and layer.weight.dtype == torch.float32


def _forward(layer: nn.Conv2d, inputs: Tensor) -> Tensor:
    """Return the output of a convolution, by minimal filtering where that is faster."""
    if not _is_worthwhile(layer, inputs):
        return nn.Conv2d.forward(layer, inputs)
    return _Convolution.apply(inputs, layer.weight, layer.bias, layer.padding[0])


def _is_worthwhile(layer: nn.Conv2d, inputs: Tensor) -> bool:
    filters, channels = layer.weight.shape[:2]
    if inputs.ndim != 4 or inputs.dtype != torch.float32 or inputs.shape[1] != channels:
        return False
    padding = int(layer.padding[0])
    height, width = (size + 2 * padding - 2 for size in inputs.shape[2:])
    if min(height, width) < TILE - 1:
        return False
    products = _POINTS * -(-height // TILE) * -(-width // TILE)
    if products > 9 * height * width / 2:  # at least half of the multiplications must be saved
        return False
    return channels * filters * height * width >= _LEAST_WORK


class _Convolution(torch.autograd.Function):
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
        tiling = _Tiling(inputs, weight, padding)
        maps = _channels_last(inputs)
        kernels = _kernel_products(weight)
        # Allocated in its final shape: an in-place ReLU may not change a view of it.
        result = torch.empty(
            (len(maps), tiling.filters, *tiling.output_size),
            dtype=torch.float32,
            device="cpu",
            memory_format=torch.channels_last,
        )
        output = result.permute(0, 2, 3, 1)
        for images in tiling.chunks:
            count = len(maps[images])
            products = tiling.empty(count, tiling.channels)
            tiling.to_products(maps[images], products)
            output_products = torch.bmm(products, kernels)
            tiling.from_products(output_products, output[images])
        if bias is not None:
            output += bias.detach()
        ctx.save_for_backward(maps, weight, kernels)
        ctx.padding = padding
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of inputs, weights and bias."""
        maps, weight, kernels = ctx.saved_tensors
        tiling = _Tiling(maps.permute(0, 3, 1, 2), weight, ctx.padding)
        gradients = _channels_last(gradient)
        needs_inputs, needs_weight, needs_bias, _ = ctx.needs_input_grad
        of_inputs = torch.zeros_like(maps) if needs_inputs else None
        of_kernels = torch.zeros_like(kernels) if needs_weight else None
        transposed = kernels.transpose(1, 2).contiguous()
        for images in tiling.chunks:
            count = len(maps[images])
            output_products = tiling.empty(count, tiling.filters)
            tiling.to_product_gradients(gradients[images], output_products)
            products = tiling.empty(count, tiling.channels)
            if of_kernels is not None:
                tiling.to_products(maps[images], products)
                of_kernels.baddbmm_(products.transpose(1, 2), output_products)
            if of_inputs is not None:
                torch.bmm(output_products, transposed, out=products)
                tiling.add_from_products(products, of_inputs[images])
        return (
            None if of_inputs is None else of_inputs.permute(0, 3, 1, 2),
            None if of_kernels is None else _kernel_gradient(of_kernels, weight),
            gradients.sum((0, 1, 2)) if needs_bias else None,
            None,
        )


class _Tiling:
    """The tiles of a convolution: its sizes, and the transforms between maps and products."""

    def __init__(self, inputs: Tensor, weight: Tensor, padding: int) -> None:
        with needed_for('engine="winograd"', "studies"):
            from pruncam.training.compiled import winograd_kernel

        self._kernel = winograd_kernel
        self.filters, self.channels = weight.shape[:2]
        height, width = inputs.shape[2:]
        self.output_size = (height + 2 * padding - 2, width + 2 * padding - 2)
        self.rows, self.columns = (-(-size // TILE) for size in self.output_size)
        self._inputs = winograd_kernel.Maps(height, width, self.channels, padding)
        self._outputs = winograd_kernel.Maps(*self.output_size, self.filters, 0)
        per_image = _POINTS * self.rows * self.columns * max(self.filters, self.channels)
        step = max(1, _CHUNK // per_image)
        starts = range(0, len(inputs), step)
        self.chunks = [slice(start, start + step) for start in starts]

    def empty(self, images: int, channels: int) -> Tensor:
        """Return room for the products of some images."""
        shape = (_POINTS, images * self.rows * self.columns, channels)
        return torch.empty(shape, dtype=torch.float32, device="cpu")

    def to_products(self, maps: Tensor, products: Tensor) -> None:
        """Fill `products` from the inputs (N, H, W, C)."""
        self._run(self._kernel.to_products, maps, self._inputs, products, maps, products)

    def add_from_products(self, products: Tensor, maps: Tensor) -> None:
        """Add to the gradient of the inputs (N, H, W, C) that of the products."""
        self._run(self._kernel.add_from_products, maps, self._inputs, products, products, maps)

    def from_products(self, products: Tensor, maps: Tensor) -> None:
        """Fill the outputs (N, H', W', K) from their products."""
        self._run(self._kernel.from_products, maps, self._outputs, products, products, maps)

    def to_product_gradients(self, maps: Tensor, products: Tensor) -> None:
        """Fill `products` from the gradient of the outputs (N, H', W', K)."""
        self._run(self._kernel.to_product_gradients, maps, self._outputs, products, maps, products)

    def _run(
        self,
        transform: Callable[..., None],
        maps: Tensor,
        shape: tuple[int, ...],
        products: Tensor,
        source: Tensor,
        target: Tensor,
    ) -> None:
        """Run a transform from `source` to `target`, on as many threads as PyTorch uses."""
        tiles = self._kernel.Tiles(self.rows, self.columns, products[0].numel())
        arrays = _flat(source), _flat(target)
        threads = min(torch.get_num_threads(), len(maps))
        if threads == 1:
            transform(arrays[0], shape, tiles, 0, len(maps), arrays[1])
            return
        edges = [len(maps) * part // threads for part in range(threads + 1)]
        ranges = list(zip(edges, edges[1:], strict=False))
        pool = _pool(threads)
        list(pool.map(lambda part: transform(arrays[0], shape, tiles, *part, arrays[1]), ranges))


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="winograd")


def _flat(values: Tensor) -> np.ndarray:
    return values.view(-1).numpy()


def _channels_last(maps: Tensor) -> Tensor:
    """Return maps (N, C, H, W) as a contiguous tensor (N, H, W, C)."""
    return maps.detach().permute(0, 2, 3, 1).contiguous()


@functools.cache
def _kernel_matrix() -> Tensor:
    """Return the matrix (36, 9) from the weights of a 3x3 kernel to its products."""
    matrix = minimal_filtering.transforms()[1]
    return torch.from_numpy(np.kron(matrix, matrix)).float()


def _kernel_products(weight: Tensor) -> Tensor:
    """Return G weight G^T, (36, channels, filters)."""
    filters, channels = weight.shape[:2]
    weights = weight.detach().permute(2, 3, 1, 0).reshape(9, -1)
    return (_kernel_matrix() @ weights).view(_POINTS, channels, filters)


def _kernel_gradient(products: Tensor, weight: Tensor) -> Tensor:
    """Return the gradient of `weight` from that of `_kernel_products`, laid out like it."""
    gradient = _kernel_matrix().T @ products.flatten(1)
    gradient = gradient.view(3, 3, *products.shape[1:]).permute(3, 2, 0, 1)
    return torch.empty_like(weight).copy_(gradient)
