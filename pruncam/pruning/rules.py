"""The rules of global pruning: how important each weight or filter is. A new rule is one entry."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

# (weights of every layer, (n, k) each; generator) -> importance of all n of all layers, in order.
# A row holds the weights of one filter, or a single weight (k = 1). The lowest are pruned first.
PruningRule = Callable[[Sequence[Tensor], torch.Generator], Tensor]


def mean_magnitude(weights: Sequence[Tensor], generator: torch.Generator) -> Tensor:
    """Return the mean absolute weight of every row."""
    return torch.cat([layer.abs().mean(1) for layer in weights])


def random_importance(weights: Sequence[Tensor], generator: torch.Generator) -> Tensor:
    """Return uniform random numbers, the same on every device."""
    rows = sum(len(layer) for layer in weights)
    return torch.rand(rows, generator=generator).to(weights[0].device)


RULES: Mapping[str, PruningRule] = {"l1": mean_magnitude, "random": random_importance}
