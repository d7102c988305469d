"""The draws from raw pixels of whole splits, on which the claims rest."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pruncam.studies.csg.config import CsgConfig

SYMBOLS = {"k": "k", "samples": "M"}  # of the settings that are varied


@dataclass(frozen=True)
class RawDraws:
    """The table of draws (`analysis.of_raw_pixels`) of a configuration."""

    config: CsgConfig
    table: pd.DataFrame

    @property
    def datasets(self) -> list[str]:
        """The data sets, in the order of the configuration."""
        return list(dict.fromkeys(self.table["dataset"]))

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

    def relative(self, dataset: str) -> float:
        """Return CSG / (K - 1) of the training split."""
        is_dataset = self.table["dataset"] == dataset
        classes = self.table.loc[is_dataset, "classes"].iloc[0]
        return self.values(dataset, "train").mean() / (classes - 1)
