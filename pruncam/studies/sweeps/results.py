"""Results of the sweeps as the criteria of the claims need them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from pruncam.scoring.controls import CHANCE, FLOOR
from pruncam.studies.sweeps.config import SweepsConfig
from pruncam.studies.sweeps.experiment import DROPPED, L1
from pruncam.studies.sweeps.resampling import Resampled, ResampledAccuracies, mean


@dataclass(frozen=True)
class SweepResults:
    """Results of the study by which the claims are judged.

    `tables` are those of the study: "complexity", "correlations" and "connections"; `too_weak` are
    the data sets whose baseline is too weak for a claim. Measures of loss are those of
    `ResampledAccuracies.loss`.
    """

    config: SweepsConfig
    accuracies: Mapping[str, ResampledAccuracies]  # by data set
    tables: Mapping[str, pd.DataFrame]
    too_weak: Collection[str] = ()

    @property
    def usable(self) -> tuple[str, ...]:
        """The data sets whose baseline is good enough."""
        return tuple(name for name in self.accuracies if name not in self.too_weak)

    def has(self, datasets: Collection[str], *rates: float) -> bool:
        """Return True if these data sets were swept at these rates."""
        return set(datasets) <= set(self.accuracies) and set(rates) <= set(self.config.rates)

    def rates(self, *, above: float = 0.0, up_to: float = 1.0) -> list[float]:
        """Return the rates in the interval (above, up_to]."""
        return [rate for rate in self.config.rates if above < rate <= up_to]

    def trainings(self, datasets: Collection[str]) -> int:
        """Return the number of trainings that results on these data sets rest on."""
        counts = [self.accuracies[name].correctness.trainings for name in datasets]
        return min(counts, default=0)

    def loss(
        self,
        dataset: str,
        rate: float,
        measure: str = "acc_drop",
    ) -> Resampled:
        """Return what pruning alone costs at a rate."""
        return self.accuracies[dataset].loss(L1, rate, measure)

    def mean_loss(self, dataset: str, rates: Sequence[float], measure: str) -> Resampled:
        """Return the mean of what pruning alone costs at several rates."""
        return mean(self.loss(dataset, rate, measure) for rate in rates)

    def loss_after(self, dataset: str, rate: float) -> Resampled:
        """Return the points lost at a rate after fine-tuning with the masks dropped."""
        return self.accuracies[dataset].loss(DROPPED, rate)

    def loss_by_finetuning(self, dataset: str) -> float:
        """Return the points that fine-tuning costs the unpruned network; NaN if it was not run."""
        accuracies = self.accuracies[dataset]
        return accuracies.loss(FLOOR, 0.0).value if accuracies.has(FLOOR, 0.0) else np.nan

    def loss_at_chance(self, dataset: str, measure: str = "acc_drop") -> float:
        """Return the loss if the weights are random; NaN if that was not run."""
        accuracies = self.accuracies[dataset]
        if not accuracies.has(CHANCE, 0.0):
            return np.nan
        return accuracies.loss(CHANCE, 0.0, measure).value

    def csg(self, dataset: str) -> float:
        """Return the CSG of a data set."""
        return self._complexity.loc[dataset, "csg"]

    @cached_property
    def _complexity(self) -> pd.DataFrame:
        return self.tables["complexity"].set_index("dataset")
