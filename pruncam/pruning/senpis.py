"""SeNPIS: the importance of a filter is what each class's loss changes without it (Pachon et al. 2022).

Layer by layer from the input, what was found unimportant in a layer removed before the next is treated. A class's loss
is the mean cross-entropy of its images in the batch, in eval mode; a filter's importance for a class is
|loss without it - loss|, and its importance the mean over the batch's classes. "Without it" is with its weight, bias
and BatchNorm's terms at zero, which is what removal does. That is "senpis-faster"; "senpis" attenuates redundant
filters before the mean, class by class:

* The class's mean map of a filter is that of its layer's own output, before BatchNorm and activation, scaled to
  [0, 1] map by map (a constant map is 0); the SSIM of every pair of filters has a 7x7 uniform window, or the largest
  odd one that fits a smaller map. Maps under 3x3 pixels and FC neurons have no SSIM, and no attenuation.
* Pairs above the mean plus one population standard deviation of all pairs' SSIM are alike. Of each, the filter less
  important for the class (by the values before attenuation; the first of two equal ones) is multiplied by 0.9, once
  for every such pair.
* Where filters of several layers go together, the maps are those of the layer applied first.

The source leaves these open: which output the maps are of, their scaling, the window, sigma = 1, and what equal
filters do.

Networks that are a chain of layers, as VGG, are not run once per filter. A layer's input is computed once; the next
layer is linear, so its output without a filter is its output less what it makes of that filter alone; only what
follows runs again, for as many filters and images at once as the memory budget holds, and not at all for images for
which the filter gives nothing but zeros.
"""

import copy
import threading
from collections.abc import Callable

import torch
from torch import Tensor, fx, nn
from torch.func import functional_call
from torch.nn import functional

from pruncam.cams.passes import rows_within
from pruncam.metrics import ssim
from pruncam.pruning.coupling import Group, silenced
from pruncam.pruning.small_maps import faster
from pruncam.tracing import Tracer

SIGMA = 1.0  # standard deviations above the mean from which a pair of filters is alike
ATTENUATION = 0.9

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_POOLS = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
_POOLS += (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)
_POOLS += (nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d)
_ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish, nn.Tanh)
_DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.Identity)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
# They keep channels apart and, BatchNorm silenced, give 0 for a channel of zeros: a channel's absence is its share's.
_CHANNELWISE = _POOLS + _ACTIVATIONS + _DROPOUTS + _NORMS + (nn.Flatten,)
# They treat every image alone; a BatchNorm does if it has running statistics.
_PER_IMAGE = _CHANNELWISE + _CONVOLUTIONS + (nn.Linear, nn.GroupNorm, nn.LayerNorm, nn.PReLU, nn.Sigmoid, nn.Softplus)
_FUNCTIONS = (torch.relu, functional.relu, functional.max_pool2d, functional.avg_pool2d, functional.dropout)
_FUNCTIONS += (functional.adaptive_avg_pool2d, "relu", "relu_")

Step = Callable[[Tensor], Tensor]


class SeNPIS:
    """Importances of the filters of a network that is cut down between the calls; it must be in eval mode."""

    @torch.no_grad()
    def __init__(self, model: nn.Module, images: Tensor, labels: Tensor, *, attenuate: bool):
        self._model, self._images, self._labels, self._attenuate = model, images, labels, attenuate
        classes, of_image = labels.unique(return_inverse=True)
        # Class means, (classes, N): in float64, for they are of small differences, so not on any GPU.
        self._classes = functional.one_hot(of_image.cpu(), len(classes)).T.double()
        self._classes /= self._classes.sum(dim=1, keepdim=True)
        self._chain = _chain(model, images[:2])
        self._position, self._input = 0, images.clone()  # the chain's first step may work in place

    @torch.no_grad()
    def __call__(self, group: Group) -> Tensor:
        """The importance of the group's filters, (filters,) float64; groups come in the order of their first layers."""
        with _full_precision:
            changes, maps = self._by_share(group) or self._literally(group)
        importance = (self._classes @ changes.cpu().double()).abs()
        if not importance.isfinite().all():
            raise ValueError(f"the loss is not finite without one of the filters of {group.names}: it cannot be ranked")
        if self._attenuate and maps is not None and min(maps.shape[2:]) >= 3:
            importance = attenuated(importance, maps)
        return importance.mean(dim=0)

    def _literally(self, group: Group) -> tuple[Tensor, Tensor | None]:
        """What each image's loss changes without each filter, (N, filters), by a forward pass per filter, and maps."""
        outputs = []
        handle = group.first.register_forward_hook(lambda module, inputs, output: outputs.append(output.clone()))
        try:
            loss = self._loss(self._model(self._images), self._labels)
        finally:
            handle.remove()
        changes = []
        for index in range(group.filters):
            with silenced(group, index):
                changes.append(self._loss(self._model(self._images), self._labels) - loss)
        return torch.stack(changes, dim=1), self._class_maps(outputs[0])

    def _by_share(self, group: Group) -> tuple[Tensor, Tensor | None] | None:
        """The same by the next layer's linearity; None where the network or what follows this layer is no chain."""
        if self._chain is None or len(group.layers) > 1:
            return None
        start = self._chain.index(group.first)
        end = next(
            i for i, step in enumerate(self._chain) if i > start and isinstance(step, _CONVOLUTIONS + (nn.Linear,))
        )
        between, after, reader = self._chain[start + 1 : end], self._chain[end + 1 :], self._chain[end]
        if not all(isinstance(step, _CHANNELWISE + (_Function,)) for step in between):
            return None
        self._input = _run(self._chain[self._position : start], self._input)
        self._position = start
        output = _run([group.first], self._input)
        maps = self._class_maps(output)
        features = _run(between, output)
        if not _reads_channels(reader, features, group.filters):
            return None
        full = _run([reader], features)
        after = _faster(after, full[:1])
        loss = self._loss(_run(after, full), self._labels)
        changes = loss.new_zeros(group.filters, len(loss))
        # (filter, image) pairs, one filter's next to each other; where a filter gives zeros, nothing changes without it
        pairs = features.reshape(len(features), group.filters, -1).any(dim=2).T.nonzero()
        for part in pairs.split(rows_within(_bytes_per_row(after, full[:1]), full.device)):
            without = full[part[:, 1]]
            _take_shares(without, part, reader, features, group.filters)
            for step in after:
                without = step(without)
            changes[part[:, 0], part[:, 1]] = self._loss(without, self._labels[part[:, 1]]) - loss[part[:, 1]]
        return changes.T, maps

    @staticmethod
    def _loss(logits: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(logits, labels, reduction="none")

    def _class_maps(self, output: Tensor) -> Tensor | None:
        """Every class's mean map of every filter, (classes, filters, h, w); None where the output is no map."""
        if not self._attenuate or output.ndim != 4:
            return None
        return torch.einsum("cn,nfhw->cfhw", self._classes.to(output), output).cpu().double()


class _FullPrecision:
    """No TF32 inside, which GPUs use for convolutions: it rounds to a thousandth, more than most filters change.

    The setting is the process's: the first thread that comes in changes it, the last one that leaves puts it back.
    """

    def __init__(self):
        self._lock, self._inside, self._before = threading.Lock(), 0, None

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._before = torch.backends.cudnn.conv.fp32_precision
                torch.backends.cudnn.conv.fp32_precision = "ieee"
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                torch.backends.cudnn.conv.fp32_precision = self._before


_full_precision = _FullPrecision()


@torch.no_grad()
def attenuated(importance: Tensor, maps: Tensor) -> Tensor:
    """Importances (classes, filters), those of redundant filters lowered by their maps (classes, filters, h, w)."""
    low, high = maps.amin(dim=(2, 3), keepdim=True), maps.amax(dim=(2, 3), keepdim=True)
    scaled = torch.where(high > low, (maps - low) / (high - low), 0.0)
    side = min(7, min(maps.shape[2:]) - 1 + min(maps.shape[2:]) % 2)
    first, second = torch.triu_indices(*[maps.shape[1]] * 2, offset=1)
    result = importance.clone()
    if not len(first):
        return result
    for values, images, lowered in zip(importance, scaled, result, strict=True):
        pairs = zip(*(part.split(2**24 // images[0].numel() + 1) for part in (first, second)), strict=True)
        alike = torch.cat([ssim(images[a], images[b], size=side) for a, b in pairs])
        hit = alike > alike.mean() + SIGMA * alike.std(correction=0)
        a, b = first[hit], second[hit]
        weaker = torch.where(values[b] < values[a], b, a)
        lowered *= ATTENUATION ** weaker.bincount(minlength=len(values)).double()
    return result


# ---------------------------------------------------------------- chains of layers


class _Function:
    """A function or method call of a forward pass, with its other arguments."""

    def __init__(self, call: Callable | str, args: tuple, kwargs: dict):
        self._call, self._args, self._kwargs = call, args, kwargs

    def __call__(self, value: Tensor) -> Tensor:
        if isinstance(self._call, str):
            return getattr(value, self._call)(*self._args, **self._kwargs)
        return self._call(value, *self._args, **self._kwargs)


def _chain(model: nn.Module, images: Tensor) -> list[Step] | None:
    """The network as steps, one after the other, each for every image alone; None where it is none or not known."""
    if any(module._forward_hooks or module._forward_pre_hooks for module in model.modules()):
        return None
    try:
        # A copy, for it leaves constants on the model; its nodes know their modules by name.
        nodes = list(Tracer().trace(copy.deepcopy(model)).nodes)
        steps = _steps(model, nodes)
        value = images.clone()
        for step in steps or []:
            value = step(value)
    except Exception:  # a forward pass is arbitrary code, and may fail in any way on symbols instead of tensors
        return None
    expected = model(images)
    same = value.shape == expected.shape and ((value - expected).abs() <= 1e-4 * expected.abs().max()).all()
    return steps if steps and same else None


def _steps(model: nn.Module, nodes: list[fx.Node]) -> list[Step] | None:
    """The nodes of a traced forward pass as steps; None if one is not known, or has another input than the last."""
    if nodes[0].op != "placeholder" or nodes[1].op == "placeholder" or nodes[-1].args != (nodes[-2],):
        return None
    steps, last, sizes = [], nodes[0], set()
    for node in nodes[1:-1]:
        if _is_batch_size(node, last):
            sizes.add(node)
            continue
        step = _step(model, node, sizes)
        if step is None or node.args[:1] != (last,) or not set(node.all_input_nodes) <= {last} | sizes:
            return None
        steps.append(step)
        last = node
    weighty = [step for step in steps if isinstance(step, nn.Module) and step.state_dict()]
    return steps if len(weighty) == len(set(weighty)) else None


def _step(model: nn.Module, node: fx.Node, sizes: set[fx.Node]) -> Step | None:
    if node.op == "call_module":
        step = model.get_submodule(node.target)
        known = type(step) in _PER_IMAGE
        if isinstance(step, _NORMS):
            known = known and step.running_mean is not None
        if isinstance(step, nn.Flatten):
            known = (step.start_dim, step.end_dim) == (1, -1)
        return step if known else None
    if _flattens(node, sizes):
        return nn.Flatten()
    if node.target in _FUNCTIONS:
        return _Function(node.target, node.args[1:], dict(node.kwargs))
    return None


def _is_batch_size(node: fx.Node, last: fx.Node) -> bool:
    """`x.size(0)`; a shape as a whole would hold the number of channels, which removal changes."""
    return node.target == "size" and node.args == (last, 0)


def _flattens(node: fx.Node, sizes: set[fx.Node]) -> bool:
    if node.target in (torch.flatten, "flatten"):
        return node.args[1:] == (1,) or node.kwargs == {"start_dim": 1}
    return node.target in ("view", "reshape") and len(node.args) == 3 and node.args[1] in sizes and node.args[2] == -1


def _run(steps: list[Step], value: Tensor) -> Tensor:
    """The steps' output; `value` stays as it is, although steps may work in place."""
    if not steps:
        return value
    results = []
    for part in value.split(rows_within(_bytes_per_row(steps, value[:1]), value.device)):
        result = part.clone()
        for step in steps:
            result = step(result)
        results.append(result)
    return torch.cat(results)


def _faster(steps: list[Step], row: Tensor) -> list[Step]:
    """The steps, convolutions of small maps among them done with fewer multiplications."""
    quick, row = [], row.clone()
    for step in steps:
        quick.append(faster(step, row))
        row = step(row)
    return quick


def _bytes_per_row(steps: list[Step], row: Tensor) -> int:
    """The largest input and output together that one row has on its way."""
    row, largest = row.clone(), row.nbytes
    for step in steps:
        before = row.nbytes
        row = step(row)
        largest = max(largest, before + row.nbytes)
    return largest


def _reads_channels(reader: nn.Module, features: Tensor, filters: int) -> bool:
    """Whether the layer takes these features, with equal shares of all filters in the filters' order."""
    if isinstance(reader, nn.Linear):
        return features.ndim == 2 and features.shape[1] % filters == 0
    return reader.groups == 1 and features.ndim == reader.weight.ndim and features.shape[1] == filters


def _take_shares(without: Tensor, pairs: Tensor, reader: nn.Module, features: Tensor, filters: int) -> None:
    """Take off each row of `without`, in place, what `reader` makes of that row's filter in that row's image.

    `pairs` (rows, 2) holds filter and image of each row, rows of one filter next to each other.
    """
    weight = reader.weight.view(len(reader.weight), filters, -1) if isinstance(reader, nn.Linear) else reader.weight
    features = features.view(len(features), filters, -1) if isinstance(reader, nn.Linear) else features
    bias = {} if reader.bias is None else {"bias": torch.zeros_like(reader.bias)}
    present, counts = pairs[:, 0].unique_consecutive(return_counts=True)
    images = pairs[:, 1].split(counts.tolist())
    for index, rows, of in zip(present.tolist(), without.split(counts.tolist()), images, strict=True):
        own = index if isinstance(reader, nn.Linear) else slice(index, index + 1)
        rows -= functional_call(reader, {"weight": weight[:, own], **bias}, features[of, own])
