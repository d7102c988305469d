"""Heads that keep channels apart until a linear layer: there a channel's share of the logit can be written down."""

import operator
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn
from torch.nn import functional


@dataclass
class ChannelwiseHead:
    """A head in three parts: features, K equal blocks of columns, one per channel; a linear layer; the rest."""

    features: fx.GraphModule
    linear: nn.Linear
    tail: fx.GraphModule

    @property
    def ends_linear(self) -> bool:
        """Whether nothing follows the linear layer."""
        return len(self.tail.graph.nodes) == 2

    def logits(self, features: Tensor) -> Tensor:
        return self.tail(self.linear(features))


_ELEMENTWISE = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish)
_ELEMENTWISE += (nn.Sigmoid, nn.Tanh, nn.Softplus, nn.Identity, nn.Dropout, nn.Dropout2d)
_PER_CHANNEL = (nn.BatchNorm2d, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
_ELEMENTWISE_FUNCTIONS = (torch.relu, functional.relu, functional.relu6, functional.silu, functional.gelu)
_ELEMENTWISE_FUNCTIONS += (operator.add, operator.iadd, torch.add, operator.mul, operator.imul, torch.mul)
_ELEMENTWISE_FUNCTIONS += ("relu", "relu_", "contiguous", "clone")
_PER_CHANNEL_FUNCTIONS = (functional.max_pool2d, functional.avg_pool2d, torch.max_pool2d)
_PER_CHANNEL_FUNCTIONS += (functional.adaptive_avg_pool2d, functional.adaptive_max_pool2d)


def recognize(head: fx.GraphModule) -> ChannelwiseHead | None:
    """The head in three parts, or None where a channel meets another before a linear layer, or none follows.

    It knows what keeps channels apart by name; the caller still tries the result on numbers.
    """
    *nodes, output = head.graph.nodes
    maps, flat, sizes = {node for node in nodes if node.op in ("placeholder", "get_attr")}, set(), set()
    for position, node in enumerate(nodes):
        if node in maps:
            continue
        module = head.get_submodule(node.target) if node.op == "call_module" else None
        inputs = set(node.all_input_nodes)
        if isinstance(module, nn.Linear) and inputs <= flat:
            before, after = nodes[:position], nodes[position + 1 :]
            if any(i in before for rest in (*after, output) for i in rest.all_input_nodes):
                return None
            features = _part(head, [], before, node.args[0])
            return ChannelwiseHead(features, module, _part(head, [node], after, output.args[0]))
        if _is_size(node, sizes):
            sizes.add(node)
        elif not inputs - sizes <= maps | flat:
            return None
        elif _flattens(node, module):
            flat.add(node)
        elif type(module) in _ELEMENTWISE or node.target in _ELEMENTWISE_FUNCTIONS:
            (flat if inputs & flat else maps).add(node)
        elif inputs <= maps and (type(module) in _PER_CHANNEL or node.target in _PER_CHANNEL_FUNCTIONS):
            maps.add(node)
        else:
            return None
    return None


def _is_size(node: fx.Node, sizes: set[fx.Node]) -> bool:
    """`x.size(0)`, `x.shape` or `x.shape[0]`: numbers that say nothing of the channels' values."""
    if node.target is operator.getitem:
        return set(node.all_input_nodes) <= sizes
    return node.target == "size" or (node.target is getattr and node.args[1] == "shape")


def _flattens(node: fx.Node, module: nn.Module | None) -> bool:
    """Whether the node turns (N, K, h, w) into (N, K h w) or, by a mean over space, into (N, K)."""
    if isinstance(module, nn.Flatten):
        return (module.start_dim, module.end_dim) == (1, -1)
    if node.target in (torch.flatten, "flatten"):
        return node.args[1:] == (1,) or node.kwargs == {"start_dim": 1}
    if node.target in (torch.mean, "mean"):
        axes = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
        return axes is not None and set(axes) in ({2, 3}, {-1, -2}) and not node.kwargs.get("keepdim")
    return node.target in ("view", "reshape") and len(node.args) == 3 and node.args[2] == -1


def _part(head: fx.GraphModule, inputs: list[fx.Node], nodes: list[fx.Node], output: fx.Node) -> fx.GraphModule:
    graph = fx.Graph()
    new = {node: graph.placeholder(node.name) for node in inputs}
    for node in nodes:
        new[node] = graph.node_copy(node, new.__getitem__)
    graph.output(new[output])
    return fx.GraphModule(head, graph)
