"""Pruning: masks that hold weights at zero, filters that are removed, and the rules that choose which."""

from pruncam.pruning.filters import global_structured
from pruncam.pruning.masks import (
    apply_masks,
    attach_masks,
    drop_masks,
    load_state,
    make_permanent,
    masks,
    prunable,
    sparsity,
)
from pruncam.pruning.structured import remove_filters
from pruncam.pruning.unstructured import global_unstructured, lottery_step, rewind

__all__ = [
    "apply_masks",
    "attach_masks",
    "drop_masks",
    "global_structured",
    "global_unstructured",
    "load_state",
    "lottery_step",
    "make_permanent",
    "masks",
    "prunable",
    "remove_filters",
    "rewind",
    "sparsity",
]
