"""SSIM pairs per second against a scikit-image loop, side by side in one process, one-thread processor time."""

import time
from statistics import median

import pandas as pd
import torch
from skimage.metrics import structural_similarity

from benchmarks.heatmaps import interleaved
from pruncam import metrics

PAIRS = {32: 1024, 96: 128, 224: 32}


def run(rounds: int = 7) -> pd.DataFrame:
    """One row per size of map: pairs per second of both, and their ratio."""
    rows = []
    for size, pairs in PAIRS.items():
        x, y = torch.rand(2, pairs, size, size, generator=torch.Generator().manual_seed(0))
        sides = {
            "pruncam": lambda x=x, y=y: metrics.ssim(x, y),
            "scikit-image": lambda x=x, y=y: _loop(x, y),
        }
        seconds = interleaved(sides, rounds, clock=time.process_time, threads=1)
        ratios = [slow / fast for slow, fast in zip(seconds["scikit-image"], seconds["pruncam"], strict=True)]
        rates = {f"{side} pairs/s": pairs / median(times) for side, times in seconds.items()}
        row = {"size": f"{size}x{size}"} | rates
        rows.append(row | {"ratio": median(ratios), "lowest ratio": min(ratios), "highest ratio": max(ratios)})
    return pd.DataFrame(rows)


def _loop(x: torch.Tensor, y: torch.Tensor) -> list[float]:
    return [structural_similarity(a, b, data_range=1) for a, b in zip(x.numpy(), y.numpy(), strict=True)]
