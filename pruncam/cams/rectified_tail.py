"""A common head after a convolution: BatchNorm, ReLU, pool and FC layer, compiled for ablation."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from pruncam._core.extras import can_import
from pruncam._nn.operations import DROPOUTS, flattens_per_image

_RELU_FUNCTIONS = (torch.relu, functional.relu, "relu", "relu_")
_TAILS = {
    (*norm, "relu", *pool, "flatten", "linear")
    for norm in ((), ("norm",))
    for pool in ((), ("pool",))
}
_Pool = nn.MaxPool2d | nn.AvgPool2d | nn.AdaptiveAvgPool2d
# Multiplications per image from which on the compiled loops are used: compiling takes seconds.
_WORTH_COMPILING = 1_000_000


@dataclass(frozen=True)
class RectifiedTail:
    """A convolution and what follows it: `norm` if any, a ReLU, `pool` if any, the FC layer."""

    convolution: nn.Conv2d
    norm: nn.BatchNorm2d | None
    pool: _Pool | None
    readout: nn.Linear

    def is_worth_compiling(self, lost: Tensor, hidden: Tensor) -> bool:
        """Return whether the compiled loops can be used and save more than their compilation."""
        tensors = (lost, hidden, *self.convolution.parameters(), *self.readout.parameters())
        if any(value.device.type != "cpu" or value.dtype != torch.float32 for value in tensors):
            return False
        taps = self.convolution.weight[0, 0].numel()
        multiplications = lost.shape[1] * taps * hidden[0].numel()
        if multiplications < _WORTH_COMPILING or _windows(self.pool, hidden) is None:
            return False
        return can_import("numba")

    def ablated_logits(
        self, lost: Tensor, hidden: Tensor, targets: Tensor, score: Tensor
    ) -> Tensor | None:
        """Return the target logits without each channel, (N, K).

        `lost` (N, K, h, w) is what the input of the convolution loses with each channel,
        `hidden` (N, C, h', w') its output, and `score` (N, 1) the target logits with all channels.
        None if the layers give another score than that, for example because a hook changes it.
        """
        # The kernel imports numba, which takes a second: only when it is needed.
        from pruncam.cams import ablation_kernel

        kernel: Callable[..., None] = ablation_kernel.ablated_logits
        windows = _windows(self.pool, hidden)
        assert windows is not None
        weight = self.convolution.weight.flatten(2).permute(1, 2, 0)
        readout = self.readout.weight.view(len(self.readout.weight), -1, len(windows))
        averages = isinstance(self.pool, nn.AvgPool2d | nn.AdaptiveAvgPool2d)
        layers: tuple[Any, ...] = (
            _array(weight),
            _taps(self.convolution, lost, hidden),
            windows,
            averages,
            *map(_array, self._scale_and_shift(hidden)),
            _array(readout.transpose(1, 2) / (windows.shape[1] if averages else 1)),
            _array(self._bias()),
        )
        by_image: tuple[Any, ...] = (
            _array(lost.flatten(2)),
            _array(hidden.flatten(2).transpose(1, 2)),
            _array(targets),
            np.empty(lost.shape[:2], np.float32),
        )

        def ablate(images: slice) -> None:
            losses, outputs, classes, logits = (values[images] for values in by_image)
            kernel(losses, outputs, *layers, classes, logits)

        unchanged = np.empty((1, 1), np.float32)
        nothing = np.zeros_like(by_image[0][:1, :1])
        kernel(nothing, by_image[1][:1], *layers, by_image[2][:1], unchanged)
        if not np.isclose(unchanged[0, 0], float(score[0, 0]), rtol=1e-3, atol=1e-3):
            return None
        _in_torch_threads(ablate, len(lost))
        return torch.from_numpy(by_image[-1])

    def _scale_and_shift(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Return scale and shift of the BatchNorm in eval mode, (C,) each."""
        channels = hidden.shape[1]
        norm = self.norm
        if norm is None:
            return hidden.new_ones(channels), hidden.new_zeros(channels)
        assert norm.running_mean is not None and norm.running_var is not None
        scale = (norm.running_var + norm.eps).rsqrt()
        scale = scale if norm.weight is None else scale * norm.weight
        shift = -norm.running_mean * scale
        return scale, shift if norm.bias is None else shift + norm.bias

    def _bias(self) -> Tensor:
        bias, weight = self.readout.bias, self.readout.weight
        return weight.new_zeros(len(weight)) if bias is None else bias


def recognize_tail(convolution: nn.Conv2d, tail: fx.GraphModule) -> RectifiedTail | None:
    """Return the tail as known layers; None if it is another one.

    Layers are recognised by name; `ablated_logits` tests the result on numbers.
    """
    start, *nodes, output = tail.graph.nodes
    layers: dict[str, Any] = {}
    previous = start
    for node in nodes:
        module = tail.get_submodule(str(node.target)) if node.op == "call_module" else None
        kind = _kind(node, module)
        if node.all_input_nodes != [previous] or kind in layers:
            return None
        if kind != "nothing":
            layers[kind] = module
        previous = node
    if tuple(layers) not in _TAILS or output.args != (previous,):
        return None
    return RectifiedTail(convolution, layers.get("norm"), layers.get("pool"), layers["linear"])


def _kind(node: fx.Node, module: nn.Module | None) -> str:
    """Return which part of the tail a node is; "nothing" if it has no effect in eval mode."""
    if type(module) in DROPOUTS:
        return "nothing"
    if type(module) is nn.BatchNorm2d and module.running_mean is not None:
        return "norm"
    if type(module) is nn.ReLU or node.target in _RELU_FUNCTIONS:
        return "relu"
    if type(module) in (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d):
        return "pool"
    if flattens_per_image(node, module):
        return "flatten"
    return "linear" if type(module) is nn.Linear else "other"


def _windows(pool: _Pool | None, hidden: Tensor) -> np.ndarray | None:
    """Return the positions that each output of a pool reads, (windows, size).

    None if windows overlap or leave positions out.
    """
    height, width = hidden.shape[-2:]
    positions = np.arange(height * width).reshape(height, width)
    if pool is None:
        return positions.reshape(-1, 1)
    if isinstance(pool, nn.AdaptiveAvgPool2d):
        is_global = pool.output_size in (1, (1, 1))
        return positions.reshape(1, -1) if is_global else None
    high, wide = _pair(pool.kernel_size)
    is_plain = _pair(pool.stride) == (high, wide) and _pair(pool.padding) == (0, 0)
    if not is_plain or _pair(getattr(pool, "dilation", 1)) != (1, 1):
        return None
    if height % high or width % wide or getattr(pool, "divisor_override", None):
        return None
    blocks = positions.reshape(height // high, high, width // wide, wide).swapaxes(1, 2)
    return np.ascontiguousarray(blocks.reshape(-1, high * wide))


def _taps(convolution: nn.Conv2d, lost: Tensor, hidden: Tensor) -> np.ndarray:
    """Return the cell of the input that each tap reads at each position; -1 in the padding."""
    rows, columns = (
        _places(convolution, axis, lost.shape[-2 + axis], hidden.shape[-2 + axis])
        for axis in (0, 1)
    )
    row = rows[:, None, :, None]  # (h', 1, kernel height, 1)
    column = columns[None, :, None, :]
    cells = np.where((row < 0) | (column < 0), -1, row * lost.shape[-1] + column)
    return np.ascontiguousarray(cells.reshape(rows.shape[0] * columns.shape[0], -1))


def _places(convolution: nn.Conv2d, axis: int, size: int, outputs: int) -> np.ndarray:
    """Return the row or column that each tap reads at each output, (outputs, taps), or -1."""
    assert not isinstance(convolution.padding, str)  # see `_is_plain_convolution`
    starts = np.arange(outputs)[:, None] * convolution.stride[axis] - convolution.padding[axis]
    taps = np.arange(convolution.kernel_size[axis]) * convolution.dilation[axis]
    places = starts + taps
    return np.where((places < 0) | (places >= size), -1, places)


def _pair(value: int | tuple[int, ...]) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else (value, value)


def _array(values: Tensor) -> np.ndarray:
    return values.detach().contiguous().numpy()


def _in_torch_threads(work: Callable[[slice], None], images: int) -> None:
    """Call `work` on parts of the images, in as many threads as PyTorch may use."""
    threads = min(torch.get_num_threads(), images)
    edges = np.linspace(0, images, threads + 1).astype(int)
    parts = [slice(start, stop) for start, stop in zip(edges[:-1], edges[1:], strict=True)]
    if threads == 1:
        work(parts[0])
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, parts))
