"""The test images that each model classifies correctly: accuracy, and its loss by pruning rate."""

from dataclasses import dataclass

import numpy as np

from pruncam.statistics import resampled_sums
from pruncam.studies.experiment import Variant


@dataclass(frozen=True)
class Correctness:
    """The images that each model of a data set classifies correctly; all models see the same."""

    dataset: str
    baseline: np.ndarray  # (images,) bool
    variants: dict[Variant, np.ndarray]  # (images,) bool, of all other models
    chance: float  # share of the most common class

    @property
    def baseline_accuracy(self) -> float:
        """The accuracy of the unpruned network in %."""
        return 100 * self.baseline.mean()

    @property
    def rules(self) -> list[str]:
        """The rules of the models, in the order of the variants."""
        return list(dict.fromkeys(variant.rule for variant in self.variants))

    def rates(self, rule: str) -> list[float]:
        """Return the rates at which there are models of the rule, ascending."""
        return sorted({variant.rate for variant in self.variants if variant.rule == rule})

    def percent(self, rule: str, rate: float) -> np.ndarray:
        """Return 100 for every correctly classified image, else 0, (images,), averaged over seeds.

        Its mean is the accuracy in %.
        """
        models = [
            is_correct
            for variant, is_correct in self.variants.items()
            if (variant.rule, variant.rate) == (rule, rate)
        ]
        return 100 * np.mean(models, axis=0)

    def loss(self, rule: str, rate: float) -> np.ndarray:
        """Return every image's contribution to the loss of accuracy, (images,), in points.

        Its mean is the accuracy of the baseline minus that of the pruned models.
        """
        return 100 * self.baseline - self.percent(rule, rate)

    def losses(self, rule: str) -> np.ndarray:
        """Return `loss` at every rate of the rule, (images, rates)."""
        return np.stack([self.loss(rule, rate) for rate in self.rates(rule)], axis=1)


def resampled_means(
    values: np.ndarray,
    samples: int,
    seed: int,
) -> np.ndarray:
    """Return column means of `samples` bootstrap samples of the rows.

    `values` has shape (images, columns), the result (samples, columns).
    """
    generator = np.random.default_rng(seed)
    return resampled_sums(values, samples, generator) / len(values)
