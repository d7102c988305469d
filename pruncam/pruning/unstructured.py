"""Unstructured pruning: single weights, chosen over the whole network."""

import copy
import math

import torch
from torch import Tensor, nn

from pruncam._core.validation import check_choice, check_layers, check_number, check_seed
from pruncam.pruning.masking import (
    apply_masks,
    attach_masks,
    masks,
    prunable,
    reject_hooked_weights,
)
from pruncam.pruning.rules import RULES


def global_unstructured(
    model: nn.Module,
    amount: float,
    *,
    method: str = "l1",
    layers: tuple[str, ...] = ("conv", "linear"),
    seed: int = 0,
) -> nn.Module:
    """Return a copy of `model` with `amount` of its weights masked, chosen over all layers at once.

    Parameters
    ----------
    amount : float in [0, 1)
        Fraction of the weights in the named `layers` that are not pruned yet; 0 prunes nothing.
    method : a name in `pruncam.pruning.rules.RULES`
        "l1" prunes the smallest magnitudes (of equal ones those that come first in the model),
        "random" any weights.
    seed : int, for method "random"

    Raises
    ------
    ValueError
        If amount is outside [0, 1), the method or a layer kind is unknown, a weight is not finite,
        or PyTorch computes a weight of parts, as with `weight_norm`.
    TypeError
        If model is not a network, or amount or seed is not a number.
    """
    seed = check_global_pruning(model, amount, method, seed, "weights")
    reject_hooked_weights(model)
    pruned = copy.deepcopy(model)
    weights, mask = _weights_and_mask(pruned, layers)
    generator = torch.Generator().manual_seed(seed)
    importance = RULES[method]([weights[:, None]], generator)
    importance = importance.masked_fill(mask == 0, math.inf)  # pruned weights are not counted again
    count = round(amount * int(mask.sum()))
    mask = mask.masked_fill(_smallest(importance, count), 0)
    return attach_masks(pruned, _by_layer(pruned, mask, layers))


def check_global_pruning(
    model: nn.Module,
    amount: float,
    method: str,
    seed: int,
    units: str,
) -> int:
    """Return the seed; raise TypeError or ValueError for unsuitable arguments.

    `units` names what is pruned.
    """
    check_layers(model)
    check_number("amount", amount)
    seed = check_seed(seed)
    if not 0 <= amount < 1:
        raise ValueError(f"amount is the fraction of {units} to prune, in [0, 1), got {amount}")
    check_choice("pruning method", method, RULES)
    return seed


def lottery_step(model: nn.Module, fraction: float = 0.2) -> nn.Module:
    """Return a copy that is one step sparser, by OpenLTH's rule (thesis, Section 2.1.5).

    Of the n weights that remain in all convolution and FC layers, the threshold is the magnitude of
    rank ceil(fraction * n), counted from 0. Every weight up to the threshold is pruned:
    ceil(fraction * n) + 1 weights if no two are equal. Weights pruned before stay pruned.

    Raises ValueError if fraction is not in (0, 1), a weight is not finite, or too few weights
    remain for another step.
    """
    check_layers(model)
    check_number("fraction", fraction)
    if not 0 < fraction < 1:
        raise ValueError(
            f"fraction of the remaining weights to prune must be in (0, 1), got {fraction}"
        )
    reject_hooked_weights(model)
    pruned, layers = copy.deepcopy(model), ("conv", "linear")
    weights, mask = _weights_and_mask(pruned, layers)
    magnitudes = weights.abs()
    remaining = magnitudes[mask == 1]
    rank = math.ceil(fraction * len(remaining))
    if rank >= len(remaining):
        raise ValueError(
            f"{len(remaining)} weights remain, too few to prune {fraction:.0%} of them once more"
        )
    threshold = remaining.sort().values[rank]
    mask = mask * (magnitudes > threshold)
    return attach_masks(pruned, _by_layer(pruned, mask, layers))


def rewind(pruned: nn.Module, origin: nn.Module) -> nn.Module:
    """Return a copy of `origin`, an earlier state of the same network, with the masks of `pruned`.

    Raises ValueError if `origin` is another network.
    """
    check_layers(pruned, "pruned")
    check_layers(origin, "origin")
    reject_hooked_weights(origin)
    copied_masks = {name: mask.clone() for name, mask in masks(pruned).items()}
    return attach_masks(copy.deepcopy(origin), copied_masks)


def _smallest(values: Tensor, count: int) -> Tensor:
    """Return a boolean mask of the `count` smallest values (n,); of equal ones the first.

    Faster than sorting.
    """
    if not count:
        return torch.zeros_like(values, dtype=torch.bool)
    limit = values.kthvalue(count).values
    smallest = values < limit
    at_limit = (values == limit).nonzero()[:, 0]
    smallest[at_limit[: count - int(smallest.sum())]] = True
    return smallest


def _weights_and_mask(model: nn.Module, layers: tuple[str, ...]) -> tuple[Tensor, Tensor]:
    """Return all weights and their 0/1 mask as two flat tensors, in the model's order."""
    apply_masks(model)
    modules = prunable(model, layers).values()
    weights = torch.cat([module.weight.detach().flatten() for module in modules])
    if not weights.isfinite().all():
        raise ValueError(
            "the model has weights that are nan or infinite: they cannot be ranked, retrain it"
        )
    layer_masks = []
    for module in modules:
        mask = getattr(module, "weight_mask", torch.ones_like(module.weight))
        layer_masks.append(mask.detach().flatten())
    return weights, torch.cat(layer_masks)


def _by_layer(
    model: nn.Module,
    flat: Tensor,
    layers: tuple[str, ...],
) -> dict[str, Tensor]:
    """Return a flat tensor over all weights as tensors by parameter name."""
    modules = prunable(model, layers)
    parts = flat.split([module.weight.numel() for module in modules.values()])
    tensors = {}
    for (name, module), part in zip(modules.items(), parts, strict=True):
        tensors[f"{name}.weight"] = part.view_as(module.weight)
    return tensors
