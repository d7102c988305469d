"""Pruning: masks that keep weights at zero, removal of filters, and the rules that choose."""

from pruncam.pruning.filter_masking import global_structured
from pruncam.pruning.filter_removal import remove_filters
from pruncam.pruning.masking import (
    apply_masks,
    attach_masks,
    drop_masks,
    make_permanent,
    masks,
    prunable,
    sparsity,
)
from pruncam.pruning.state_loading import load_state
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
