"""A model cut in two at one layer: a stem that runs once, and a head that can be run again from other activations."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, fx, nn

from pruncam.cams.channelwise import ChannelwiseHead, recognize
from pruncam.tracing import Tracer


@dataclass
class Cut:
    """One batch seen through a cut model."""

    activations: Tensor  # of the target layer, (N, K, h, w)
    logits: Tensor
    extras: list[Tensor] = field(default_factory=list)  # what else the head needs to run again, N rows each
    features: Tensor | None = None  # what a channel-wise head hands to its linear layer


class Hooked:
    """Any model, cut by a hook: one pass gives activations and logits, but only the whole model can run again."""

    channelwise = None

    def __init__(self, model: nn.Module, layer: nn.Module):
        self._model, self._layer = model, layer

    def cut(self, images: Tensor, gradients: bool) -> Cut:
        """Activations and logits, with a graph from the one to the other, if wanted, and nothing before it.

        Gradients are switched on where the layer hands its output over, so that the layers before it run without,
        and no weight ever gets one.
        """
        found = []

        def read(output: Tensor) -> Tensor:
            found.append(output.detach().requires_grad_(gradients))
            torch.set_grad_enabled(gradients)
            return found[0].clone()  # an in-place layer that follows must not overwrite what we read

        logits = self._run(images, read)
        return Cut(found[0], logits, [images])

    def resume(self, activations: Tensor, extras: list[Tensor]) -> Tensor:
        """The logits of the images in `extras` with the layer's output replaced by `activations`."""
        return self._run(extras[0], lambda output: activations)

    def _run(self, images: Tensor, replace) -> Tensor:
        uses = []

        def hook(module: nn.Module, inputs: tuple, output: Tensor) -> Tensor | None:
            uses.append(module)
            return replace(output) if len(uses) == 1 else None  # a layer used again: the map is of its first use

        handle = self._layer.register_forward_hook(hook)
        try:
            with torch.no_grad():
                return self._model(images)
        finally:
            handle.remove()


class Traced:
    """A model whose graph `torch.fx` can follow, cut into two graphs that share its modules."""

    def __init__(self, stem: fx.GraphModule, head: fx.GraphModule, channelwise: ChannelwiseHead | None):
        self._stem, self._head, self.channelwise = stem, head, channelwise

    def cut(self, images: Tensor, gradients: bool) -> Cut:
        """Activations and logits, with a graph from the one to the other, if wanted, and nothing before it."""
        with torch.no_grad():
            activations, *extras = self._stem(images)
        with torch.set_grad_enabled(gradients):
            activations = activations.detach().requires_grad_(gradients)
            if self.channelwise is None:
                return Cut(activations, self.resume(activations.clone(), extras), extras)
            features = self.channelwise.features(activations.clone(), *_copies(extras))
            return Cut(activations, self.channelwise.logits(features), extras, features)

    def resume(self, activations: Tensor, extras: list[Tensor]) -> Tensor:
        """The head's logits; it may overwrite `activations`, as in-place layers do."""
        return self._head(activations, *_copies(extras))


def _copies(extras: list[Tensor]) -> list[Tensor]:
    return [extra.clone() for extra in extras]  # a head may add in place to a skip connection


@torch.no_grad()
def split(model: nn.Module, layer: nn.Module, image: Tensor) -> Traced | Hooked:
    """The model cut at `layer` by its graph, or by a hook where its graph cannot be followed or does not do the same.

    `image` (1, C, H, W) is what the cut is tried on.
    """
    hooked = Hooked(model, layer)
    if _has_hooks(model):
        return hooked
    attributes = set(vars(model))
    try:
        tracer = _Tracer(layer)
        stem, head = _graphs(model, tracer.trace(model), tracer.value.node)
    except Exception:  # a forward pass is arbitrary code, and may fail in any way on symbols instead of tensors
        return hooked
    finally:
        for name in set(vars(model)) - attributes:
            delattr(model, name)  # torch.fx leaves a forward pass's constants on the model
    # After tracing, so that whatever a forward pass stores on its modules is a tensor again and no symbol.
    logits = model(image)
    traced = Traced(stem, head, None)
    try:
        cut = traced.cut(image, gradients=False)
        if not _same(traced, cut, logits):
            return hooked
    except Exception:  # say, because the number of rows is a constant in the graph
        return hooked
    channelwise = recognize(head)
    if channelwise is not None and _is_channelwise(traced, channelwise, cut):
        return Traced(stem, head, channelwise)
    return traced


class _Tracer(Tracer):
    """Follows a forward pass, and keeps the value that one layer gives at its first use."""

    def __init__(self, layer: nn.Module):
        super().__init__()
        self._layer, self.value = layer, None

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        # A module is followed inside its forward only, so what has hooks must stay whole.
        return super().is_leaf_module(module, name) or _has_hooks(module)

    def call_module(self, m, forward, args, kwargs):
        value = super().call_module(m, forward, args, kwargs)
        if m is self._layer and self.value is None and self.follows:
            self.value = value
        return value


def _has_hooks(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)


def _graphs(model: nn.Module, graph: fx.Graph, target: fx.Node) -> tuple[fx.GraphModule, fx.GraphModule]:
    """The stem gives the target's value and what else the head needs of it; the head takes them in that order."""
    nodes = list(graph.nodes)
    output = nodes.pop()
    of_images, of_target = {node for node in nodes if node.op == "placeholder"}, {target}
    for node in nodes:
        for known in (of_images, of_target):
            if not known.isdisjoint(node.all_input_nodes):
                known.add(node)
    # What depends on weights alone is computed in the head again: it has no row per image.
    of_weights = set()
    for node in reversed(nodes):
        if node in of_weights or node in of_target - {target}:
            of_weights.update(set(node.all_input_nodes) - of_images - of_target)
    after = [node for node in nodes if node in of_weights or node in of_target - {target}]
    needed = dict.fromkeys(i for node in (*after, output) for i in node.all_input_nodes)
    extras = [node for node in needed if node in of_images - of_target]
    stem = _copied(model, [], [node for node in nodes if node not in of_target or node is target], [target, *extras])
    return stem, _copied(model, [target, *extras], after, output.args[0])


def _copied(model: nn.Module, inputs: list[fx.Node], nodes: list[fx.Node], output) -> fx.GraphModule:
    graph, new = fx.Graph(), {}
    for node in inputs:
        new[node] = graph.placeholder(node.name)
    for node in nodes:
        new[node] = graph.node_copy(node, new.__getitem__)
    graph.output(fx.map_arg(output, new.__getitem__))
    return fx.GraphModule(model, graph)


def _same(traced: Traced, cut: Cut, logits: Tensor) -> bool:
    """Whether the two graphs give the model's logits, also for another number of rows than the stem saw."""
    again = traced.resume(_rows(cut.activations, 3), [_rows(extra, 3) for extra in cut.extras])
    return _close(cut.logits, logits) and _close(again, logits.expand(3, -1))


def _is_channelwise(traced: Traced, head: ChannelwiseHead, cut: Cut) -> bool:
    """Whether the head does with a channel taken away, for three channels, what the closed form says."""
    ramp = torch.linspace(-1, 1, cut.activations.numel(), dtype=cut.activations.dtype, device=cut.activations.device)
    full = cut.activations + ramp.view_as(cut.activations)  # no channel may be dead: it would prove nothing
    channels = full.shape[1]
    rows, taken = torch.arange(3), torch.tensor([0, channels // 2, channels - 1])
    without = _rows(full, 3)
    without[rows, taken] = 0
    before, empty = (head.features(value, *_copies(cut.extras)) for value in (full, torch.zeros_like(full)))
    if before.ndim != 2 or before.shape[1] % channels:
        return False
    lost = before.new_zeros(3, channels, before.shape[1] // channels)
    lost[rows, taken] = (before - empty).view(channels, -1)[taken]
    expected = head.tail(head.linear(before) - lost.flatten(1) @ head.linear.weight.T)
    return _close(traced.resume(without, [_rows(extra, 3) for extra in cut.extras]), expected)


def _rows(value: Tensor, count: int) -> Tensor:
    return value.repeat(count, *[1] * (value.ndim - 1))


def _close(found: Tensor, expected: Tensor) -> bool:
    scale = max(float(expected.abs().max()), 1e-3)
    return found.shape == expected.shape and torch.allclose(found, expected, rtol=0, atol=1e-3 * scale)
