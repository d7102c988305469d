"""Groups of filters that must be removed together, found by Torch-Pruning's dependency graph."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pruncam._nn.operations import BATCH_NORMS, WeightLayer
from pruncam._nn.probe import profile_forward
from pruncam.pruning.masking import prunable


@dataclass(frozen=True)
class Member:
    """A layer of a group, or its BatchNorm.

    `channels[i]` is one of its channels, and belongs to filter `filters[i]` of the group.
    """

    module: Any  # a layer with weights, or a BatchNorm
    channels: Tensor
    filters: Tensor


@dataclass(frozen=True)
class Group:
    """Filters that can only be removed together: of a layer, or of layers whose outputs are added.

    `layers` are convolutions and FC layers by name, in the order in which they are applied.
    """

    layers: dict[str, Member]
    norms: list[Member]
    filters: int

    @property
    def first(self) -> WeightLayer:
        """Return the layer applied first."""
        return next(iter(self.layers.values())).module

    @property
    def names(self) -> str:
        """Return the names of the layers in one string."""
        return ", ".join(self.layers)


class Coupling:
    """The groups of a network that is cut down in place, in eval mode and with gradients on.

    Raises ImportError if Torch-Pruning is missing, ValueError on a network it cannot follow.
    """

    def __init__(self, model: nn.Module, example_input: Tensor) -> None:
        self._names = {module: name for name, module in prunable(model).items()}
        profile = profile_forward(model, example_input)
        applied = [call.module for call in profile.calls if call.module in self._names]
        self._applied = list(dict.fromkeys(applied))  # in the order of their first use
        flags = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
        try:
            model.requires_grad_(True)  # Torch-Pruning follows autograd's graph
            self._graph = _torch_pruning().DependencyGraph()
            # A tuple: from a bare batch of one, the image without batch dimension is tried first.
            self._graph.build_dependency(model, (example_input,), verbose=False)
        finally:
            for name, parameter in model.named_parameters():
                parameter.requires_grad_(flags[name])

    def groups(self, layers: tuple[str, ...]) -> list[Group]:
        """Return every group with a layer of these kinds, from the input on.

        The group of the layer applied last is left out. Raises ValueError on grouped convolutions
        other than depthwise ones.
        """
        selected = set(prunable(self._graph.model, layers).values())
        groups = []
        visited: set[nn.Module] = set()
        for layer in self._applied:
            if layer in visited:
                continue
            group = self._group(layer)
            members = {member.module for member in group.layers.values()}
            visited |= members
            if members & selected and self._applied[-1] not in members:
                groups.append(group)
        return groups

    def refreshed(self, group: Group) -> Group:
        """Return the group as it is after others were cut.

        If maps are concatenated, the channels of a BatchNorm have moved.
        """
        return self._group(group.first)

    def remove(self, group: Group, filters: list[int]) -> None:
        """Remove these filters with their BatchNorm channels and the weights that read them."""
        if not filters:
            return
        modules = list(self._graph.model.modules())
        flags = {
            (id(module), name): parameter.requires_grad
            for module in modules
            for name, parameter in _parameters(module)
        }
        self._dependencies(group.first, filters).prune()
        for module in modules:  # cut parameters are new ones
            for name, parameter in _parameters(module):
                parameter.requires_grad_(flags[id(module), name])

    def _group(self, layer: WeightLayer) -> Group:
        layers: dict[WeightLayer, Member] = {}
        norms = []
        for item in self._dependencies(layer, list(range(len(layer.weight)))):
            module = item.dep.target.module
            if not self._graph.is_out_channel_pruning_fn(item.dep.handler):
                continue
            member = Member(module, torch.tensor(item.idxs), torch.tensor(item.root_idxs))
            if module in self._names:
                layers[module] = member
            elif isinstance(module, BATCH_NORMS):
                norms.append(member)
        for module in layers:
            self._check_groups(module)
        in_order = {
            self._names[module]: layers[module] for module in self._applied if module in layers
        }
        return Group(in_order, norms, len(layer.weight))

    def _check_groups(self, module: WeightLayer) -> None:
        """Raise ValueError on a grouped convolution that is not depthwise."""
        if getattr(module, "groups", 1) not in (1, module.weight.shape[0]):
            raise ValueError(
                f"{self._names[module]} is a convolution in {module.groups} groups: "
                "filters can only be removed from ordinary and depthwise ones"
            )

    def _dependencies(self, layer: nn.Module, filters: list[int]) -> Any:
        """Return Torch-Pruning's group of everything that depends on these filters."""
        prune = self._graph.get_pruner_of_module(layer).prune_out_channels
        return self._graph.get_pruning_group(layer, prune, filters)


def _parameters(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    return module.named_parameters(recurse=False)


@contextmanager
@torch.no_grad()
def silenced(group: Group, index: int) -> Iterator[None]:
    """Make one filter output 0 inside the context, as if it were removed; restore it exactly after.

    Its weight, its bias and the terms of its BatchNorms are set to 0.
    """
    backups = []
    for member in (*group.layers.values(), *group.norms):
        channels = member.channels[member.filters == index]
        for name in ("weight", "bias", "running_mean"):
            tensor = getattr(member.module, name, None)
            if tensor is not None:
                channels = channels.to(tensor.device)
                backups.append((tensor.data, channels, tensor.data[channels].clone()))
                tensor.data[channels] = 0
    try:
        yield
    finally:
        for tensor, channels, values in backups:
            tensor[channels] = values


def _torch_pruning() -> Any:
    try:
        import torch_pruning
    except ImportError as error:
        raise ImportError(
            "removing filters requires Torch-Pruning: pip install torch-pruning"
        ) from error
    return torch_pruning
