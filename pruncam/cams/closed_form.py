"""Recognition of heads in which channels stay apart up to an FC layer or a convolution.

There the output of that layer without a channel follows in closed form from that channel's share of
the layer's input, and only what follows must run again for every channel.
"""

import operator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from pruncam._nn.fx_tracer import subgraph
from pruncam._nn.operations import (
    DROPOUTS,
    OTHER_ACTIVATIONS,
    POOL_FUNCTIONS_2D,
    POOLS_2D,
    ZERO_PRESERVING_ACTIVATIONS,
    ZERO_PRESERVING_FUNCTIONS,
    flattens_per_image,
)
from pruncam.cams.rectified_tail import RectifiedTail, recognize_tail

_ELEMENTWISE = (*ZERO_PRESERVING_ACTIVATIONS, *OTHER_ACTIVATIONS, *DROPOUTS)
_PER_CHANNEL = (nn.BatchNorm2d, *POOLS_2D)
_ELEMENTWISE_FUNCTIONS: tuple[Any, ...] = (
    *ZERO_PRESERVING_FUNCTIONS,
    operator.add,
    operator.iadd,
    torch.add,
    operator.mul,
    operator.imul,
    torch.mul,
    "contiguous",
    "clone",
)


@dataclass(frozen=True)
class ChannelwiseHead:
    """A head in three parts: features, a linear layer or a convolution, and the tail after it.

    Before a linear layer, the features (N, K s) are K blocks of s columns, one for each channel;
    before a convolution they are maps (N, K, h, w).
    """

    features: fx.GraphModule
    linear: nn.Linear | nn.Conv2d
    tail: fx.GraphModule

    @property
    def ends_with_linear(self) -> bool:
        """Return whether nothing follows a linear layer."""
        return isinstance(self.linear, nn.Linear) and len(self.tail.graph.nodes) == 2

    @cached_property
    def rectified(self) -> RectifiedTail | None:
        """The convolution and the tail, if they are layers with a compiled ablation."""
        if isinstance(self.linear, nn.Linear):
            return None
        return recognize_tail(self.linear, self.tail)

    def logits(self, features: Tensor) -> Tensor:
        """Return the logits for features."""
        return self.tail(self.linear(features))

    def change(self, lost: Tensor) -> Tensor:
        """Return how much less the layer gives for features that have lost `lost`, (N, K, ...)."""
        layer = self.linear
        if isinstance(layer, nn.Linear):
            return functional.linear(lost.flatten(1), layer.weight)
        return functional.conv2d(
            lost, layer.weight, None, layer.stride, layer.padding, layer.dilation
        )

    def changes(self, lost: Tensor) -> Tensor:
        """Return how much less the layer gives without each channel, (K, N, ...).

        `lost` (N, K, ...) are the features that each channel loses.
        """
        layer = self.linear
        if isinstance(layer, nn.Linear):
            weight = layer.weight.view(layer.out_features, *lost.shape[1:])
            return torch.einsum("nks,hks->knh", lost, weight)
        images, channels = lost.shape[:2]
        assert not isinstance(layer.padding, str)  # see `_is_plain_convolution`
        patches = functional.unfold(
            lost.flatten(0, 1)[:, None],
            layer.kernel_size,
            dilation=layer.dilation,
            padding=layer.padding,
            stride=layer.stride,
        )
        # One matrix product for each channel: (filters x patch) times (patch x positions).
        patches = patches.view(images, channels, *patches.shape[1:]).permute(1, 2, 0, 3)
        weight = layer.weight.flatten(2).transpose(0, 1)
        change = weight @ patches.flatten(2)
        return change.view(channels, layer.out_channels, images, -1).transpose(1, 2)


def recognize(head: fx.GraphModule) -> ChannelwiseHead | None:
    """Return the head in three parts.

    None if channels meet before a linear layer or convolution, or if none follows. Operations are
    recognised by name; the caller must still test the result on numbers.
    """
    *nodes, output = head.graph.nodes
    kinds = _NodeKinds(nodes)
    for position, node in enumerate(nodes):
        module = head.get_submodule(str(node.target)) if node.op == "call_module" else None
        meets_linear = isinstance(module, nn.Linear) and kinds.is_flat(node)
        if meets_linear or (_is_plain_convolution(module) and kinds.is_map(node)):
            before, after = nodes[:position], nodes[position + 1 :]
            if _reads(before, (*after, output)):
                return None
            assert isinstance(module, nn.Linear | nn.Conv2d)
            features = subgraph(head, [], before, node.args[0])
            tail = subgraph(head, [node], after, output.args[0])
            return ChannelwiseHead(features, module, tail)
        if not kinds.add(node, module):
            return None
    return None


class _NodeKinds:
    """The nodes so far whose values are maps (N, K, h, w), flat (N, K s), or mere sizes."""

    def __init__(self, nodes: list[fx.Node]) -> None:
        self._maps = {node for node in nodes if node.op in ("placeholder", "get_attr")}
        self._flat: set[fx.Node] = set()
        self._sizes: set[fx.Node] = set()

    def is_flat(self, node: fx.Node) -> bool:
        """Return whether all inputs of `node` are flat."""
        return set(node.all_input_nodes) <= self._flat

    def is_map(self, node: fx.Node) -> bool:
        """Return whether all inputs of `node` are maps."""
        return set(node.all_input_nodes) <= self._maps

    def add(self, node: fx.Node, module: nn.Module | None) -> bool:
        """Classify `node`; False if it may mix channels or is not known."""
        inputs = set(node.all_input_nodes)
        if node in self._maps:
            return True
        if self._is_size(node):
            self._sizes.add(node)
        elif not inputs - self._sizes <= self._maps | self._flat:
            return False
        elif _flattens(node, module):
            self._flat.add(node)
        elif _is_kind(node, module, _ELEMENTWISE, _ELEMENTWISE_FUNCTIONS):
            (self._flat if inputs & self._flat else self._maps).add(node)
        elif inputs <= self._maps and _is_kind(node, module, _PER_CHANNEL, POOL_FUNCTIONS_2D):
            self._maps.add(node)
        else:
            return False
        return True

    def _is_size(self, node: fx.Node) -> bool:
        """Return whether a node is a size, such as `x.size(0)` or `x.shape[0]`."""
        if node.target is operator.getitem:
            return set(node.all_input_nodes) <= self._sizes
        if node.target is getattr:
            return bool(node.args[1] == "shape")
        return node.target == "size"


def _is_kind(
    node: fx.Node,
    module: nn.Module | None,
    layers: tuple[type, ...],
    functions: tuple[Any, ...],
) -> bool:
    """Return whether a node calls one of `layers`, or one of `functions`."""
    if module is not None:
        return type(module) in layers
    return node.target in functions


def _is_plain_convolution(module: nn.Module | None) -> bool:
    """Return whether a layer is a convolution over all channels, with zeros around the maps."""
    if type(module) is not nn.Conv2d:
        return False
    is_padded_with_zeros = module.padding_mode == "zeros" and not isinstance(module.padding, str)
    return module.groups == 1 and is_padded_with_zeros


def _flattens(node: fx.Node, module: nn.Module | None) -> bool:
    """Return whether a node turns (N, K, h, w) into (N, K h w), or into (N, K) by a mean."""
    if node.target in (torch.mean, "mean"):
        return _averages_over_space(node)
    if node.target in ("view", "reshape"):
        return len(node.args) == 3 and bool(node.args[2] == -1)
    return flattens_per_image(node, module)


def _averages_over_space(node: fx.Node) -> bool:
    axes = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
    if not isinstance(axes, list | tuple):
        return False
    over_space = set(axes) in ({2, 3}, {-1, -2})
    return over_space and not node.kwargs.get("keepdim")


def _reads(values: list[fx.Node], nodes: tuple[fx.Node, ...]) -> bool:
    """Return whether any of `nodes` takes one of `values` as input."""
    return any(value in values for node in nodes for value in node.all_input_nodes)
