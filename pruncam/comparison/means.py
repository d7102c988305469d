"""A mean over images and its interval, as three columns of a table."""

from torch import Tensor

from pruncam.comparison.settings import Settings
from pruncam.statistics import bootstrap_mean


def mean_columns(name: str, values: Tensor, settings: Settings) -> dict[str, float]:
    """Return the mean of values (n,) and its bootstrap interval; all NaN if there is no value.

    The keys are `name`, and `name` with "_low" and "_high".
    """
    if len(values):
        interval = bootstrap_mean(values, samples=settings.bootstrap, seed=settings.seed)
        mean, low, high = interval.value, interval.low, interval.high
    else:
        mean = low = high = float("nan")
    return {name: mean, f"{name}_low": low, f"{name}_high": high}
