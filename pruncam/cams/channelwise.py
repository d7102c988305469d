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
    tail: fx.GraphModule | nn.Identity

    def logits(self, features: Tensor) -> Tensor:
        return self.tail(self.linear(features))


_ELEMENTWISE = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish)
_ELEMENTWISE += (nn.Sigmoid, nn.Tanh, nn.Softplus, nn.Identity, nn.Dropout, nn.Dropout2d)
_PER_CHANNEL = (nn.BatchNorm2d, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
_ELEMENTWISE_FUNCTIONS = (torch.relu, functional.relu, functional.relu6, functional.silu, functional.gelu)
_ELEMENTWISE_FUNCTIONS += (operator.add, operator.iadd, torch.add, operator.mul, operator.imul, torch.mul)
_PER_CHANNEL_FUNCTIONS = (functional.max_pool2d, functional.avg_pool2d, torch.max_pool2d)
_PER_CHANNEL_FUNCTIONS += (functional.adaptive_avg_pool2d, functional.adaptive_max_pool2d)


def recognize(head: fx.GraphModule) -> ChannelwiseHead | None:
    """The head in three parts, or None where a channel meets another before a linear layer, or none follows.

    A list of what is known to keep channels apart; the caller still tries the result on numbers.
    """
    *nodes, output = head.graph.nodes
    maps, flat = {node for node in nodes if node.op == "placeholder"}, set()
    for position, node in enumerate(nodes):
        if node.op == "placeholder":
            continue
        module = head.get_submodule(node.target) if node.op == "call_module" else None
        inputs = set(node.all_input_nodes)
        if isinstance(module, nn.Linear) and inputs <= flat:
            before, after = nodes[:position], nodes[position + 1 :]
            if any(i in before for rest in (*after, output) for i in rest.all_input_nodes):
                return None
            return ChannelwiseHead(_part(head, before, node.args[0]), module, _tail(head, node, after, output))
        if not inputs <= maps | flat:
            return None
        if _flattens(node, module):
            flat.add(node)
        elif type(module) in _ELEMENTWISE or (node.op == "call_function" and node.target in _ELEMENTWISE_FUNCTIONS):
            (flat if inputs & flat else maps).add(node)
        elif inputs <= maps and (
            type(module) in _PER_CHANNEL or (node.op == "call_function" and node.target in _PER_CHANNEL_FUNCTIONS)
        ):
            maps.add(node)
        else:
            return None
    return None


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


def _part(head: fx.GraphModule, nodes: list[fx.Node], output: fx.Node) -> fx.GraphModule:
    graph, new = fx.Graph(), {}
    for node in nodes:
        new[node] = graph.node_copy(node, new.__getitem__)
    graph.output(new[output])
    return fx.GraphModule(head, graph)


def _tail(head: fx.GraphModule, linear: fx.Node, nodes: list[fx.Node], output: fx.Node) -> fx.GraphModule | nn.Identity:
    """What follows the linear layer."""
    if output.args[0] is linear:
        return nn.Identity()
    graph = fx.Graph()
    new = {linear: graph.placeholder(linear.name)}
    for node in nodes:
        new[node] = graph.node_copy(node, new.__getitem__)
    graph.output(new[output.args[0]])
    return fx.GraphModule(head, graph)
