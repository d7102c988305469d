"""Mean scores of a study's models with paired intervals: all models score the same images."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from pruncam import metrics
from pruncam._core.seeds import derive
from pruncam.scoring.controls import CHANCE, FLOOR, SHUFFLED
from pruncam.statistics import (
    Interval,
    crossed_means,
    extreme,
    percentile_intervals,
    simultaneous_intervals,
)
from pruncam.studies.config import PruningConfig

CONTROLS = (FLOOR, CHANCE, SHUFFLED)  # rules of models that are not pruned
_COLUMNS = [*metrics.SCORES, "pruned_empty", "correct"]
MOSTLY = 0.5  # share of empty maps from which random networks say nothing about maps

Model = tuple[str, str, float]  # data set, rule, rate


@dataclass(frozen=True)
class PairedScores:
    """Scores of every model by training of the baseline and by image, and intervals of them.

    A model's scores are averaged over its seeds. Arrays have shape (trainings, images): a pruned
    model is compared with the baseline that it comes from, and all see the same images.
    """

    config: PruningConfig
    trainings: Sequence[pd.DataFrame]  # rows of `Experiment.scores`, of all data sets, by training

    @cached_property
    def by_image(self) -> dict[tuple, np.ndarray]:
        """Scores (trainings, images) by (data set, rule, rate, CAM method, score).

        The score "correct" is 100 for an image that the model classifies correctly, else 0.
        """
        arrays: dict[tuple, list[np.ndarray]] = {}
        for rows in self.trainings:
            is_correct = rows["pruned_prediction"] == rows["label"]
            rows = rows.assign(correct=100 * is_correct.astype(float))
            for key, part in rows.groupby(["dataset", "rule", "rate", "method"], observed=True):
                means = part.groupby("image")[_COLUMNS].mean()
                for column in _COLUMNS:
                    values = means[column].to_numpy(dtype=float)
                    arrays.setdefault((*key, column), []).append(values)
        return {key: np.stack(values) for key, values in arrays.items()}

    @cached_property
    def _baselines(self) -> dict[str, np.ndarray]:
        """100 for every image that the baseline classifies correctly, by data set."""
        arrays: dict[str, list[np.ndarray]] = {}
        for rows in self.trainings:
            for dataset, part in rows.groupby("dataset", sort=False):
                once = part.drop_duplicates("image").sort_values("image")
                is_correct = once["baseline_prediction"] == once["label"]
                arrays.setdefault(dataset, []).append(100 * is_correct.to_numpy(dtype=float))
        return {dataset: np.stack(values) for dataset, values in arrays.items()}

    @cached_property
    def datasets(self) -> list[str]:
        """The data sets, in the order of the rows."""
        return list(self.trainings[0]["dataset"].unique())

    @property
    def pruned_models(self) -> list[Model]:
        """The pruned models as (data set, rule, rate)."""
        models = dict.fromkeys(key[:3] for key in self.by_image)
        return [model for model in models if model[1] not in CONTROLS]

    @cached_property
    def collapsed(self) -> set[Model]:
        """The pruned models that lost more than half of the baseline's accuracy above chance.

        They judge nothing about heatmaps.
        """
        return {model for model in self.pruned_models if self._is_collapsed(*model)}

    def _is_collapsed(self, dataset: str, rule: str, rate: float) -> bool:
        accuracy = self.of(dataset, rule, rate, self.config.methods[0], "correct").mean()
        baseline = self.baseline_correct(dataset).mean()
        guess = self.guess(dataset)
        return bool(accuracy - guess < (baseline - guess) / 2)

    def guess(self, dataset: str) -> float:
        """Return the accuracy in % of always naming the most common class."""
        rows = self.trainings[0]
        labels = rows[rows["dataset"] == dataset].drop_duplicates("image")["label"]
        return 100 * labels.value_counts(normalize=True).max()

    @cached_property
    def _models(self) -> set[Model]:
        return {key[:3] for key in self.by_image}

    def trainings_of(self, datasets: Iterable[str]) -> int:
        """Return the number of trainings that the results on these data sets rest on."""
        return min((len(self._baselines[name]) for name in datasets), default=0)

    def has(self, dataset: str, rule: str, *rates: float) -> bool:
        """Return True if there are models of this data set and rule at all of these rates."""
        return all((dataset, rule, rate) in self._models for rate in rates)

    def of(
        self,
        dataset: str,
        rule: str,
        rate: float,
        method: str | None = None,
        score: str = "sp2ps",
    ) -> np.ndarray:
        """Return a score, (trainings, images), of one CAM method or the mean of all of them."""
        methods = [method] if method else self.config.methods
        return np.mean([self.by_image[dataset, rule, rate, m, score] for m in methods], axis=0)

    def baseline_correct(self, dataset: str) -> np.ndarray:
        """Return 100 for each image that the baseline classifies correctly, (trainings, images)."""
        return self._baselines[dataset]

    def floor(
        self, dataset: str, method: str | None = None, score: str = "sp2ps"
    ) -> np.ndarray | None:
        """Return the score of the baseline that was only fine-tuned; None if it was not run."""
        if not self.has(dataset, FLOOR, 0.0):
            return None
        return self.of(dataset, FLOOR, 0.0, method, score)

    def chance(
        self, dataset: str, method: str | None = None, score: str = "sp2ps"
    ) -> np.ndarray | None:
        """Return the score at chance, (trainings, images); None if it was not measured.

        It is that of random networks; where most of their maps are empty, that of the baseline's
        maps of other images.
        """
        random_networks = self.has(dataset, CHANCE, 0.0)
        if random_networks:
            empty = self.of(dataset, CHANCE, 0.0, method, "pruned_empty").mean()
            random_networks = empty <= MOSTLY
        rule = CHANCE if random_networks else SHUFFLED
        if not self.has(dataset, rule, 0.0):
            return None
        return self.of(dataset, rule, 0.0, method, score)

    def interval(self, values: np.ndarray) -> Interval:
        """Return the mean of `values` with its interval over trainings and images.

        `values` are (trainings, images) or, of a single training, (images,).
        """
        table = np.atleast_2d(values)[:, :, None]
        return percentile_intervals([table.mean()], self._resampled(table))[0]

    def simultaneous(self, values: Mapping[tuple, np.ndarray]) -> dict[tuple, Interval]:
        """Return the mean of each entry with intervals that hold for all entries at once.

        `values` maps keys that begin with the data set to arrays (trainings, images).
        """
        by_dataset: dict[str, list[tuple]] = {}
        for key in values:
            by_dataset.setdefault(key[0], []).append(key)
        resampled = []
        for dataset, keys in by_dataset.items():
            table = np.stack([np.atleast_2d(values[key]) for key in keys], axis=-1)
            resampled.append(self._resampled(table, dataset))
        ordered = [key for keys in by_dataset.values() for key in keys]
        means = [values[key].mean() for key in ordered]
        intervals = simultaneous_intervals(means, np.concatenate(resampled, axis=1))
        return dict(zip(ordered, intervals, strict=True))

    def extreme(
        self, values: Mapping[tuple, np.ndarray], select: Callable[[Iterable[float]], float]
    ) -> tuple[tuple, Interval]:
        """Return the entry with the smallest or largest mean (`select`: min or max).

        Its interval is simultaneous. `values` are as in `simultaneous`.
        """
        intervals = self.simultaneous(values)
        means = {key: interval.value for key, interval in intervals.items()}
        key = next(key for key, mean in means.items() if mean == select(means.values()))
        return key, extreme(intervals.values(), select)

    def position(
        self, values: np.ndarray, *, floor: np.ndarray, chance: np.ndarray
    ) -> Interval | None:
        """Return where a mean score stands between chance (0) and floor (1), with its interval.

        The three arrays are paired (trainings, images). None if floor and chance cannot be told
        apart: the scale is then undefined.
        """
        arrays = np.broadcast_arrays(values, floor, chance)
        table = np.stack([np.atleast_2d(array) for array in arrays], axis=-1)
        resampled = self._resampled(table)
        spans = resampled[:, 1] - resampled[:, 2]
        if np.quantile(spans, 0.025) <= 0:
            return None
        score, high, low = table.mean(axis=(0, 1))
        positions = (resampled[:, 0] - resampled[:, 2]) / spans
        return percentile_intervals([(score - low) / (high - low)], positions[:, None])[0]

    def resampled_means(self, dataset: str, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """Return bootstrap means of paired arrays (trainings, images): (samples, arrays)."""
        paired = np.broadcast_arrays(*map(np.atleast_2d, arrays))
        return self._resampled(np.stack(paired, axis=-1), dataset)

    def _resampled(self, table: np.ndarray, *parts: str) -> np.ndarray:
        """Return bootstrap means of (trainings, images, columns): (samples, columns)."""
        seed = derive(self.config.seed, "claims", *parts)
        return crossed_means(table, samples=self.config.bootstrap, seed=seed)
