"""Unstructured pruning: single weights, chosen over the whole network."""

import copy
import math

import torch
from torch import Tensor, nn

from pruncam.choices import check_choice, check_model, check_number
from pruncam.pruning.masks import apply_masks, attach_masks, masks, prunable, refuse_pytorchs

METHODS = ("l1", "random")


def global_unstructured(
    model: nn.Module,
    amount: float,
    *,
    method: str = "l1",
    layers: tuple[str, ...] = ("conv", "linear"),
    seed: int = 0,
) -> nn.Module:
    """A copy of `model` with `amount` of its weights pruned, chosen over all layers at once; masks are attached.

    Parameters
    ----------
    amount : float in [0, 1)
        Fraction of the weights that are left unpruned so far in the named `layers`; 0 gives an unpruned copy.
    method : "l1" (the smallest magnitudes; equal ones in the model's order) or "random"
    seed : int, for method "random"

    Raises
    ------
    ValueError
        If amount is outside [0, 1), the method or a layer kind is unknown, or a weight is not finite.
    TypeError
        If model is no network, or amount or seed no number.
    """
    check_global(model, amount, method, seed, "weights")
    refuse_pytorchs(model)
    pruned = copy.deepcopy(model)
    weights, kept = _weights_and_masks(pruned, layers)
    importance = weights.abs()
    if method == "random":
        generator = torch.Generator().manual_seed(seed)
        importance = torch.rand(weights.shape, generator=generator).to(weights.device)
    importance = importance.masked_fill(kept == 0, math.inf)  # already pruned: never counted again
    count = round(amount * int(kept.sum()))
    return attach_masks(pruned, _by_layer(pruned, kept.masked_fill(_smallest(importance, count), 0), layers))


def _smallest(values: Tensor, count: int) -> Tensor:
    """Which `count` of the values (n,) are the smallest, as booleans; of equal ones the first. Faster than sorting."""
    if not count:
        return torch.zeros_like(values, dtype=torch.bool)
    limit = values.kthvalue(count).values
    chosen = values < limit
    equal = (values == limit).nonzero()[:, 0]
    chosen[equal[: count - int(chosen.sum())]] = True
    return chosen


def check_global(model: nn.Module, amount: float, method: str, seed: int, what: str) -> None:
    """Refuse arguments of global pruning that make no sense; `what` is pruned."""
    check_model(model)
    check_number("amount", amount)
    check_number("seed", seed, whole=True)
    if not 0 <= amount < 1:
        raise ValueError(f"amount is the fraction of {what} to prune, in [0, 1), got {amount}")
    check_choice("pruning method", method, METHODS)


def lottery_step(model: nn.Module, fraction: float = 0.2) -> nn.Module:
    """A copy one step sparser, by OpenLTH's rule (thesis, Section 2.1.5): masks carried on, new zeros on top.

    Of the n weights that remain in all convolution and FC layers, the threshold is the magnitude of rank
    ceil(fraction * n) counted from 0, and every weight up to the threshold goes: ceil(fraction * n) + 1 weights where
    no two are equal.

    Raises ValueError if fraction is not in (0, 1), a weight is not finite, or too few weights remain for another step.
    """
    check_model(model)
    check_number("fraction", fraction)
    if not 0 < fraction < 1:
        raise ValueError(f"fraction of the remaining weights to prune must be in (0, 1), got {fraction}")
    refuse_pytorchs(model)
    stepped = copy.deepcopy(model)
    weights, kept = _weights_and_masks(stepped, ("conv", "linear"))
    magnitudes = weights.abs()
    remaining = magnitudes[kept == 1]
    rank = math.ceil(fraction * len(remaining))
    if rank >= len(remaining):
        raise ValueError(f"{len(remaining)} weights remain, too few to prune {fraction:.0%} of them once more")
    threshold = remaining.sort().values[rank]
    return attach_masks(stepped, _by_layer(stepped, kept * (magnitudes > threshold), ("conv", "linear")))


def rewind(pruned: nn.Module, origin: nn.Module) -> nn.Module:
    """A copy of `origin` (an earlier state of the same network) that wears the masks of `pruned`.

    Raises ValueError if `origin` is another network.
    """
    check_model(pruned, "pruned")
    check_model(origin, "origin")
    rewound = copy.deepcopy(origin)
    return attach_masks(rewound, {name: mask.clone() for name, mask in masks(pruned).items()})


def _weights_and_masks(model: nn.Module, layers: tuple[str, ...]) -> tuple[Tensor, Tensor]:
    """All weights and their 0/1 masks as two flat tensors, in the model's order."""
    apply_masks(model)
    modules = prunable(model, layers).values()
    weights = torch.cat([module.weight.detach().flatten() for module in modules])
    if not weights.isfinite().all():
        raise ValueError("the model has weights that are nan or infinite: it cannot be ranked, train it again")
    present = [getattr(module, "weight_mask", torch.ones_like(module.weight)) for module in modules]
    return weights, torch.cat([mask.detach().flatten() for mask in present])


def _by_layer(model: nn.Module, flat: Tensor, layers: tuple[str, ...]) -> dict[str, Tensor]:
    modules = prunable(model, layers)
    pieces = flat.split([module.weight.numel() for module in modules.values()])
    return {
        f"{name}.weight": piece.view(module.weight.shape)
        for (name, module), piece in zip(modules.items(), pieces, strict=True)
    }
