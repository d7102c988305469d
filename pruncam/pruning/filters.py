"""Structured pruning by masks: whole filters set to zero, chosen over the whole network; its shape does not change."""

import copy

import torch
from torch import Tensor, nn

from pruncam.pruning.masks import attach_masks, drop_masks, masks, prunable
from pruncam.pruning.unstructured import check_global


def global_structured(model: nn.Module, amount: float, *, method: str = "l1", seed: int = 0) -> nn.Module:
    """A copy of `model` with `amount` of its filters masked, chosen over all layers at once (Sp2PS, Section 3.3).

    The other reading of the paper, which says both "unstructured" and "structured". A filter is a row of a convolution
    or of a hidden FC layer. The last layer, whose rows are the classes, is left alone, and so is the best filter of
    each layer, so that none is cut off. To remove filters physically, see `remove_filters`.

    Parameters
    ----------
    amount : float in [0, 1)
        Fraction of the filters; 0 gives an unpruned copy.
    method : "l1" or "random"
        "l1": the smallest mean magnitude of the weights, which compares layers of different size; equal ones in the
        model's order.
    seed : int, for method "random"

    Raises
    ------
    ValueError
        If amount is outside [0, 1), the method is unknown, a weight is not finite, there is one layer alone, or so many
        filters cannot go because every layer keeps one.
    TypeError
        If model is no network, or amount or seed no number.
    """
    check_global(model, amount, method, seed, "filters")
    layers = dict(list(prunable(drop_masks(model)).items())[:-1])
    if not layers:
        raise ValueError(f"nothing to prune: {type(model).__name__} has a single layer, whose rows are the classes")
    importance = torch.cat([_magnitudes(name, layer) for name, layer in layers.items()])
    if method == "random":
        importance = torch.rand(len(importance), generator=torch.Generator().manual_seed(seed))
    sizes = [len(layer.weight) for layer in layers.values()]
    protected = [part.argmax() + start for part, start in zip(importance.split(sizes), _starts(sizes), strict=True)]
    count = round(amount * len(importance))
    if count > len(importance) - len(protected):
        raise ValueError(
            f"{count} of {len(importance)} filters cannot be pruned: each of the {len(layers)} layers keeps one"
        )
    importance[torch.stack(protected)] = torch.inf
    kept = torch.ones(len(importance))
    kept[importance.argsort(stable=True)[:count]] = 0
    pruned, found = copy.deepcopy(model), {}
    for (name, layer), rows in zip(layers.items(), kept.split(sizes), strict=True):
        before = masks(pruned).get(f"{name}.weight", torch.ones_like(layer.weight))
        shape = (-1, *(1,) * (layer.weight.ndim - 1))
        found[f"{name}.weight"] = before * rows.to(before).view(shape)
    return attach_masks(pruned, found)


def _magnitudes(name: str, layer: nn.Module) -> Tensor:
    """The mean magnitude of every filter's weights."""
    weights = layer.weight.detach().flatten(1)
    if not weights.isfinite().all():
        raise ValueError(f"{name} has weights that are nan or infinite: it cannot be ranked, train the model again")
    return weights.abs().mean(1).cpu()


def _starts(sizes: list[int]) -> list[int]:
    return [sum(sizes[:place]) for place in range(len(sizes))]
