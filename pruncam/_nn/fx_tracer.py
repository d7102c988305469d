"""Graphs of forward passes: tracing while other threads run models, and parts of a graph."""

import threading
from collections.abc import Callable, Iterable
from typing import Any

from torch import fx, nn

# One trace at a time: each replaces the module calls of the whole process and restores them.
_tracing = threading.RLock()


class Tracer(fx.Tracer):
    """An `fx.Tracer` that is safe to use in threads.

    `fx.Tracer` replaces the module calls of the whole process while it traces. This one records
    the calls of its own thread only.
    """

    def trace(
        self,
        root: nn.Module | Callable[..., Any],
        concrete_args: dict[str, Any] | None = None,
    ) -> fx.Graph:
        """Return the graph of the module's forward pass."""
        with _tracing:
            self._thread = threading.get_ident()
            return super().trace(root, concrete_args)

    @property
    def in_traced_thread(self) -> bool:
        """Return whether the current thread is the one being traced."""
        return threading.get_ident() == self._thread

    def call_module(self, m: nn.Module, forward: Callable, args: tuple, kwargs: dict) -> Any:
        """Record the call of a module, or run it if another thread made the call."""
        if self.in_traced_thread:
            return super().call_module(m, forward, args, kwargs)
        return forward(*args, **kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """Record the access to a parameter, or return it if another thread made the access."""
        if self.in_traced_thread:
            return super().getattr(attr, attr_val, parameter_proxy_cache)
        return attr_val


def subgraph(
    model: nn.Module,
    inputs: Iterable[fx.Node],
    nodes: Iterable[fx.Node],
    output: Any,
) -> fx.GraphModule:
    """Return a part of a graph as a module that shares the layers of `model`.

    It takes the values of `inputs`, computes `nodes` (in order of execution) and returns the value
    of `output`, a node or a structure of nodes.
    """
    graph = fx.Graph()
    copies = {node: graph.placeholder(node.name) for node in inputs}
    for node in nodes:
        copies[node] = graph.node_copy(node, copies.__getitem__)
    graph.output(fx.map_arg(output, copies.__getitem__))
    return fx.GraphModule(model, graph)
