"""Mean scores on the scale from chance (0) to fine-tuning alone (1)."""

from collections.abc import Iterable, Mapping

import numpy as np

from pruncam.statistics import Interval, simultaneous_intervals
from pruncam.studies.paired_scores import PairedScores

Pair = tuple[str, str, float, str | None]  # data set, rule, rate, CAM method (None: mean of all)
Levels = tuple[np.ndarray, np.ndarray, np.ndarray]  # a score, its floor and its chance level

_TAIL = 0.025  # of the resampled distances between floor and chance that must lie above 0


def positions(scores: PairedScores, score: str, pairs: Iterable[Pair]) -> dict[Pair, Interval]:
    """Return where the mean score of each model and CAM method stands on the scale.

    The intervals hold for all of them at once. Pairs whose floor and chance were not measured or
    cannot be told apart are left out: they have no scale.
    """
    levels = {}
    for pair in pairs:
        dataset, rule, rate, method = pair
        floor = scores.floor(dataset, method, score)
        chance = scores.chance(dataset, method, score)
        if floor is not None and chance is not None:
            levels[pair] = scores.of(dataset, rule, rate, method, score), floor, chance
    return positions_of(scores, levels)


def positions_of(scores: PairedScores, levels: Mapping[Pair, Levels]) -> dict[Pair, Interval]:
    """Return the positions of paired arrays (trainings, images), as `positions` does."""
    means, samples = {}, {}
    for pair, arrays in levels.items():
        resampled = scores.resampled_means(pair[0], arrays)
        spans = resampled[:, 1] - resampled[:, 2]
        if np.quantile(spans, _TAIL) > 0:
            value, floor, chance = (array.mean() for array in arrays)
            means[pair] = (value - chance) / (floor - chance)
            samples[pair] = (resampled[:, 0] - resampled[:, 2]) / spans
    if not means:
        return {}
    resampled = np.stack(list(samples.values()), axis=1)
    intervals = simultaneous_intervals(list(means.values()), resampled)
    return dict(zip(means, intervals, strict=True))
