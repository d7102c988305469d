"""Mean scores of a study's models with paired intervals: all models score the same images."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from pruncam import metrics
from pruncam._core.seeds import derive
from pruncam.scoring.controls import CHANCE, FLOOR
from pruncam.statistics import Interval, bootstrap_mean
from pruncam.studies.config import PruningConfig

CONTROLS = (FLOOR, CHANCE)  # rules of models that are not pruned
_EXTRA_COLUMNS = ("correct",)  # columns that a study may add to the scores


@dataclass(frozen=True)
class PairedScores:
    """Scores by image of every model, averaged over seeds, and intervals of sums of them.

    `rows` are those of `Experiment.scores`, of all data sets.
    """

    config: PruningConfig
    rows: pd.DataFrame

    @cached_property
    def by_image(self) -> dict[tuple, np.ndarray]:
        """Scores (images,) by (data set, rule, rate, CAM method, score)."""
        columns = [c for c in (*metrics.SCORES, *_EXTRA_COLUMNS) if c in self.rows]
        groups = self.rows.groupby(["dataset", "rule", "rate", "method"], observed=True)
        scores = {}
        for key, part in groups:
            means = part.groupby("image")[columns].mean()
            for column in columns:
                scores[*key, column] = means[column].to_numpy(dtype=float)
        return scores

    @property
    def datasets(self) -> list[str]:
        """The data sets, in the order of the rows."""
        return list(dict.fromkeys(self.rows["dataset"]))

    @property
    def pruned_models(self) -> list[tuple[str, str, float]]:
        """The pruned models as (data set, rule, rate)."""
        models = dict.fromkeys(key[:3] for key in self.by_image)
        return [model for model in models if model[1] not in CONTROLS]

    def has(self, dataset: str, rule: str, *rates: float) -> bool:
        """Return True if there are models of this data set and rule at all of these rates."""
        models = {key[:3] for key in self.by_image}
        return all((dataset, rule, rate) in models for rate in rates)

    def of(
        self,
        dataset: str,
        rule: str,
        rate: float,
        method: str | None = None,
        score: str = "sp2ps",
    ) -> np.ndarray:
        """Return a score by image, (images,), of one CAM method or the mean of all of them."""
        methods = [method] if method else self.config.methods
        return np.mean([self.by_image[dataset, rule, rate, m, score] for m in methods], axis=0)

    def interval(self, values: np.ndarray) -> Interval:
        """Return the mean over images of `values` (images,) with its bootstrap interval."""
        seed = derive(self.config.seed, "claims")
        return bootstrap_mean(values, samples=self.config.bootstrap, seed=seed)
