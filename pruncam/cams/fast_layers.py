"""The wide convolutions before the target layer, computed in tiles on a CPU."""

import copy

import torch
from torch import Tensor, fx, nn

from pruncam._core.extras import can_import
from pruncam._nn.tiled_convolution import (
    channels_last,
    convolve,
    is_wide_3x3,
    is_worthwhile,
    kernel_products,
)


class _TiledConvolution(nn.Conv2d):
    """A convolution that shares weights, masks and hooks with a layer, and computes in tiles."""

    _prepared: tuple[Tensor, Tensor] | None = None  # the weights, and their `kernel_products`

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (the name in PyTorch)
        """Return the output, in tiles where that is faster."""
        if torch.is_grad_enabled() or not is_worthwhile(self, input):
            return super().forward(input)
        return convolve(channels_last(input), self._kernels(), self.bias, int(self.padding[0]))

    def _kernels(self) -> Tensor:
        """Return the transformed weights, which may have changed since the last call."""
        prepared = self._prepared
        if prepared is None or not torch.equal(prepared[0], self.weight):
            prepared = self.weight.detach().clone(), kernel_products(self.weight)
            self._prepared = prepared
        return prepared[1]


def speed_up(stem: fx.GraphModule, model: nn.Module) -> None:
    """Let the wide 3x3 convolutions of a graph without gradients be computed in tiles.

    The graph shares its layers with the model, which stays as it is. Without numba, nothing
    changes.
    """
    of_model = set(model.modules())
    for name in {str(node.target) for node in stem.graph.nodes if node.op == "call_module"}:
        layer = stem.get_submodule(name)
        parent = stem.get_submodule(name.rpartition(".")[0])
        if parent in of_model or not is_wide_3x3(layer) or not can_import("numba"):
            continue
        shared = copy.copy(layer)  # with the same dictionaries of parameters, buffers and hooks
        shared.__class__ = _TiledConvolution
        stem.set_submodule(name, shared)
