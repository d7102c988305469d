"""Recognition of heads in which channels stay apart up to a linear layer.

There the logits without a channel follow in closed form from that channel's share of the linear
layer's input.
"""

import operator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

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
    """A head in three parts: features, a linear layer, and the tail after it.

    The features (N, K s) are K blocks of s columns, one for each channel.
    """

    features: fx.GraphModule
    linear: nn.Linear
    tail: fx.GraphModule

    @property
    def ends_with_linear(self) -> bool:
        """Return whether nothing follows the linear layer."""
        return len(self.tail.graph.nodes) == 2

    def logits(self, features: Tensor) -> Tensor:
        """Return the logits for features (N, K s)."""
        return self.tail(self.linear(features))


def recognize(head: fx.GraphModule) -> ChannelwiseHead | None:
    """Return the head in three parts.

    None if channels meet before a linear layer, or if no linear layer follows. Operations are
    recognised by name; the caller must still test the result on numbers.
    """
    *nodes, output = head.graph.nodes
    kinds = _NodeKinds(nodes)
    for position, node in enumerate(nodes):
        module = head.get_submodule(str(node.target)) if node.op == "call_module" else None
        if isinstance(module, nn.Linear) and kinds.is_flat(node):
            before, after = nodes[:position], nodes[position + 1 :]
            if _reads(before, (*after, output)):
                return None
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
