"""How fast this machine is: samples of the work to come, timed for a few seconds."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from pruncam._core.executor import run_tasks
from pruncam._core.progress import Progress
from pruncam.studies.work import Sample, Work

SECONDS = 10.0
_LEAST_GROWTH = 4  # from the first timing to the second: fewer images do not tell the slope
_LARGEST_GROWTH = 16  # from one timing to the next: the first ones are mostly overhead
_CLOCK = 1e-6  # seconds that a clock can tell apart


@dataclass(frozen=True)
class Rate:
    """The seconds that a sample takes: to start, and for every image."""

    start: float
    per_image: float

    def seconds(self, work: Work) -> float:
        """Return how long a step takes."""
        return self.start * work.starts + self.per_image * work.amount


def measure(samples: Sequence[Sample], jobs: int, seconds: float = SECONDS) -> dict[Sample, Rate]:
    """Return the rates of samples, timed for about so many seconds in all.

    Every sample is timed in `jobs` threads at once, since a run has as many, each with the memory
    and caches that the others leave. It is timed on few images, then on at least four times as
    many if it has them, then on more as long as its share of the remaining time lasts.
    """
    progress = Progress("calibration", "sample", show=False)
    end = time.perf_counter() + seconds
    rates = {}
    for number, sample in enumerate(samples):
        now = time.perf_counter()
        until = now + (end - now) / (len(samples) - number)
        measured = run_tasks(lambda one: _rate(*one), [(sample, until)] * jobs, jobs, progress)
        rates[sample] = Rate(
            start=sum(rate.start for rate in measured) / jobs,
            per_image=sum(rate.per_image for rate in measured) / jobs,
        )
    return rates


def _rate(sample: Sample, until: float) -> Rate:
    """Return the rate of a sample; what its first run prepares does not count."""
    count = min(sample.fewest, sample.largest)
    sample.run(count)
    times = {count: _time(sample, count)}
    while count < sample.largest:
        left = until - time.perf_counter()
        growth = min(left / times[count], _LARGEST_GROWTH)
        if len(times) == 1:
            growth = max(growth, _LEAST_GROWTH)
        elif growth <= 1:
            break
        count = min(int(growth * count) + 1, sample.largest)
        times[count] = _time(sample, count)
    return line_through(times)


def line_through(times: dict[int, float]) -> Rate:
    """Return the line through the times of the fewest and the most images.

    Without a second number of images, or a rise, the time counts as one for images alone, which is
    an upper bound for more of them.
    """
    fewest, most = min(times), max(times)
    if times[most] <= times[fewest]:
        return Rate(0.0, times[most] / most)
    slope = (times[most] - times[fewest]) / (most - fewest)
    start = times[fewest] - slope * fewest
    if start < 0:  # few images take less than their part
        return Rate(0.0, times[most] / most)
    return Rate(start, slope)


def _time(sample: Sample, count: int) -> float:
    start = time.perf_counter()
    sample.run(count)
    return max(time.perf_counter() - start, _CLOCK)
