"""Memory budget of a batch."""

import torch

# Bytes that a batch may hold in the input and output of a layer together. A CPU is fastest with
# what fits its cache (measured: 8-32 images of the CIFAR network, 32-128 of VGG11 at 32x32); a GPU
# is fastest with large batches.
MEMORY_BUDGET = {"cpu": 2**24, "other": 2**30}


def rows_within(bytes_per_row: int, device: torch.device) -> int:
    """Return how many rows of a batch the memory budget holds, at least one."""
    budget = MEMORY_BUDGET["cpu" if device.type == "cpu" else "other"]
    return max(1, budget // bytes_per_row)
