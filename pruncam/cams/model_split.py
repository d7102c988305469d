"""A model split at one layer into a stem, which runs once, and a head, which can run again."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn

from pruncam._nn.fx_tracer import Tracer, subgraph
from pruncam._nn.hooks import add_thread_hook, has_hooks
from pruncam.cams.closed_form import ChannelwiseHead, recognize
from pruncam.cams.fast_layers import speed_up

# Threads may split one model at a time, on which torch.fx leaves attributes for a while.
_tracing = threading.Lock()


@dataclass(frozen=True)
class SplitForward:
    """One forward pass of a split model on N images.

    `activations` (N, K, h, w) are the output of the target layer. `extras` are the other inputs of
    the head, with N rows each. `features` are the input of the linear layer
    or convolution of a channelwise head.
    """

    activations: Tensor
    logits: Tensor
    extras: list[Tensor] = field(default_factory=list)
    features: Tensor | None = None


class HookedModel:
    """A model split by a hook: to run the head again, the whole model runs again."""

    channelwise: ChannelwiseHead | None = None

    def __init__(self, model: nn.Module, layer: nn.Module) -> None:
        self._model, self._layer = model, layer

    def forward(self, images: Tensor, gradients: bool) -> SplitForward:
        """Return activations and logits, with an autograd graph between them if asked for.

        Gradients are switched on at the output of the layer, so the layers before it run without,
        and no weight ever receives one.
        """
        outputs: list[Tensor] = []

        def read(output: Tensor) -> Tensor:
            outputs.append(output.detach().requires_grad_(gradients))
            torch.set_grad_enabled(gradients)
            return outputs[0].clone()  # protects the activations from an in-place layer

        logits = self._run(images, read)
        return SplitForward(outputs[0], logits, [images])

    def resume(self, activations: Tensor, extras: list[Tensor]) -> Tensor:
        """Return the logits of the images in `extras` for other activations of the layer."""
        return self._run(extras[0], lambda output: activations)

    def _run(self, images: Tensor, replace: Callable[[Tensor], Tensor]) -> Tensor:
        uses = 0

        def hook(module: nn.Module, inputs: tuple, output: Tensor) -> Tensor | None:
            nonlocal uses
            uses += 1
            return replace(output) if uses == 1 else None  # the map is that of the first use

        handle = add_thread_hook(self._layer, hook)
        try:
            with torch.no_grad():
                return self._model(images)
        finally:
            handle.remove()


class TracedModel:
    """A model split into two `torch.fx` graphs that share its modules."""

    def __init__(
        self,
        stem: fx.GraphModule,
        head: fx.GraphModule,
        channelwise: ChannelwiseHead | None = None,
    ) -> None:
        self._stem, self._head, self.channelwise = stem, head, channelwise

    def forward(self, images: Tensor, gradients: bool) -> SplitForward:
        """Return activations and logits, with an autograd graph between them if asked for."""
        with torch.no_grad():
            activations, *extras = self._stem(images)
        with torch.set_grad_enabled(gradients):
            activations = activations.detach().requires_grad_(gradients)
            if self.channelwise is None:
                logits = self.resume(activations.clone(), extras)
                return SplitForward(activations, logits, extras)
            features = self.channelwise.features(activations.clone(), *_copies(extras))
            logits = self.channelwise.logits(features)
            return SplitForward(activations, logits, extras, features)

    def resume(self, activations: Tensor, extras: list[Tensor]) -> Tensor:
        """Return the logits of the head; in-place layers may overwrite `activations`."""
        return self._head(activations, *_copies(extras))


def _copies(extras: list[Tensor]) -> list[Tensor]:
    """Return copies: a head may add in place to a skip connection."""
    return [extra.clone() for extra in extras]


@torch.no_grad()
def split_model(model: nn.Module, layer: nn.Module, image: Tensor) -> TracedModel | HookedModel:
    """Return `model` split at `layer`: by its graph if that can be traced, else by a hook.

    The split is tried on `image` (1, C, H, W), and a graph that computes something else is not
    used.
    """
    hooked = HookedModel(model, layer)
    if has_hooks(model):
        return hooked
    try:
        stem, head = _trace(model, layer)
    except Exception:  # a forward pass is arbitrary code: on symbols it may fail in any way
        return hooked
    # After tracing, so that anything a forward pass stores on its modules is a tensor again.
    logits = model(image)
    traced = TracedModel(stem, head)
    try:
        forward = traced.forward(image, gradients=False)
        if not _reproduces(traced, forward, logits):
            return hooked
    except Exception:  # for example, because the number of rows is a constant in the graph
        return hooked
    speed_up(stem, model)
    channelwise = recognize(head)
    if channelwise is not None and _is_channelwise(traced, channelwise, forward):
        speed_up(channelwise.tail, model)
        return TracedModel(stem, head, channelwise)
    speed_up(head, model)
    return traced


def _trace(model: nn.Module, layer: nn.Module) -> tuple[fx.GraphModule, fx.GraphModule]:
    """Return the graphs of stem and head."""
    with _tracing:
        attributes = set(vars(model))
        try:
            tracer = _LayerTracer(layer)
            graph = tracer.trace(model)
            return _stem_and_head(model, graph, tracer.output.node)
        finally:
            for name in set(vars(model)) - attributes:
                delattr(model, name)  # torch.fx leaves constants of the forward pass on the model


class _LayerTracer(Tracer):
    """A tracer that remembers the output of one layer at its first use."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self._layer = layer
        self.output: Any = None

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        # Tracing enters only the forward of a module, so a module with hooks must stay whole.
        return super().is_leaf_module(module, name) or has_hooks(module)

    def call_module(self, m: nn.Module, forward: Callable, args: tuple, kwargs: dict) -> Any:
        output = super().call_module(m, forward, args, kwargs)
        if m is self._layer and self.output is None and self.in_traced_thread:
            self.output = output
        return output


def _stem_and_head(
    model: nn.Module, graph: fx.Graph, target: fx.Node
) -> tuple[fx.GraphModule, fx.GraphModule]:
    """Cut a graph at `target`: the stem returns the inputs of the head, the target's output first.

    Values that depend on weights alone are computed in the head again: they have no row per image.
    """
    *nodes, output = graph.nodes
    placeholders = {node for node in nodes if node.op == "placeholder"}
    of_images = _descendants(nodes, placeholders)
    of_target = _descendants(nodes, {target})
    in_head = of_target - {target}
    stem_nodes = [node for node in nodes if node not in in_head]
    for node in reversed(nodes):
        if node in in_head:
            in_head.update(set(node.all_input_nodes) - of_images - of_target)
    head_nodes = [node for node in nodes if node in in_head]
    inputs = _inputs([*head_nodes, output])
    extras = [node for node in inputs if node in of_images - of_target]
    stem = subgraph(model, [], stem_nodes, [target, *extras])
    head = subgraph(model, [target, *extras], head_nodes, output.args[0])
    return stem, head


def _descendants(nodes: Sequence[fx.Node], roots: set[fx.Node]) -> set[fx.Node]:
    """Return `roots` and the nodes that depend on them; `nodes` in order of execution."""
    reached = set(roots)
    for node in nodes:
        if not reached.isdisjoint(node.all_input_nodes):
            reached.add(node)
    return reached


def _inputs(nodes: Sequence[fx.Node]) -> list[fx.Node]:
    """Return the input nodes of `nodes`, each once, in order."""
    inputs = [value for node in nodes for value in node.all_input_nodes]
    return list(dict.fromkeys(inputs))


def _reproduces(traced: TracedModel, forward: SplitForward, logits: Tensor) -> bool:
    """Return whether the graphs give the model's logits, also for more rows than the stem saw."""
    activations = _repeated(forward.activations, 3)
    extras = [_repeated(extra, 3) for extra in forward.extras]
    again = traced.resume(activations, extras)
    expected = logits.expand(3, -1)
    return _close(forward.logits, logits) and _close(again, expected)


def _is_channelwise(traced: TracedModel, head: ChannelwiseHead, forward: SplitForward) -> bool:
    """Return whether the closed form agrees with the head when one of three channels is removed."""
    full = _without_dead_channels(forward.activations)
    channels = full.shape[1]
    rows = torch.arange(3)
    removed = torch.tensor([0, channels // 2, channels - 1])
    without = _repeated(full, 3)
    without[rows, removed] = 0
    extras = [_repeated(extra, 3) for extra in forward.extras]
    before = head.features(full, *_copies(forward.extras))
    empty = head.features(torch.zeros_like(full), *_copies(forward.extras))
    if before.shape[1] % channels:
        return False
    shares = (before - empty)[0].view(channels, -1, *before.shape[2:])
    lost = shares.new_zeros(3, *shares.shape)
    lost[rows, removed] = shares[removed]
    change = head.change(lost.flatten(1, 2))
    expected = head.tail(head.linear(before) - change)
    logits = traced.resume(without, extras)
    return _close(logits, expected)


def _without_dead_channels(activations: Tensor) -> Tensor:
    """Return activations that are not constant in any channel: a dead one would prove nothing."""
    count, kind = activations.numel(), activations.dtype
    ramp = torch.linspace(-1, 1, count, dtype=kind, device=activations.device)
    return activations + ramp.view_as(activations)


def _repeated(value: Tensor, count: int) -> Tensor:
    return value.repeat(count, *[1] * (value.ndim - 1))


def _close(actual: Tensor, expected: Tensor) -> bool:
    if actual.shape != expected.shape:
        return False
    scale = max(float(expected.abs().max()), 1e-3)
    return torch.allclose(actual, expected, rtol=0, atol=1e-3 * scale)
