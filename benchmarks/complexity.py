"""CSG of a whole set, beside spectral_metric, in one-thread CPU time.

The ratio of the wall clock, with all threads, is given too. Features are random images with pixels
in [0, 1] around one per class; their values make no difference to either side.
"""

from statistics import median

import numpy as np
import pandas as pd
from spectral_metric.estimator import CumulativeGradientEstimator
from threadpoolctl import threadpool_limits

from benchmarks._timing import cpu_times, ratio_columns, ratios, wall_times
from pruncam import complexity

SETS = {  # points, dimensions, with volume
    "60,000 x 784": (60_000, 784, False),
    "50,000 x 2, with volume": (50_000, 2, True),
}
CLASSES = 10
SAMPLES = 250
K = 5


def run(rounds: int = 3) -> pd.DataFrame:
    """Return a row per set: seconds of both sides, and their ratios."""
    rows = [_compare(name, *settings, rounds) for name, settings in SETS.items()]
    return pd.DataFrame(rows)


def _compare(
    name: str, points: int, dimensions: int, volume: bool, rounds: int
) -> dict[str, object]:
    features, labels = _random_set(points, dimensions)

    def ours() -> None:
        complexity.csg(features, labels, samples_per_class=SAMPLES, k=K, volume=volume)

    def theirs() -> None:
        CumulativeGradientEstimator(M_sample=SAMPLES, k_nearest=K).fit(features, labels)

    sides = {"pruncam": ours, "spectral_metric": theirs}
    with threadpool_limits(1):  # NumPy's threads, which torch does not count
        cpu = cpu_times(sides, rounds)
    wall = wall_times(sides, rounds)
    return {
        "set": name,
        "pruncam s": median(cpu["pruncam"]),
        "spectral_metric s": median(cpu["spectral_metric"]),
        **ratio_columns(cpu["spectral_metric"], cpu["pruncam"]),
        "pruncam wall s": median(wall["pruncam"]),
        "spectral_metric wall s": median(wall["spectral_metric"]),
        "wall ratio": median(ratios(wall["spectral_metric"], wall["pruncam"])),
    }


def _random_set(points: int, dimensions: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    labels = generator.integers(CLASSES, size=points)
    centres = generator.random((CLASSES, dimensions), dtype=np.float32)
    noise = generator.random((points, dimensions), dtype=np.float32)
    return (centres[labels] + noise) / 2, labels
