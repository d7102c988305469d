"""CSG of a whole set against spectral_metric, side by side in one process, one-thread processor time.

The wall clock's ratio, with all threads, stands beside it. Features are random pictures with pixels in [0, 1] around
one per class, as their values make no difference to either side.
"""

import time
from statistics import median

import numpy as np
import pandas as pd
import torch
from spectral_metric.estimator import CumulativeGradientEstimator
from threadpoolctl import threadpool_limits

from benchmarks.heatmaps import interleaved, ratios
from pruncam import complexity

SETS = {"60,000 x 784": (60_000, 784, False), "50,000 x 2, with volume": (50_000, 2, True)}
CLASSES, SAMPLES, K = 10, 250, 5


def run(rounds: int = 3) -> pd.DataFrame:
    """One row per set: seconds of both, and their ratios."""
    return pd.DataFrame([_compare(name, *of, rounds) for name, of in SETS.items()])


def _compare(name: str, points: int, dimensions: int, volume: bool, rounds: int) -> dict[str, object]:
    features, labels = _set(points, dimensions)
    sides = {
        "pruncam": lambda: complexity.csg(features, labels, samples_per_class=SAMPLES, k=K, volume=volume),
        "spectral_metric": lambda: CumulativeGradientEstimator(M_sample=SAMPLES, k_nearest=K).fit(features, labels),
    }
    with threadpool_limits(1):  # NumPy's threads, which torch does not count
        processor = interleaved(sides, rounds, clock=time.process_time, threads=1)
    wall = interleaved(sides, rounds, clock=time.perf_counter, threads=torch.get_num_threads())
    against = ratios(processor["spectral_metric"], processor["pruncam"])
    return {
        "set": name,
        **{f"{side} s": median(seconds) for side, seconds in processor.items()},
        "ratio": median(against),
        "lowest ratio": min(against),
        "highest ratio": max(against),
        **{f"{side} wall s": median(seconds) for side, seconds in wall.items()},
        "wall ratio": median(ratios(wall["spectral_metric"], wall["pruncam"])),
    }


def _set(points: int, dimensions: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    labels = generator.integers(CLASSES, size=points)
    pictures = generator.random((CLASSES, dimensions), dtype=np.float32)
    return (pictures[labels] + generator.random((points, dimensions), dtype=np.float32)) / 2, labels
