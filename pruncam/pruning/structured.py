"""Structured pruning: whole filters and hidden neurons, physically removed."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from pruncam.cams.passes import placed_like
from pruncam.choices import check_choice, check_model, check_number, shown
from pruncam.forward import as_evaluated, check_fit, first_logits
from pruncam.pruning.coupling import Coupling, Group
from pruncam.pruning.masks import drop_masks, prunable
from pruncam.pruning.senpis import SeNPIS

IMPORTANCES = ("l2", "senpis-faster", "senpis", "random")

Importance = str | Callable[[str, nn.Module], Tensor]
Batch = tuple[Tensor, Tensor]


def remove_filters(
    model: nn.Module,
    rate: float,
    *,
    importance: Importance = "l2",
    example_input: Tensor,
    batch: Batch | None = None,
    layers: tuple[str, ...] = ("conv", "linear"),
    seed: int = 0,
) -> nn.Module:
    """A smaller copy of `model`: in every layer but the last the least important filters and hidden neurons are gone.

    PE-score, Section 4.2: a uniform pruning rate, the last layer kept. Of n filters round(rate * n) go (Python's round)
    and one stays at least; of equally important ones the first go. What reads a removed filter (the next layer,
    BatchNorm) is cut with it, so the copy gives what the network gives with these filters zeroed. Filters of layers
    whose outputs are added, as in a ResNet, go together: their importance is the mean over those layers, and layers
    added to the output are kept as the last one is.

    Parameters
    ----------
    model : network in any mode, on any device; it is left as it was
        Masks of `pruning` are dropped from the copy: its pruned weights are zeros as any others.
    rate : float in [0, 1); 0 gives an unpruned copy
    importance : "l2", "senpis-faster", "senpis", "random" or a function
        "l2" (the paper's Weight) is the norm of a filter's weights, without its bias; SeNPIS is described in
        `pruncam.pruning.senpis`. A function gets a layer's name and the layer, as it is in the unpruned copy, and
        returns a tensor (filters,): the higher, the more important.
    example_input : tensor (N, C, H, W) that the model takes, N = 1 is enough
    batch : images (N, C, H, W) as the model takes them, and labels (N,), int64; for SeNPIS alone
    layers : "conv", "linear" or both
        ("conv",) removes convolution filters alone.
    seed : int, for "random"

    Raises
    ------
    ValueError
        If rate is outside [0, 1), the criterion or a layer kind is unknown, the model has no such layer, a grouped
        convolution or weights that are not finite, images do not fit the model, SeNPIS has no batch, or a function
        returns another shape or what is not finite.
    TypeError
        If model is no network, or an argument of another type.
    ImportError
        If Torch-Pruning is not installed.

    Examples
    --------
    >>> net = nn.Sequential(nn.Conv2d(3, 10, 3), nn.ReLU(), nn.Flatten(), nn.Linear(360, 2))
    >>> remove_filters(net, 0.4, example_input=torch.zeros(1, 3, 8, 8))[3]
    Linear(in_features=216, out_features=2, bias=True)
    """
    pruned = _checked_copy(model, rate, importance, layers, seed)
    for _ in _removals(pruned, rate, importance, example_input, batch, layers, seed):
        pass
    return pruned


def importances(
    model: nn.Module,
    rate: float,
    *,
    importance: Importance = "l2",
    example_input: Tensor,
    batch: Batch | None = None,
    layers: tuple[str, ...] = ("conv", "linear"),
    seed: int = 0,
) -> dict[str, Tensor]:
    """The importance of every filter that `remove_filters` ranks, (filters,) by layer; arguments and errors are its.

    Layers whose filters go together stand under one name, "layer1.0.conv2, layer1.1.conv2". With SeNPIS a layer's
    values depend on what was removed before it, so on `rate`.
    """
    pruned = _checked_copy(model, rate, importance, layers, seed)
    return dict(_removals(pruned, rate, importance, example_input, batch, layers, seed))


def _checked_copy(
    model: nn.Module, rate: float, importance: Importance, layers: tuple[str, ...], seed: int
) -> nn.Module:
    check_model(model)
    check_number("rate", rate)
    check_number("seed", seed, whole=True)
    if not 0 <= rate < 1:
        raise ValueError(f"rate is the fraction of every layer's filters to remove, in [0, 1), got {rate}")
    if not callable(importance):
        check_choice("importance", importance, IMPORTANCES)
    with torch.inference_mode(False):  # what is made in inference mode can never be traced or trained
        copied = drop_masks(model)
    prunable(copied, layers)
    if not all(layer.weight.isfinite().all() for layer in prunable(copied).values()):
        raise ValueError("the model has weights that are nan or infinite: it cannot be ranked, train it again")
    return copied


def _removals(
    pruned: nn.Module,
    rate: float,
    importance: Importance,
    example_input: Tensor,
    batch: Batch | None,
    layers: tuple[str, ...],
    seed: int,
) -> Iterator[tuple[str, Tensor]]:
    """Cut `pruned` down in place, layer by layer from the input; gives each group's names and importances."""
    if not isinstance(example_input, Tensor) or not example_input.is_floating_point():
        raise TypeError(f"example_input must be images as a floating-point tensor, got {shown(example_input)}")
    with as_evaluated(pruned), torch.enable_grad():
        example_input = placed_like(pruned, example_input)
        first_logits(pruned, example_input)
        coupling = Coupling(pruned, example_input)
        groups = coupling.groups(layers)
        if importance in ("senpis", "senpis-faster"):
            score = SeNPIS(pruned, *_checked(pruned, batch, importance), attenuate=importance == "senpis")
            # One by one: each after the filters before it are gone.
            scores = (score(coupling.renewed(group)) for group in groups)
        else:
            rule = _rule(importance, seed)
            scores = iter([_mean(group, rule) for group in groups])
        for group, values in zip(groups, scores, strict=True):
            count = min(round(rate * group.filters), group.filters - 1)
            coupling.remove(group, sorted(values.argsort(stable=True)[:count].tolist()))
            yield group.names, values


def _checked(model: nn.Module, batch: Batch | None, importance: str) -> Batch:
    if batch is None:
        raise ValueError(f"{importance} measures losses: give it a batch, images and their labels")
    if not isinstance(batch, tuple | list) or len(batch) != 2 or not all(isinstance(part, Tensor) for part in batch):
        raise TypeError(f"batch must be images and labels, two tensors, got {shown(batch)}")
    images, labels = batch
    if not images.is_floating_point() or labels.dtype != torch.int64:
        raise TypeError(f"batch must be floating-point images and int64 labels, got {images.dtype} and {labels.dtype}")
    if labels.ndim != 1 or len(labels) != len(images) or not len(labels):
        raise ValueError(f"batch must hold a label per image, got {tuple(labels.shape)} for {tuple(images.shape)}")
    images = placed_like(model, images)
    if not images.isfinite().all():
        raise ValueError("batch has images that are nan or infinite: leave them out")
    labels = labels.to(images.device)
    check_fit(model, images, labels)
    return images, labels


def _rule(importance: Importance, seed: int) -> Callable[[str, nn.Module], Tensor]:
    """The importance of each filter of one layer."""
    if importance == "l2":
        return lambda name, layer: layer.weight.detach().flatten(1).norm(dim=1)
    if importance == "random":
        generator = torch.Generator().manual_seed(seed)
        return lambda name, layer: torch.rand(len(layer.weight), generator=generator)
    return importance


def _mean(group: Group, rule: Callable[[str, nn.Module], Tensor]) -> Tensor:
    """A group's importances: the mean over its layers."""
    parts = []
    for name, member in group.layers.items():
        values = rule(name, member.module)
        expected = (len(member.module.weight),)
        if not isinstance(values, Tensor):
            raise TypeError(f"importance must return a tensor, got {type(values).__name__} for {name}")
        if values.shape != expected or not values.isfinite().all():
            raise ValueError(
                f"importance must return finite numbers in shape {expected} for {name}, got {tuple(values.shape)}"
            )
        values = values.detach().cpu().double()
        parts.append((member.filters, values[member.rows]))
    filters, values = (torch.cat(part) for part in zip(*parts, strict=True))
    total = torch.zeros(group.filters, dtype=values.dtype).index_add(0, filters, values)
    return total / filters.bincount(minlength=group.filters)
