"""Groups of filters that must be removed together, found by Torch-Pruning's dependency graph."""

import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pruncam._nn.operations import BATCH_NORMS, CONVOLUTIONS, WeightLayer
from pruncam._nn.probe import profile_forward
from pruncam.pruning.masking import prunable
from pruncam.pruning.reached_channels import ChannelIndex, Untraceable, reached_channels


@dataclass(frozen=True)
class Member:
    """A layer of a group, or its BatchNorm.

    `channels[i]` is one of its channels, and belongs to filter `filters[i]` of the group.
    """

    name: str
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
    def first_name(self) -> str:
        """Return the name of the layer applied first."""
        return next(iter(self.layers))

    @property
    def names(self) -> str:
        """Return the names of the layers in one string."""
        return ", ".join(self.layers)


class Coupling:
    """The groups of a network that is cut down in place, in eval mode and with gradients on.

    Raises ValueError on a network that Torch-Pruning cannot follow.
    """

    def __init__(self, model: nn.Module, example_input: Tensor) -> None:
        self._names = {module: name for name, module in model.named_modules()}
        self._weighted = set(prunable(model).values())
        profile = profile_forward(model, example_input)
        applied = [call.module for call in profile.calls if call.module in self._weighted]
        self._applied = list(dict.fromkeys(applied))  # in the order of their first use
        self._largest = _largest_dimension(model)
        self._is_cut = True  # since Torch-Pruning's maps of the channels were brought up to date
        flags = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
        try:
            model.requires_grad_(True)  # Torch-Pruning follows autograd's graph
            self._graph = _dependency_graph(model, example_input)
        finally:
            for name, parameter in model.named_parameters():
                parameter.requires_grad_(flags[name])

    def groups(
        self, layers: tuple[str, ...], ignored_layers: Collection[str] = ()
    ) -> tuple[list[Group], dict[str, str]]:
        """Return every group with a layer of these kinds, from the input on, and the untraceable.

        The group of the layer applied last is left out, and every group with one of
        `ignored_layers`. The second value holds the reasons, by layer, why the channels of a layer
        cannot be followed.
        """
        selected = set(prunable(self._graph.model, layers).values())
        groups: list[Group] = []
        untraceable: dict[str, str] = {}
        visited: set[nn.Module] = set()
        for layer in self._applied:
            if layer in visited:
                continue
            try:
                group = self._group(layer)
            except Untraceable as error:
                name = self._names[layer]
                is_last = layer is self._applied[-1]
                if layer in selected and not is_last and name not in ignored_layers:
                    untraceable[name] = str(error)
                continue
            members = {member.module for member in group.layers.values()}
            visited |= members
            is_kept = self._applied[-1] in members or group.layers.keys() & set(ignored_layers)
            if members & selected and not is_kept:
                groups.append(group)
        return groups, untraceable

    def refreshed(self, group: Group) -> Group:
        """Return the group as it is after others were cut.

        If maps are concatenated, the channels of a BatchNorm have moved.
        """
        return self._group(group.first)

    def remove(self, layer: str, filters: Sequence[int]) -> bool:
        """Remove these filters of a layer, with all that belongs to its group and reads them.

        Returns False if Torch-Pruning fails; the network is then cut in part.
        """
        if not filters:
            return True
        modules = list(self._graph.model.modules())
        flags = {
            (id(module), name): parameter.requires_grad
            for module in modules
            for name, parameter in _parameters(module)
        }
        try:
            root = self._graph.model.get_submodule(layer)
            prune = self._pruning_function(root)
            self._is_cut = True
            self._graph.get_pruning_group(root, prune, list(filters)).prune()
        except Exception:  # it may fail in any way on parameters that it does not know
            return False
        for module in modules:  # cut parameters are new ones
            for name, parameter in _parameters(module):
                parameter.requires_grad_(flags[id(module), name])
        return True

    def _group(self, layer: WeightLayer) -> Group:
        layers: dict[nn.Module, Member] = {}
        norms = []
        root = self._root(layer)
        every_filter = [ChannelIndex(index, index) for index in range(len(layer.weight))]
        for node, handler, indices in reached_channels(
            self._graph, root, every_filter, limit=self._largest
        ):
            module = node.module
            if not self._graph.is_out_channel_pruning_fn(handler):
                continue
            if module not in self._weighted and not isinstance(module, BATCH_NORMS):
                continue
            channels, filters = torch.tensor(indices).T
            member = Member(self._names[module], module, channels, filters)
            if module in self._weighted:
                _check_groups(member)
                layers[module] = member
            else:
                norms.append(member)
        in_order = {
            self._names[module]: layers[module] for module in self._applied if module in layers
        }
        return Group(in_order, norms, len(layer.weight))

    def _root(self, layer: nn.Module) -> Any:
        """Return Torch-Pruning's dependency that removes filters of a layer.

        Its maps of the channels are up to date afterwards, which takes seconds in a transformer.
        """
        from torch_pruning.dependency import Dependency, index_mapping  # the import takes seconds

        if self._is_cut:
            index_mapping.update_index_mapping(self._graph)
            self._is_cut = False
        node, prune = self._graph.module2node[layer], self._pruning_function(layer)
        return Dependency(prune, prune, source=node, target=node)

    def _pruning_function(self, layer: nn.Module) -> Callable:
        """Return Torch-Pruning's function that removes filters of a layer."""
        return self._graph.get_pruner_of_module(layer).prune_out_channels


def _check_groups(member: Member) -> None:
    """Raise Untraceable on a grouped convolution that is not depthwise."""
    groups = getattr(member.module, "groups", 1)
    if groups not in (1, member.module.weight.shape[0]):
        raise Untraceable("convolved in groups")


def _parameters(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    return module.named_parameters(recurse=False)


def _largest_dimension(model: nn.Module) -> int:
    """Return the largest number of channels or features of any layer or parameter."""
    sizes = [size for parameter in model.parameters() for size in parameter.shape]
    sizes += [layer.in_channels for layer in model.modules() if isinstance(layer, CONVOLUTIONS)]
    return max(sizes)


@contextmanager
@torch.no_grad()
def silenced(group: Group, index: int) -> Iterator[None]:
    """Make one filter output 0 inside the context, as if it were removed; restore it exactly after.

    Its weight, its bias and the terms of its BatchNorms are set to 0.
    """
    backups = []
    for member in (*group.layers.values(), *group.norms):
        channels = member.channels[member.filters == index]
        for tensor in silencing_tensors(member.module):
            channels = channels.to(tensor.device)
            backups.append((tensor.data, channels, tensor.data[channels].clone()))
            tensor.data[channels] = 0
    try:
        yield
    finally:
        for tensor, channels, values in backups:
            tensor[channels] = values


def silencing_tensors(module: nn.Module) -> list[Tensor]:
    """Return the tensors of a layer or BatchNorm that are 0 for a channel that outputs only 0."""
    tensors = [getattr(module, name, None) for name in ("weight", "bias", "running_mean")]
    return [tensor for tensor in tensors if tensor is not None]


def _dependency_graph(model: nn.Module, example_input: Tensor) -> Any:
    """Return Torch-Pruning's graph; raise ValueError if it cannot follow the forward pass."""
    from torch_pruning import DependencyGraph  # the import takes seconds

    graph = DependencyGraph()
    graph.get_pruner_of_module = _by_kind(graph.get_pruner_of_module)
    try:
        # Its warnings concern layers whose channels cannot be followed: they are refused by name.
        with warnings.catch_warnings(action="ignore"):
            # A tuple: from a bare batch of one, the image without batch dimension is tried first.
            return graph.build_dependency(model, (example_input,), verbose=False)
    except Exception as error:  # a forward pass is arbitrary code
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(
            f"Torch-Pruning cannot follow the forward pass of {type(model).__name__} "
            f"({reason[:120]}): filters cannot be removed from it, mask them with global_structured"
        ) from error


def _by_kind(find_pruner: Callable[[nn.Module], Any]) -> Callable[[nn.Module], Any]:
    """Return a function that finds the pruner of a module and keeps it for modules of its kind.

    Torch-Pruning asks for the pruners of a transformer a million times.
    """
    known: dict[tuple[type, bool], Any] = {}

    def find(module: nn.Module) -> Any:
        groups = getattr(module, "groups", 1)
        kind = type(module), groups > 1 and groups == getattr(module, "out_channels", None)
        if kind not in known:
            known[kind] = find_pruner(module)
        return known[kind]

    return find
