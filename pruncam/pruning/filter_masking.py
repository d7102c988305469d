"""Structured pruning by masks: whole filters are set to zero, the network keeps its shape."""

import copy

import torch
from torch import Tensor, nn

from pruncam._nn.operations import WeightLayer
from pruncam.pruning.masking import attach_masks, drop_masks, masks, prunable
from pruncam.pruning.rules import RULES
from pruncam.pruning.unstructured import check_global_pruning


def global_structured(
    model: nn.Module,
    amount: float,
    *,
    method: str = "l1",
    seed: int = 0,
) -> nn.Module:
    """Return a copy of `model` with `amount` of its filters masked, chosen over all layers at once.

    This is the other reading of the Sp2PS paper (Section 3.3), which says both "unstructured" and
    "structured". A filter is a row of a convolution or of a hidden FC layer. The last layer, whose
    rows are the classes, keeps all rows, and every other layer its most important filter. To remove
    filters physically, use `remove_filters`.

    Parameters
    ----------
    amount : float in [0, 1)
        Fraction of the filters; 0 prunes nothing.
    method : a name in `pruncam.pruning.rules.RULES`
        "l1" prunes the smallest mean magnitudes of the weights, which compares layers of different
        size (of equal ones those that come first in the model); "random" any filters.
    seed : int, for method "random"

    Raises
    ------
    ValueError
        If amount is outside [0, 1), the method is unknown, a weight is not finite, there is only
        one layer, more filters are to be pruned than all layers can spare, or PyTorch computes a
        weight of parts, as with `weight_norm`.
    TypeError
        If model is not a network, or amount or seed is not a number.
    """
    seed = check_global_pruning(model, amount, method, seed, "filters")
    layers = prunable(drop_masks(model))
    layers.popitem()  # the last one
    if not layers:
        raise ValueError(
            f"nothing to prune: {type(model).__name__} has a single layer, "
            "whose rows are the classes"
        )
    weights = [_filters(name, layer) for name, layer in layers.items()]
    generator = torch.Generator().manual_seed(seed)
    importance = RULES[method](weights, generator)
    sizes = [len(layer) for layer in weights]
    protected = _most_important(importance, sizes)
    count = round(amount * len(importance))
    if count > len(importance) - len(protected):
        raise ValueError(
            f"{count} of {len(importance)} filters cannot be pruned: "
            f"each of the {len(layers)} layers keeps one"
        )
    importance[protected] = torch.inf
    filter_mask = torch.ones(len(importance))
    filter_mask[importance.argsort(stable=True)[:count]] = 0
    pruned = copy.deepcopy(model)
    previous = masks(pruned)
    new_masks = {}
    for (name, layer), rows in zip(layers.items(), filter_mask.split(sizes), strict=True):
        parameter = f"{name}.weight"
        mask = previous.get(parameter, torch.ones_like(layer.weight))
        filters = mask.flatten(1) * rows.to(mask)[:, None]
        new_masks[parameter] = filters.view_as(mask)
    return attach_masks(pruned, new_masks)


def _filters(name: str, layer: WeightLayer) -> Tensor:
    """Return the weights of every filter, (filters, weights), on the CPU."""
    weights = layer.weight.detach().flatten(1)
    if not weights.isfinite().all():
        raise ValueError(
            f"{name} has weights that are nan or infinite: they cannot be ranked, retrain the model"
        )
    return weights.cpu()


def _most_important(importance: Tensor, sizes: list[int]) -> Tensor:
    """Return the position of the most important filter of every layer."""
    positions = []
    start = 0
    for part in importance.split(sizes):
        positions.append(part.argmax() + start)
        start += len(part)
    return torch.stack(positions)
