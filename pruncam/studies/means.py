"""Mean scores of a study's models, and the intervals of their sums: all models see the same images."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from pruncam import scoring
from pruncam.seeds import derive
from pruncam.statistics import Interval, bootstrap_mean
from pruncam.studies.half import StudyConfig
from pruncam.studies.tables import ENDS

MORE = ("correct",)  # columns that a study may add to the scores


@dataclass(frozen=True)
class Means:
    """Mean scores of the study's models, and of sums of them."""

    config: StudyConfig
    rows: pd.DataFrame

    @cached_property
    def columns(self) -> dict[tuple, np.ndarray]:
        """Every model's scores by image, averaged over seeds: (half, rule, rate, CAM, score) -> (images,)."""
        found = {}
        for key, part in self.rows.groupby(["half", "rule", "rate", "method"], observed=True):
            by_image = part.groupby("image")[[name for name in (*scoring.SCORES, *MORE) if name in part]].mean()
            found |= {(*key, score): by_image[score].to_numpy(dtype=float) for score in by_image}
        return found

    def has(self, half: str, rule: str, *rates: float) -> bool:
        """Whether there are such models."""
        found = {key[:3] for key in self.columns}
        return all((half, rule, rate) in found for rate in rates)

    def of(self, half: str, rule: str, rate: float, method: str | None = None, score: str = "sp2ps") -> np.ndarray:
        """A score by image, of one CAM or averaged over all of them."""
        methods = [method] if method else self.config.methods
        return np.mean([self.columns[half, rule, rate, name, score] for name in methods], axis=0)

    @property
    def halves(self) -> list[str]:
        """The data sets, in their order."""
        return list(dict.fromkeys(self.rows["half"]))

    @property
    def models(self) -> list[tuple[str, str, float]]:
        """The pruned models: half, rule, rate."""
        return list(dict.fromkeys(key[:3] for key in self.columns if key[1] not in ENDS))

    def interval(self, values: np.ndarray) -> Interval:
        """The mean of a sum of scores by image."""
        return bootstrap_mean(values, samples=self.config.bootstrap, seed=derive(self.config.seed, "claims"))


def spell(interval: Interval) -> str:
    return f"{interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"
