"""What the models of a data set answer: accuracy and its loss by rate, and the rate up to which little is lost."""

from dataclasses import dataclass

import numpy as np

from pruncam.statistics import resampled_sums
from pruncam.studies.half import Variant


@dataclass(frozen=True)
class Answers:
    """Which test images every model gets right, the same images for all."""

    half: str
    baseline: np.ndarray  # (images,) bool
    right: dict[Variant, np.ndarray]  # of every other model, (images,) bool
    chance: float  # share of the commonest class

    def of(self, rule: str, rate: float) -> np.ndarray:
        """100 for every image that the models get right, else 0, averaged over seeds: its mean is the accuracy, %."""
        return 100 * np.mean([r for v, r in self.right.items() if (v.rule, v.rate) == (rule, rate)], axis=0)

    def loss(self, rule: str, rate: float) -> np.ndarray:
        """What every image contributes to the loss of accuracy, points: its mean is baseline minus pruned."""
        return 100 * self.baseline - self.of(rule, rate)

    def rates(self, rule: str) -> list[float]:
        """The rates that the rule was run at."""
        return sorted({v.rate for v in self.right if v.rule == rule})


def resampled(values: np.ndarray, samples: int, seed: int) -> np.ndarray:
    """Means of the columns of (images, columns) over images that are drawn with replacement, (samples, columns)."""
    return resampled_sums(values, samples, np.random.default_rng(seed)) / len(values)
