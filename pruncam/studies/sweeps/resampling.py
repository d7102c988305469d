"""Accuracies with their bootstrap values, from which the interval of every criterion follows."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np

from pruncam.statistics import (
    Interval,
    accuracy_interval,
    crossed_means,
    extreme,
    percentile_intervals,
    simultaneous_intervals,
)
from pruncam.studies.sweeps.correctness import Correctness

Key = TypeVar("Key")


@dataclass(frozen=True, eq=False)
class Resampled:
    """An estimate, and its value in every bootstrap sample, (samples,).

    Sums and quotients of estimates are taken sample by sample: what two estimates of one data set
    share, its images and trainings, is drawn once for both.
    """

    value: float
    samples: np.ndarray

    @property
    def interval(self) -> Interval:
        """The estimate with its percentile interval."""
        return percentile_intervals([self.value], self.samples[:, None])[0]

    def __sub__(self, other: "Resampled") -> "Resampled":
        return Resampled(self.value - other.value, self.samples - other.samples)

    def __abs__(self) -> "Resampled":
        return Resampled(abs(self.value), np.abs(self.samples))

    def __truediv__(self, other: "Resampled") -> "Resampled":
        """Return the quotient; NaN where the divisor is not positive."""
        value = self.value / other.value if other.value > 0 else np.nan
        samples = np.full_like(self.samples, np.nan)
        np.divide(self.samples, other.samples, out=samples, where=other.samples > 0)
        return Resampled(value, samples)


def mean(estimates: Iterable[Resampled]) -> Resampled:
    """Return the mean of one or more estimates."""
    terms = list(estimates)
    values = [term.value for term in terms]
    return Resampled(float(np.mean(values)), np.mean([term.samples for term in terms], axis=0))


def select_extreme(
    estimates: Mapping[Key, Resampled],
    select: Callable[[Iterable[float]], float],
) -> tuple[Key, Interval]:
    """Return the smallest or largest of several estimates (`select`: min or max) and its key.

    The interval is simultaneous: it allows for the choice among all of them.
    """
    values = {key: estimate.value for key, estimate in estimates.items()}
    samples = np.stack([estimate.samples for estimate in estimates.values()], axis=1)
    intervals = simultaneous_intervals(list(values.values()), samples)
    chosen = extreme(intervals, select)
    key = next(key for key, value in values.items() if value == chosen.value)
    return key, chosen


@dataclass(frozen=True, eq=False)
class ResampledAccuracies:
    """Accuracies and losses of the models of a data set, with their bootstrap values.

    Images are drawn anew for every sample, and so are trainings if there are several (see
    `statistics.crossed_means`), the same ones for all models. Two images join those that are drawn
    from: one that only the unpruned network classifies correctly, and one that only the others do
    (Bonett and Price 2012). Else a model that happens to agree with it on all images would seem to
    lose nothing for certain. Accuracies are in %; a model's accuracy is the mean over its seeds.
    """

    correctness: Correctness
    count: int  # bootstrap samples
    seed: int

    @property
    def dataset(self) -> str:
        """The name of the data set."""
        return self.correctness.dataset

    @cached_property
    def baseline(self) -> Resampled:
        """The accuracy of the unpruned network."""
        return self._accuracies[_UNPRUNED]

    @property
    def above_guess(self) -> Resampled:
        """The points by which the unpruned network is above naming the most common class."""
        guess = self.correctness.guess
        return Resampled(self.baseline.value - guess, self.baseline.samples - guess)

    def accuracy(self, rule: str, rate: float) -> Resampled:
        """Return the accuracy of the models of a rule and rate."""
        return self._accuracies[rule, rate]

    def loss(self, rule: str, rate: float, measure: str = "acc_drop") -> Resampled:
        """Return what pruning costs, by one of three measures.

        "acc_drop": points of accuracy; "relative_loss": the share of the unpruned network's
        accuracy above guessing, undefined (NaN) for a network that only guesses; "accuracy_share":
        the share of its accuracy.
        """
        points = self.baseline - self.accuracy(rule, rate)
        if measure == "acc_drop":
            return points
        if measure == "relative_loss":
            return points / self.above_guess
        if measure == "accuracy_share":
            return points / self.baseline
        raise ValueError(f"no measure of loss is called {measure!r}")

    def has(self, rule: str, *rates: float) -> bool:
        """Return True if there are models of a rule at all of these rates."""
        return all((rule, rate) in self._accuracies for rate in rates)

    def is_collapsed(self, rule: str, rate: float) -> bool:
        """Return True if a model lost more than half of the accuracy above guessing."""
        lost = self.baseline.value - self.accuracy(rule, rate).value
        return lost > self.above_guess.value / 2

    @cached_property
    def baseline_interval(self) -> Interval:
        """The accuracy of the unpruned network with its interval."""
        return _accuracy_interval(self.baseline, self.correctness.baseline[None])

    def accuracy_interval(self, rule: str, rate: float) -> Interval:
        """Return an accuracy with its interval: Wilson's if there is a single model."""
        return _accuracy_interval(self.accuracy(rule, rate), self.correctness.of(rule, rate))

    @cached_property
    def _accuracies(self) -> dict[tuple[str, float], Resampled]:
        """The accuracies of all models, resampled together."""
        arrays = {_UNPRUNED: 100.0 * self.correctness.baseline}
        for model in self.correctness.models:
            arrays[model] = 100 * self.correctness.of(*model).mean(axis=0)
        table = np.stack(list(arrays.values()), axis=-1)
        drawn_from = np.concatenate([table, _two_more_images(table)], axis=1)
        samples = crossed_means(drawn_from, samples=self.count, seed=self.seed)
        values = table.mean(axis=(0, 1))
        columns = zip(arrays, values, samples.T, strict=True)
        return {model: Resampled(float(value), column) for model, value, column in columns}


_UNPRUNED = ("unpruned", 0.0)


def _two_more_images(table: np.ndarray) -> np.ndarray:
    """Return one image for the unpruned network, one for all others, (trainings, 2, models).

    `table` is (trainings, images, models), the unpruned network first.
    """
    trainings, _, models = table.shape
    more = np.zeros((trainings, 2, models))
    more[:, 0, 0] = 100
    more[:, 1, 1:] = 100
    return more


def _accuracy_interval(accuracy: Resampled, is_correct: np.ndarray) -> Interval:
    """Return an accuracy in % with its interval; `is_correct` is (seeds, trainings, images)."""
    *models, images = is_correct.shape
    if np.prod(models) > 1:
        return accuracy.interval
    return accuracy_interval(int(is_correct.sum()), images)
