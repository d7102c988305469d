"""The test images that each model classifies correctly, by training of the baseline."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pruncam.studies.experiment import Variant


@dataclass(frozen=True, eq=False)
class Correctness:
    """The images that each model of a data set classifies correctly.

    Arrays have shape (trainings, images): the baseline may have been trained several times, and a
    pruned model comes from the baseline of its own row. All models see the same images.
    """

    dataset: str
    baseline: np.ndarray  # bool
    variants: dict[Variant, np.ndarray]  # bool, of all other models
    guess: float  # accuracy in % of always naming the most common class

    @property
    def trainings(self) -> int:
        """The number of baselines."""
        return len(self.baseline)

    @property
    def models(self) -> list[tuple[str, float]]:
        """The models as (rule, rate), in the order of the variants; seeds are not told apart."""
        return list(dict.fromkeys((variant.rule, variant.rate) for variant in self.variants))

    def of(self, rule: str, rate: float) -> np.ndarray:
        """Return the arrays of a rule and rate, (seeds, trainings, images)."""
        models = [
            is_correct
            for variant, is_correct in self.variants.items()
            if (variant.rule, variant.rate) == (rule, rate)
        ]
        return np.stack(models)


def joined(parts: Sequence[Correctness]) -> Correctness:
    """Return the correctness of one data set over all trainings of its baseline."""
    variants = {
        variant: np.concatenate([part.variants[variant] for part in parts])
        for variant in parts[0].variants
    }
    baseline = np.concatenate([part.baseline for part in parts])
    return replace(parts[0], baseline=baseline, variants=variants)
