"""Confidence intervals of means, differences and proportions by formula."""

import math
from dataclasses import dataclass

from numpy.typing import ArrayLike
from scipy import stats

from pruncam._core.validation import check_number, short_repr
from pruncam.statistics._checks import check_confidence, finite_values


@dataclass(frozen=True)
class Interval:
    """An estimate and its confidence interval."""

    value: float
    low: float
    high: float

    def text(self, digits: int = 3) -> str:
        """Return the estimate and its interval in words: "0.123 [0.100, 0.150]".

        Examples
        --------
        >>> Interval(0.1234, 0.1, 0.15).text()
        '0.123 [0.100, 0.150]'
        """
        return f"{self.value:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"

    def columns(self, name: str) -> dict[str, float]:
        """Return the estimate and its bounds as columns of a table.

        Examples
        --------
        >>> Interval(91.0, 88.5, 93.0).columns("accuracy")
        {'accuracy': 91.0, 'accuracy_low': 88.5, 'accuracy_high': 93.0}
        """
        return {name: self.value, f"{name}_low": self.low, f"{name}_high": self.high}


def distance_from(interval: Interval, value: float) -> Interval:
    """Return the absolute distance between an estimate and a number, with its interval.

    The lower bound is 0 where the number lies within the interval.

    Examples
    --------
    >>> distance_from(Interval(2.0, 1.5, 3.0), 1.0)
    Interval(value=1.0, low=0.5, high=2.0)
    >>> distance_from(Interval(2.0, 1.5, 3.0), 2.5)
    Interval(value=0.5, low=0.0, high=1.0)
    """
    if not isinstance(interval, Interval):
        raise TypeError(f"interval must be an Interval, got {short_repr(interval)}")
    check_number("value", value)
    low = interval.low - value
    high = interval.high - value
    nearest, farthest = sorted((abs(low), abs(high)))
    if low <= 0 <= high:
        nearest = 0.0
    return Interval(abs(interval.value - value), nearest, farthest)


def t_interval(values: ArrayLike, *, confidence: float = 0.95) -> Interval:
    """Return the mean of repeated measurements, such as seeds, and its Student t interval.

    The interval of a single value is infinite. Raises ValueError if there is no value, a value is
    not finite, or `confidence` is not in (0, 1).
    """
    values = finite_values(values, at_least=1)
    check_confidence(confidence)
    mean = float(values.mean())
    df = len(values) - 1
    if df == 0:
        return Interval(mean, -math.inf, math.inf)
    quantile = stats.t.ppf((1 + confidence) / 2, df)
    margin = float(quantile * stats.sem(values))
    return Interval(mean, mean - margin, mean + margin)


def mean_difference(
    x: ArrayLike,
    y: ArrayLike,
    *,
    confidence: float = 0.95,
) -> Interval:
    """Return the mean of x minus the mean of y, with its interval by Welch's t.

    If x is a single value, it is taken as known: the interval is Student's, of the mean of y.
    Raises ValueError if x is empty, y has fewer than 2 values, or a value is not finite.
    """
    x = finite_values(x, at_least=1)
    y = finite_values(y, at_least=2)
    if len(x) == 1:
        return t_interval(x - y, confidence=confidence)
    check_confidence(confidence)
    test = stats.ttest_ind(x, y, equal_var=False)
    interval = test.confidence_interval(confidence)
    difference = float(x.mean() - y.mean())
    return Interval(difference, float(interval.low), float(interval.high))


def proportion_interval(successes: int, trials: int, *, confidence: float = 0.95) -> Interval:
    """Return a proportion, such as an accuracy, and its interval by Wilson's score.

    Raises ValueError if there is no trial, there are more successes than trials, or `confidence`
    is not in (0, 1).

    Examples
    --------
    >>> proportion_interval(8, 10).text()
    '0.800 [0.490, 0.943]'
    """
    check_number("trials", trials, whole=True, at_least=1)
    if trials >= 2**63:
        raise ValueError(f"trials must be below 2**63, got {short_repr(trials)}")
    check_number("successes", successes, whole=True, at_least=0)
    check_confidence(confidence)
    if successes > trials:
        raise ValueError(
            f"there are {successes} successes in {trials} trials: give at most as many"
        )
    test = stats.binomtest(int(successes), int(trials))
    interval = test.proportion_ci(confidence, method="wilson")
    return Interval(successes / trials, float(interval.low), float(interval.high))


def accuracy_interval(correct: int, images: int) -> Interval:
    """Return the accuracy in % of a model and its 95 % interval over images, by Wilson's score.

    Raises ValueError as `proportion_interval` does.

    Examples
    --------
    >>> accuracy_interval(8, 10).text(1)
    '80.0 [49.0, 94.3]'
    """
    share = proportion_interval(correct, images)
    return Interval(100 * share.value, 100 * share.low, 100 * share.high)
