"""Structured pruning: whole filters and hidden neurons, physically removed."""

import copy
import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from pruncam._core.validation import (
    check_choice,
    check_function,
    check_layers,
    check_names,
    check_number,
    check_seed,
    check_tensor,
    short_repr,
)
from pruncam._nn.operations import WeightLayer
from pruncam._nn.probe import check_fit, eval_mode, first_logits, placed_like
from pruncam.pruning.coupling import Coupling, Group
from pruncam.pruning.masking import drop_masks, prunable
from pruncam.pruning.removal_check import Removal, faulty_layers, is_equivalent
from pruncam.pruning.senpis import SeNPIS

# (name of the layer, layer) -> importance of its filters, (filters,); the lowest are removed first
LayerRule = Callable[[str, WeightLayer], Tensor]
Importance = str | LayerRule
Batch = tuple[Tensor, Tensor]


def l2_norm(name: str, layer: WeightLayer) -> Tensor:
    """Return the L2 norm of the weights of every filter, without its bias."""
    return layer.weight.detach().flatten(1).norm(dim=1)


def random_rule(seed: int) -> LayerRule:
    """Return a rule that draws uniform random numbers, layer after layer, from one generator."""
    generator = torch.Generator().manual_seed(seed)
    return lambda name, layer: torch.rand(len(layer.weight), generator=generator)


# A new rule is one entry: a function of the seed that returns a `LayerRule`.
LAYER_RULES: Mapping[str, Callable[[int], LayerRule]] = {
    "l2": lambda seed: l2_norm,
    "random": random_rule,
}
SENPIS_RULES = ("senpis-faster", "senpis")  # they rank by losses, layer after layer
IMPORTANCES = (*LAYER_RULES, *SENPIS_RULES)


@dataclass(frozen=True)
class _Request:
    """The validated arguments of `remove_filters` besides the network."""

    rate: float
    importance: Importance
    example_input: Tensor
    batch: Batch | None
    layers: tuple[str, ...]
    ignored_layers: Sequence[str]
    seed: int

    def count(self, group: Group) -> int:
        """Return how many filters of a group are removed."""
        return min(round(self.rate * group.filters), group.filters - 1)


def remove_filters(
    model: nn.Module,
    rate: float,
    *,
    importance: Importance = "l2",
    example_input: Tensor,
    batch: Batch | None = None,
    layers: tuple[str, ...] = ("conv", "linear"),
    ignored_layers: Sequence[str] = (),
    seed: int = 0,
) -> nn.Module:
    """Return a smaller copy of `model` without the least important filters and hidden neurons.

    PE-score, Section 4.2: the rate is the same for every layer, and the last layer stays whole. Of
    n filters, round(rate * n) are removed (Python's `round`), but at least one stays; of equally
    important ones the first are removed. Whatever reads a removed filter (the next layer,
    BatchNorm) is cut with it, so the copy gives the outputs of the network with these filters set
    to zero; this is checked. Filters of layers whose outputs are added, as in a ResNet, are removed
    together: their importance is the mean over those layers. Layers added to the output stay whole.

    Parameters
    ----------
    model : network in any mode, on any device; unchanged
        Masks of `pruncam.pruning` are dropped from the copy, where pruned weights are zeros.
    rate : float in [0, 1); 0 removes nothing
    importance : a name in `IMPORTANCES`, or a function
        "l2" (the paper's Weight), "senpis-faster" and "senpis" (see `pruncam.pruning.senpis`), or
        "random". A function takes the name of a layer and the layer, as it is in the unpruned copy,
        and returns a tensor (filters,): the higher, the more important.
    example_input : tensor (N, C, H, W) that the model takes; N = 1 is enough
    batch : images (N, C, H, W) as the model takes them and labels (N,), int64; only for SeNPIS
    layers : "conv", "linear" or both
        ("conv",) removes only convolution filters.
    ignored_layers : names of layers that stay whole
        All layers whose outputs are added to theirs stay whole, too.
    seed : int, for "random"

    Raises
    ------
    ValueError
        If rate is outside [0, 1), the importance or a layer is unknown, the model has no such
        layer or weights that are not finite, images do not fit the model, SeNPIS has no batch, or a
        function returns a wrong shape or values that are not finite. If filters of some layers
        cannot be removed without changing more than zeroed filters do: where a grouped
        convolution, a LayerNorm or GroupNorm, a sigmoid, or a shuffle, split, gate or reshape mixes
        channels. The message names the layers.
    TypeError
        If model is not a network, or an argument is of another type.

    Examples
    --------
    >>> net = nn.Sequential(nn.Conv2d(3, 10, 3), nn.ReLU(), nn.Flatten(), nn.Linear(360, 2))
    >>> remove_filters(net, 0.4, example_input=torch.zeros(1, 3, 8, 8))[3]
    Linear(in_features=216, out_features=2, bias=True)
    """
    request = _Request(
        rate, importance, example_input, batch, layers, ignored_layers, check_seed(seed)
    )
    original = _checked_copy(model, request)
    pruned, _ = _cut_copy(original, request)
    return pruned


def importances(
    model: nn.Module,
    rate: float,
    *,
    importance: Importance = "l2",
    example_input: Tensor,
    batch: Batch | None = None,
    layers: tuple[str, ...] = ("conv", "linear"),
    ignored_layers: Sequence[str] = (),
    seed: int = 0,
) -> dict[str, Tensor]:
    """Return the importance of every filter that `remove_filters` ranks, (filters,) by layer.

    Takes the arguments of `remove_filters` and raises its errors. Layers whose filters are removed
    together have one name, such as "layer1.0.conv2, layer1.1.conv2". With SeNPIS the importances of
    a layer depend on what was removed before it, and so on `rate`.
    """
    request = _Request(
        rate, importance, example_input, batch, layers, ignored_layers, check_seed(seed)
    )
    original = _checked_copy(model, request)
    _, values = _cut_copy(original, request)
    return values


@torch.inference_mode(False)  # inference tensors can be neither traced nor trained
def _checked_copy(model: nn.Module, request: _Request) -> nn.Module:
    """Return an unmasked copy of the model; raise TypeError or ValueError on bad arguments."""
    check_layers(model)
    check_number("rate", request.rate)
    if not 0 <= request.rate < 1:
        raise ValueError(
            "rate is the fraction of every layer's filters to remove, in [0, 1), "
            f"got {request.rate}"
        )
    if callable(request.importance):
        check_function("importance", request.importance, ["the name of a layer", "the layer"])
    else:
        check_choice("importance", request.importance, IMPORTANCES)
    unmasked = drop_masks(model)
    all_layers = prunable(unmasked)
    if not all(layer.weight.isfinite().all() for layer in all_layers.values()):
        raise ValueError(
            "the model has weights that are nan or infinite: they cannot be ranked, retrain it"
        )
    prunable(unmasked, request.layers)
    _check_names(request.ignored_layers, all_layers)
    expected = "images as a floating-point tensor"
    check_tensor("example_input", request.example_input, expected)
    if not request.example_input.is_floating_point():
        raise TypeError(f"example_input must be {expected}, got {request.example_input.dtype}")
    if request.example_input.numel() == 0:
        shape = tuple(request.example_input.shape)
        raise ValueError(f"example_input must hold an image, got shape {shape}")
    return unmasked


def _check_names(ignored_layers: Sequence[str], layers: Mapping[str, WeightLayer]) -> None:
    check_names("ignored_layers", ignored_layers)
    for name in ignored_layers:
        if name not in layers:
            similar = difflib.get_close_matches(str(name), list(layers), n=3, cutoff=0.3)
            raise ValueError(
                f"ignored_layers names {name!r}, which is no convolution or FC layer of the model: "
                f"did you mean {', '.join(similar or list(layers)[:3])}?"
            )


@torch.inference_mode(False)
def _cut_copy(original: nn.Module, request: _Request) -> tuple[nn.Module, dict[str, Tensor]]:
    """Return a copy without the least important filters, and the importances of each group."""
    if request.importance in SENPIS_RULES:
        # SeNPIS runs the network between the cuts, so these must be known to be right.
        _cut_copy(original, replace(request, importance="l2"))
    pruned = copy.deepcopy(original)
    importances: dict[str, Tensor] = {}
    removals: list[Removal] = []
    with eval_mode(pruned), torch.enable_grad():
        example_input = placed_like(pruned, request.example_input)
        first_logits(pruned, example_input)
        coupling = Coupling(pruned, example_input)
        groups, untraceable = coupling.groups(request.layers, request.ignored_layers)
        is_right = request.rate == 0 or not untraceable
        for group, values in zip(groups, _ranked(pruned, coupling, groups, request), strict=True):
            importances[group.names] = values
            least_important = values.argsort(stable=True)[: request.count(group)]
            removals.append(Removal(group, sorted(least_important.tolist())))
            is_right = is_right and coupling.remove(group.first_name, removals[-1].filters)
        if not (is_right and is_equivalent(original, pruned, removals, example_input)):
            raise _refusal(untraceable, faulty_layers(original, removals, example_input))
    return pruned, importances


def _refusal(untraceable: Mapping[str, str], faulty: Sequence[str]) -> ValueError:
    """Return the error that names the layers whose filters cannot be removed, and why."""
    layers = list(dict.fromkeys([*untraceable, *faulty]))
    reasons = list(dict.fromkeys(untraceable.values()))
    if faulty:
        reasons.append("not those of zeroed filters after a norm, sigmoid, gate or reshape")
    return ValueError(
        "filters of some layers cannot be removed, since their channels are "
        f"{', or '.join(reasons)}: leave these layers whole, "
        f"with ignored_layers={layers}"
    )


def _ranked(
    pruned: nn.Module, coupling: Coupling, groups: Sequence[Group], request: _Request
) -> Iterator[Tensor]:
    """Return the importances of every group; those of SeNPIS one by one, between the cuts."""
    importance = request.importance
    if importance in SENPIS_RULES:
        images, labels = _checked_batch(pruned, request.batch, importance)
        senpis = SeNPIS(pruned, images, labels, attenuate=importance == "senpis")
        return (senpis(coupling.refreshed(group)) for group in groups)
    rule = LAYER_RULES[importance](request.seed) if isinstance(importance, str) else importance
    return iter([_mean_importance(group, rule) for group in groups])


def _checked_batch(
    model: nn.Module,
    batch: Batch | None,
    importance: object,
) -> Batch:
    """Return images and labels on the model's device; raise TypeError or ValueError if unfit."""
    if batch is None:
        raise ValueError(f"{importance} measures losses: it requires batch=(images, labels)")
    is_pair = isinstance(batch, tuple | list) and len(batch) == 2
    if not is_pair or not all(isinstance(part, Tensor) for part in batch):
        raise TypeError(f"batch must be images and labels, two tensors, got {short_repr(batch)}")
    images, labels = batch
    if not images.is_floating_point() or labels.dtype != torch.int64:
        raise TypeError(
            "batch must be floating-point images and int64 labels, "
            f"got {images.dtype} and {labels.dtype}"
        )
    if labels.ndim != 1 or len(labels) != len(images) or not len(labels):
        raise ValueError(
            "batch must hold a label per image, "
            f"got {tuple(labels.shape)} for {tuple(images.shape)}"
        )
    images = placed_like(model, images)
    if not images.isfinite().all():
        raise ValueError("batch has images that are nan or infinite: leave them out")
    labels = labels.to(images.device)
    check_fit(model, images, labels)
    return images, labels


def _mean_importance(group: Group, rule: LayerRule) -> Tensor:
    """Return the importance of a group's filters: the mean over its layers."""
    filters, values = [], []
    for name, member in group.layers.items():
        importance = _checked_importance(rule(name, member.module), name, member.module)
        filters.append(member.filters)
        values.append(importance[member.channels])
    all_filters, all_values = torch.cat(filters), torch.cat(values)
    total = torch.zeros(group.filters, dtype=all_values.dtype)
    total = total.index_add(0, all_filters, all_values)
    return total / all_filters.bincount(minlength=group.filters)


def _checked_importance(
    values: object,
    name: str,
    layer: WeightLayer,
) -> Tensor:
    """Return importances as float64 on the CPU; raise TypeError or ValueError if unfit."""
    if not isinstance(values, Tensor):
        raise TypeError(f"importance must return a tensor, got {type(values).__name__} for {name}")
    expected = (len(layer.weight),)
    if values.shape != expected or not values.isfinite().all():
        raise ValueError(
            f"importance must return finite numbers in shape {expected} for {name}, "
            f"got {tuple(values.shape)}"
        )
    return values.detach().cpu().double()
