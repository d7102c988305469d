"""SSIM of pairs of maps per second, beside a scikit-image loop, in one-thread CPU time."""

from statistics import median

import pandas as pd
import torch
from skimage.metrics import structural_similarity
from torch import Tensor

from benchmarks._timing import cpu_times, ratio_columns
from pruncam import metrics

PAIRS = {32: 1024, 96: 128, 224: 32}  # by size of the maps


def run(rounds: int = 7) -> pd.DataFrame:
    """Return a row per size of map: pairs per second of both sides, and their ratio."""
    return pd.DataFrame([_compare(size, pairs, rounds) for size, pairs in PAIRS.items()])


def _compare(size: int, pairs: int, rounds: int) -> dict[str, object]:
    x, y = torch.rand(2, pairs, size, size, generator=torch.Generator().manual_seed(0))
    sides = {
        "pruncam": lambda: metrics.ssim(x, y),
        "scikit-image": lambda: _scikit_image(x, y),
    }
    times = cpu_times(sides, rounds)
    return {
        "size": f"{size}x{size}",
        "pruncam pairs/s": pairs / median(times["pruncam"]),
        "scikit-image pairs/s": pairs / median(times["scikit-image"]),
        **ratio_columns(times["scikit-image"], times["pruncam"]),
    }


def _scikit_image(x: Tensor, y: Tensor) -> None:
    for a, b in zip(x.numpy(), y.numpy(), strict=True):
        structural_similarity(a, b, data_range=1)
