"""3x3 convolutions of wide layers on a CPU, tile by tile, with a quarter of the multiplications.

Winograd's minimal filtering (Lavin & Gray 2016): inputs and weights are transformed so that tiles
of 4x4 outputs are 36 matrix products. The output equals that of PyTorch's convolution up to
rounding: errors are 1e-6 to 4e-6 of its size in float32, two to nine times PyTorch's. The
transforms are compiled by numba.
"""

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeGuard

import numpy as np
import torch
from torch import Tensor, nn

from pruncam._core.extras import needed_for
from pruncam._nn import minimal_filtering
from pruncam._nn.minimal_filtering import TILE, is_plain_3x3

POINTS = (TILE + 2) ** 2
_LEAST_CHANNELS = 64  # with fewer, the transforms take as long as the products save
_LEAST_WORK = 2**18  # channels x filters x outputs of an image
_CHUNK = 2**20  # products at a time: 4 MiB, which stay in the cache between their steps


def is_replaceable(layer: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Return whether a layer is a plain 3x3 convolution in float32 on a CPU, padded by 0 or 1.

    A subclass or a layer with a forward pass of its own may compute something else.
    """
    if not isinstance(layer, nn.Conv2d) or not is_plain_3x3(layer) or "forward" in vars(layer):
        return False
    if layer.padding not in ((0, 0), (1, 1)):
        return False
    return layer.weight.device.type == "cpu" and layer.weight.dtype == torch.float32


def is_wide_3x3(layer: nn.Module) -> bool:
    """Return whether a layer is a plain 3x3 convolution that tiles may make faster."""
    if not is_replaceable(layer):
        return False
    filters, channels = layer.weight.shape[:2]
    return min(filters, channels) >= _LEAST_CHANNELS and filters % 8 == channels % 8 == 0


def are_plain_maps(inputs: Tensor, layer: nn.Conv2d) -> bool:
    """Return whether inputs are maps in float32 on a CPU with the channels of a layer."""
    if inputs.ndim != 4 or inputs.shape[1] != layer.weight.shape[1]:
        return False
    is_float = inputs.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    return is_float and inputs.device.type == "cpu"


def is_worthwhile(layer: nn.Conv2d, inputs: Tensor) -> bool:
    """Return whether tiles make a layer for which `is_wide_3x3` holds faster on these inputs."""
    if not are_plain_maps(inputs, layer):
        return False
    filters, channels = layer.weight.shape[:2]
    padding = int(layer.padding[0])
    height, width = (size + 2 * padding - 2 for size in inputs.shape[2:])
    if min(height, width) < TILE - 1:
        return False
    products = POINTS * -(-height // TILE) * -(-width // TILE)
    if products > 9 * height * width / 2:  # at least half of the multiplications must be saved
        return False
    return channels * filters * height * width >= _LEAST_WORK


@functools.cache
def kernel_matrix() -> Tensor:
    """Return the matrix (36, 9) from the weights of a 3x3 kernel to its products."""
    matrix = minimal_filtering.transforms()[1]
    return torch.from_numpy(np.kron(matrix, matrix)).float()


def kernel_products(weight: Tensor) -> Tensor:
    """Return the weights (filters, channels, 3, 3) transformed, (36, channels, filters)."""
    filters, channels = weight.shape[:2]
    weights = weight.detach().permute(2, 3, 1, 0).reshape(9, -1)
    return (kernel_matrix() @ weights).view(POINTS, channels, filters)


def channels_last(maps: Tensor) -> Tensor:
    """Return maps (N, C, H, W) as a contiguous tensor (N, H, W, C)."""
    return maps.detach().permute(0, 2, 3, 1).contiguous()


def convolve(maps: Tensor, kernels: Tensor, bias: Tensor | None, padding: int) -> Tensor:
    """Return the output (N, K, H', W') of maps (N, H, W, C), with channels last in memory.

    `kernels` are the `kernel_products` of the weights.
    """
    _, channels, filters = kernels.shape
    tiling = Tiling(maps, filters, padding)
    # Allocated in its final shape: an in-place ReLU may not change a view of it.
    result = torch.empty(
        (len(maps), filters, *tiling.output_size),
        dtype=torch.float32,
        device="cpu",
        memory_format=torch.channels_last,
    )
    output = result.permute(0, 2, 3, 1)
    for images in tiling.chunks:
        products = tiling.empty(len(maps[images]), channels)
        tiling.to_products(maps[images], products)
        tiling.from_products(torch.bmm(products, kernels), output[images])
    if bias is not None:
        output += bias.detach()
    return result


class Tiling:
    """The tiles of a convolution: its sizes, and the transforms between maps and products.

    `maps` (N, H, W, C) are its inputs, or have their shape.
    """

    def __init__(self, maps: Tensor, filters: int, padding: int) -> None:
        with needed_for("convolution in tiles", "studies"):
            from pruncam._nn.compiled import winograd_kernel

        self._kernel = winograd_kernel
        _, height, width, channels = maps.shape
        self.output_size = (height + 2 * padding - 2, width + 2 * padding - 2)
        self.rows, self.columns = (-(-size // TILE) for size in self.output_size)
        self._inputs = winograd_kernel.Maps(height, width, channels, padding)
        self._outputs = winograd_kernel.Maps(*self.output_size, filters, 0)
        per_image = POINTS * self.rows * self.columns * max(filters, channels)
        step = max(1, _CHUNK // per_image)
        self.chunks = [slice(start, start + step) for start in range(0, len(maps), step)]

    def empty(self, images: int, channels: int) -> Tensor:
        """Return room for the products of some images."""
        shape = (POINTS, images * self.rows * self.columns, channels)
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
    return ThreadPoolExecutor(threads, thread_name_prefix="tiles")


def _flat(values: Tensor) -> np.ndarray:
    return values.view(-1).numpy()
