"""The wide convolutions that Ablation-CAM runs, computed faster on a CPU."""

import copy
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, fx, nn

from pruncam._core.extras import can_import
from pruncam._nn import dense_convolution, tiled_convolution
from pruncam._nn.tiled_convolution import channels_last, kernel_products


class _FastConvolution(nn.Conv2d):
    """A convolution that shares weights, masks and hooks with a layer.

    It computes in tiles, or on maps of a few cells by one matrix, where that is faster.
    """

    _prepared: tuple[object, Tensor, Tensor] | None = None  # see `_of_weight`

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (the name in PyTorch)
        """Return the output; PyTorch computes it if gradients are recorded."""
        if torch.is_grad_enabled():
            return super().forward(input)
        if tiled_convolution.is_worthwhile(self, input):
            kernels = self._of_weight("tiles", kernel_products)
            padding = int(self.padding[0])
            return tiled_convolution.convolve(channels_last(input), kernels, self.bias, padding)
        if dense_convolution.is_worthwhile(self, input):
            size = input.shape[2:]
            matrix = self._of_weight(size, partial(dense_convolution.dense_matrix, size=size))
            return dense_convolution.convolve(channels_last(input), matrix, self.bias)
        return super().forward(input)

    def _of_weight(self, key: object, prepare: Callable[[Tensor], Tensor]) -> Tensor:
        """Return `prepare(weight)`, kept until the weight or the key is another one."""
        kept = self._prepared
        if kept is None or kept[0] != key or not torch.equal(kept[1], self.weight):
            kept = key, self.weight.detach().clone(), prepare(self.weight)
            self._prepared = kept
        return kept[2]


def speed_up(graph: fx.GraphModule, model: nn.Module) -> None:
    """Let the wide 3x3 convolutions of a graph be computed fast where it records no gradients.

    The graph shares its layers with the model, which stays as it is. Without numba, nothing
    changes.
    """
    of_model = set(model.modules())
    for name in {str(node.target) for node in graph.graph.nodes if node.op == "call_module"}:
        layer = graph.get_submodule(name)
        parent = graph.get_submodule(name.rpartition(".")[0])
        is_wide = tiled_convolution.is_wide_3x3(layer)
        if parent in of_model or not is_wide or not can_import("numba"):
            continue
        shared = copy.copy(layer)  # with the same dictionaries of parameters, buffers and hooks
        shared.__class__ = _FastConvolution
        graph.set_submodule(name, shared)
