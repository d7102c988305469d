"""A network as a chain of layers, each applied to the output of the previous one, as in VGG.

In a chain, the output without a filter follows from the linearity of the next layer: it is the full
output less what that layer makes of the filter alone.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.func import functional_call
from torch.nn import functional

from pruncam._nn.fx_tracer import Tracer
from pruncam._nn.hooks import has_hooks
from pruncam._nn.memory import rows_within
from pruncam._nn.operations import (
    ADAPTIVE_POOLS,
    BATCH_NORMS,
    CONVOLUTIONS,
    DROPOUTS,
    OTHER_ACTIVATIONS,
    POOL_FUNCTIONS_2D,
    POOLS,
    ZERO_PRESERVING_ACTIVATIONS,
    ZERO_PRESERVING_FUNCTIONS,
    WeightLayer,
    flattens_per_image,
)
from pruncam.pruning.fast_conv import Step, faster

READERS = (*CONVOLUTIONS, nn.Linear)  # layers that read the channels of the previous layer
# They keep channels apart and map a channel of zeros to zeros (a BatchNorm whose terms are zero).
_CHANNELWISE = (
    *POOLS,
    *ADAPTIVE_POOLS,
    *ZERO_PRESERVING_ACTIVATIONS,
    *DROPOUTS,
    *BATCH_NORMS,
    nn.Flatten,
)
# They process every image alone; a BatchNorm does if it has running statistics.
_PER_IMAGE = (
    *_CHANNELWISE,
    *READERS,
    *OTHER_ACTIVATIONS,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.PReLU,
)
_FUNCTIONS: tuple[Any, ...] = (
    *ZERO_PRESERVING_FUNCTIONS,
    *POOL_FUNCTIONS_2D,
    functional.dropout,
)


class FunctionStep:
    """A function or tensor method of a forward pass, with its other arguments."""

    def __init__(
        self,
        call: Callable | str,
        args: tuple,
        kwargs: dict,
    ) -> None:
        self._call = call
        self._args = args
        self._kwargs = kwargs

    def __call__(self, value: Tensor) -> Tensor:
        if isinstance(self._call, str):
            return getattr(value, self._call)(*self._args, **self._kwargs)
        return self._call(value, *self._args, **self._kwargs)


def is_channelwise(step: Step) -> bool:
    """Return True if a step of a chain keeps channels apart and maps zeros to zeros."""
    return isinstance(step, (*_CHANNELWISE, FunctionStep))


def as_chain(model: nn.Module, images: Tensor) -> list[Step] | None:
    """Return the steps of a network, each of which processes every image alone.

    Returns None if the network is not a chain of known layers. `images` (N, C, H, W) are those the
    chain is tried on.
    """
    if any(has_hooks(module) for module in model.modules()):
        return None
    try:
        # A copy, since tracing leaves constants on the model; nodes know their modules by name.
        nodes = list(Tracer().trace(copy.deepcopy(model)).nodes)
        steps = _steps(model, nodes)
        value = images.clone()
        for step in steps or []:
            value = step(value)
    except Exception:  # a forward pass is arbitrary code and may fail in any way on symbols
        return None
    expected = model(images)
    if not steps or value.shape != expected.shape:
        return None
    tolerance = 1e-4 * expected.abs().max()
    return steps if ((value - expected).abs() <= tolerance).all() else None


def _steps(model: nn.Module, nodes: list[fx.Node]) -> list[Step] | None:
    """Return the nodes of a traced forward pass as steps.

    Returns None if one is not known, or reads more than the output of the previous one.
    """
    if nodes[0].op != "placeholder" or nodes[1].op == "placeholder":
        return None
    if nodes[-1].args != (nodes[-2],):
        return None
    steps: list[Step] = []
    previous = nodes[0]
    batch_sizes: set[fx.Node] = set()
    for node in nodes[1:-1]:
        if _is_batch_size(node, previous):
            batch_sizes.add(node)
            continue
        step = _step(model, node, batch_sizes)
        if step is None or node.args[:1] != (previous,):
            return None
        if not set(node.all_input_nodes) <= {previous} | batch_sizes:
            return None
        steps.append(step)
        previous = node
    modules = [step for step in steps if isinstance(step, nn.Module)]
    with_weights = [module for module in modules if module.state_dict()]
    is_reused = len(with_weights) > len(set(with_weights))
    return None if is_reused else steps


def _step(
    model: nn.Module,
    node: fx.Node,
    batch_sizes: set[fx.Node],
) -> Step | None:
    """Return the step of a node, None if it is not known to process every image alone."""
    if node.op == "call_module":
        module = model.get_submodule(str(node.target))
        return module if _is_per_image(module, node) else None
    if flattens_per_image(node) or _reshapes_per_image(node, batch_sizes):
        return nn.Flatten()
    if node.target in _FUNCTIONS:
        return FunctionStep(node.target, node.args[1:], dict(node.kwargs))
    return None


def _is_per_image(module: nn.Module, node: fx.Node) -> bool:
    if isinstance(module, BATCH_NORMS) and module.running_mean is None:
        return False
    if isinstance(module, nn.Flatten):
        return flattens_per_image(node, module)
    return type(module) in _PER_IMAGE


def _is_batch_size(node: fx.Node, previous: fx.Node) -> bool:
    """Return True for `x.size(0)`; a whole shape would include the number of channels."""
    return node.target == "size" and node.args == (previous, 0)


def _reshapes_per_image(node: fx.Node, batch_sizes: set[fx.Node]) -> bool:
    """Return True for `x.view(x.size(0), -1)` or `reshape`."""
    if node.target not in ("view", "reshape") or len(node.args) != 3:
        return False
    _, rows, columns = node.args
    return rows in batch_sizes and bool(columns == -1)


def run_steps(steps: Sequence[Step], value: Tensor) -> Tensor:
    """Return the output of the steps; `value` is unchanged, although steps may work in place."""
    if not steps:
        return value
    outputs = []
    rows = rows_within(bytes_per_row(steps, value[:1]), value.device)
    for part in value.split(rows):
        output = part.clone()
        for step in steps:
            output = step(output)
        outputs.append(output)
    return torch.cat(outputs)


def accelerated(steps: Sequence[Step], row: Tensor) -> list[Step]:
    """Return equal steps in which convolutions of small maps need fewer multiplications.

    `row` (1, ...) has the shape of the input.
    """
    fast_steps = []
    row = row.clone()
    for step in steps:
        fast_steps.append(faster(step, row))
        row = step(row)
    return fast_steps


def bytes_per_row(steps: Sequence[Step], row: Tensor) -> int:
    """Return the largest size of input and output together that one row has in any step."""
    row = row.clone()
    largest = row.nbytes
    for step in steps:
        input_bytes = row.nbytes
        row = step(row)
        largest = max(largest, input_bytes + row.nbytes)
    return largest


def reads_channels(
    reader: WeightLayer,
    features: Tensor,
    filters: int,
) -> bool:
    """Return True if the layer reads an equal share of the features from each of the filters."""
    if isinstance(reader, nn.Linear):
        return features.ndim == 2 and features.shape[1] % filters == 0
    if reader.groups > 1 or features.ndim != reader.weight.ndim:
        return False
    return features.shape[1] == filters


def subtract_shares(
    outputs: Tensor,
    pairs: Tensor,
    reader: WeightLayer,
    features: Tensor,
    filters: int,
) -> None:
    """Subtract from each row of `outputs` what `reader` makes of one filter of one image, in place.

    `pairs` (rows, 2) holds filter and image of each row; rows of one filter are adjacent.
    """
    weight: Tensor = reader.weight
    is_linear = isinstance(reader, nn.Linear)
    if is_linear:
        weight = weight.view(len(weight), filters, -1)
        features = features.view(len(features), filters, -1)
    no_bias = {} if reader.bias is None else {"bias": torch.zeros_like(reader.bias)}
    present, counts = pairs[:, 0].unique_consecutive(return_counts=True)
    sizes = counts.tolist()
    output_parts, image_parts = outputs.split(sizes), pairs[:, 1].split(sizes)
    parts = zip(present.tolist(), output_parts, image_parts, strict=True)
    for index, rows, images in parts:
        channel = index if is_linear else slice(index, index + 1)
        parameters = {"weight": weight[:, channel], **no_bias}
        rows -= functional_call(reader, parameters, features[images, channel])
