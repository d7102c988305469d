"""Which filters go together, and their removal: Torch-Pruning's dependency graph behind a small face."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pruncam.pruning.masks import prunable

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@dataclass(frozen=True)
class Member:
    """A layer, or its BatchNorm: `rows[i]` is one of its channels, and belongs to filter `filters[i]` of the group."""

    module: nn.Module
    rows: Tensor
    filters: Tensor


@dataclass(frozen=True)
class Group:
    """Filters that can only go together: one layer's, or those of several whose outputs are added."""

    layers: dict[str, Member]  # convolutions and FC layers, by name, in the order in which they are applied
    norms: list[Member]
    filters: int

    @property
    def first(self) -> nn.Module:
        return next(iter(self.layers.values())).module

    @property
    def names(self) -> str:
        return ", ".join(self.layers)


class Coupling:
    """The groups of a network that is cut down in place; it must be in eval mode, with gradients on.

    Raises ImportError if Torch-Pruning is missing, ValueError on a network that it cannot follow.
    """

    def __init__(self, model: nn.Module, example_input: Tensor):
        self._names = {module: name for name, module in prunable(model).items()}
        self._applied = _order(model, example_input, list(self._names))
        wanted = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
        try:
            model.requires_grad_(True)  # it follows autograd's graph
            self._graph = _torch_pruning().DependencyGraph()
            # In a tuple: a bare batch of one would be tried as one image without its batch dimension first.
            self._graph.build_dependency(model, (example_input,), verbose=False)
        finally:
            for name, parameter in model.named_parameters():
                parameter.requires_grad_(wanted[name])

    def groups(self, layers: tuple[str, ...]) -> list[Group]:
        """Every group with a layer of the named kinds, from the input on; not what the layer applied last belongs to.

        Raises ValueError on grouped convolutions other than depthwise ones.
        """
        chosen = set(prunable(self._graph.model, layers).values())
        found, seen = [], set()
        for layer in self._applied:
            if layer not in seen:
                group = self._group(layer)
                members = {member.module for member in group.layers.values()}
                seen |= members
                if members & chosen and self._applied[-1] not in members:
                    found.append(group)
        return found

    def renewed(self, group: Group) -> Group:
        """The group as it is after others were cut: where maps stand side by side, a BatchNorm's rows have moved."""
        return self._group(group.first)

    def _group(self, layer: nn.Module) -> Group:
        layers, norms = {}, []
        for item in self._all(layer):
            module = item.dep.target.module
            if not self._graph.is_out_channel_pruning_fn(item.dep.handler):
                continue
            member = Member(module, torch.tensor(item.idxs), torch.tensor(item.root_idxs))
            if module in self._names:
                layers[module] = member
            elif isinstance(module, _BATCH_NORMS):
                norms.append(member)
        for module in layers:
            if getattr(module, "groups", 1) not in (1, module.weight.shape[0]):
                raise ValueError(
                    f"{self._names[module]} is a convolution in {module.groups} groups: filters can only be removed "
                    "from ordinary and depthwise ones"
                )
        ordered = {self._names[module]: layers[module] for module in self._applied if module in layers}
        return Group(ordered, norms, len(layer.weight))

    def _all(self, layer: nn.Module, filters: list[int] | None = None):
        prune = self._graph.get_pruner_of_module(layer).prune_out_channels
        return self._graph.get_pruning_group(
            layer, prune, list(range(len(layer.weight))) if filters is None else filters
        )

    def remove(self, group: Group, filters: list[int]) -> None:
        """Take these filters of the group, their BatchNorms' channels, and the weights that read them, out in place."""
        if filters:
            wanted = {
                id(module): {name: p.requires_grad for name, p in module.named_parameters(recurse=False)}
                for module in self._graph.model.modules()
            }
            self._all(group.first, filters).prune()
            for module in self._graph.model.modules():  # what was cut is a new parameter
                for name, parameter in module.named_parameters(recurse=False):
                    parameter.requires_grad_(wanted[id(module)][name])


@contextmanager
@torch.no_grad()
def silenced(group: Group, index: int) -> Iterator[None]:
    """One filter gives 0 inside, as if it were removed: weight, bias and its BatchNorms' terms are 0, exact after."""
    kept = []
    for member in (*group.layers.values(), *group.norms):
        rows = member.rows[member.filters == index]
        for name in ("weight", "bias", "running_mean"):
            tensor = getattr(member.module, name, None)
            if tensor is not None:
                rows = rows.to(tensor.device)
                kept.append((tensor.data, rows, tensor.data[rows].clone()))
                tensor.data[rows] = 0
    try:
        yield
    finally:
        for tensor, rows, values in kept:
            tensor[rows] = values


@torch.no_grad()
def _order(model: nn.Module, example_input: Tensor, layers: list[nn.Module]) -> list[nn.Module]:
    """These layers in the order of their first use; one that is never used is left out."""
    applied = []
    handles = [layer.register_forward_hook(lambda module, *_: applied.append(module)) for layer in layers]
    try:
        model(example_input)
    finally:
        for handle in handles:
            handle.remove()
    return list(dict.fromkeys(applied))


def _torch_pruning():
    try:
        import torch_pruning
    except ImportError as error:
        raise ImportError("removing filters needs Torch-Pruning: pip install torch-pruning") from error
    return torch_pruning
