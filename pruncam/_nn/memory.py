"""Memory budget of a batch."""

import torch

# Bytes that a batch may hold in the input and output of a layer together. A CPU is fastest with
# what fits its cache (measured: 8-32 images of the CIFAR network, 32-128 of VGG11 at 32x32); a GPU
# is fastest with large batches.
MEMORY_BUDGET = {"cpu": 2**24, "other": 2**30}

# Products of matrices need some rows to be fast, even beyond the cache (measured: four images of
# 224x224 in ResNet-50 and ViT-B/16). Only larger images go through a network one by one.
_FEW = 4
_BUDGET_OF_FEW = 2**26


def rows_within(bytes_per_row: int, device: torch.device) -> int:
    """Return how many rows of a batch the memory budget holds, at least one."""
    budget = MEMORY_BUDGET["cpu" if device.type == "cpu" else "other"]
    return max(1, budget // bytes_per_row)


def images_within(bytes_per_image: int, device: torch.device) -> int:
    """Return how many images of a batch the memory budget holds, or up to four beyond it."""
    few = min(_FEW, _BUDGET_OF_FEW // bytes_per_image)
    return max(few, rows_within(bytes_per_image, device))
