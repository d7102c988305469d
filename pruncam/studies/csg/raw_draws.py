"""The draws from raw pixels of whole splits and of pools, on which the claims rest."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from pruncam.studies.csg.config import CsgConfig

SYMBOLS = {"k": "k", "samples": "M"}  # of the settings that are varied


@dataclass(frozen=True)
class RawDraws:
    """The CSG of raw pixels by draw, with the images' own labels or with shuffled ones.

    `table` has the draws of whole splits (`analysis.of_raw_pixels`), `pools` those of both splits
    in pools of one size, by data set and split (`pool_tables.equal_pools`).
    """

    config: CsgConfig
    table: pd.DataFrame
    pools: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict)

    @property
    def datasets(self) -> list[str]:
        """The data sets, in the order of the configuration."""
        return list(dict.fromkeys(self.table["dataset"]))

    @property
    def same_data(self) -> list[str]:
        """The data sets whose images are the paper's, re-encoded or not."""
        return list(dict.fromkeys(self.table.loc[self.table["same_data"], "dataset"]))

    def judged(self, datasets: Iterable[str]) -> list[str]:
        """Return the data sets on which a claim about some is judged: those of `same_data`.

        If other images stand in for all of them, these are judged.
        """
        available = [name for name in datasets if name in self.datasets]
        return [name for name in available if name in self.same_data] or available

    def own_value(self, setting: str) -> int:
        """Return the study's own value of "k" or "samples"."""
        values = {"k": self.config.k, "samples": self.config.samples_per_class}
        return values[setting]

    def other_values(self, setting: str) -> list[int]:
        """Return the other values of "k" or "samples" that were tried."""
        tried = {"k": self.config.ks, "samples": self.config.samples}
        own_value = self.own_value(setting)
        return [value for value in tried[setting] if value != own_value]

    def values(self, dataset: str, split: str, **changed: int) -> np.ndarray:
        """Return CSG by draw, at the study's own settings but for the changed ones."""
        table = self.table
        selected = table["dataset"] == dataset
        selected &= table["split"] == split
        for setting in SYMBOLS:
            value = changed.get(setting, self.own_value(setting))
            selected &= table[setting] == value
        return table[selected].sort_values("draw")["csg"].to_numpy()

    def gap(self, dataset: str) -> np.ndarray:
        """Return CSG of the test split minus the training split, by draw."""
        return self.values(dataset, "test") - self.values(dataset, "train")

    def largest(self, dataset: str) -> int:
        """Return the largest possible CSG of a data set of K classes, K - 1."""
        is_dataset = self.table["dataset"] == dataset
        return int(self.table.loc[is_dataset, "classes"].iloc[0]) - 1

    def relative(self, dataset: str) -> float:
        """Return CSG / (K - 1) of the training split."""
        return self.values(dataset, "train").mean() / self.largest(dataset)
