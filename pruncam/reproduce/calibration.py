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
_SHORT = 2.0  # seconds that a timing may take in any case
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
    many if it has them, then on more while its share of the time lasts.
    """
    end = time.perf_counter() + seconds
    rates = {}
    for number, sample in enumerate(samples):
        now = time.perf_counter()
        rates[sample] = _rate(sample, jobs, now + (end - now) / (len(samples) - number))
    return rates


def _rate(sample: Sample, jobs: int, until: float) -> Rate:
    """Return the rate of a sample; what its first run prepares does not count."""
    count = min(sample.fewest, sample.largest)
    _time(sample, count, jobs)
    times = {count: _time(sample, count, jobs)}
    while count < sample.largest:
        more = min(_next_count(sample, times, until - time.perf_counter()), sample.largest)
        if more < min(2 * count, sample.largest):
            break
        count = more
        times[count] = _time(sample, count, jobs)
    return line_through(times)


def _next_count(sample: Sample, times: dict[int, float], left: float) -> int:
    """Return on how many images a sample is timed next; no more than last time: the timings end.

    As many as the time that is left allows. Where the start takes most of the time, as many as add
    about another start: the difference of two starts would tell nothing of the images. Two batches
    if they are short: the images of a small batch take longer each.
    """
    fewest, count = min(times), max(times)
    if len(times) == 1:
        growth = min(max(left / times[count], _LEAST_GROWTH), _LARGEST_GROWTH)
        return int(growth * count) + 1
    of_images = max(times[count] - times[fewest], _CLOCK)
    if of_images < times[fewest]:
        left = max(left, 2 * times[fewest])
    slope = of_images / (count - fewest)
    start = times[fewest] - slope * fewest
    more = min((left - start) / slope, _LARGEST_GROWTH * count)
    batches = 2 * sample.batch
    is_short = start + slope * batches < _SHORT
    return max(int(more), batches) if is_short else int(more)


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


def _time(sample: Sample, count: int, jobs: int) -> float:
    """Return the mean seconds of a sample in `jobs` threads at once."""

    def timed(number: int) -> float:
        start = time.perf_counter()
        sample.run(count)
        return max(time.perf_counter() - start, _CLOCK)

    progress = Progress("calibration", "sample", show=False)
    return sum(run_tasks(timed, range(jobs), jobs, progress)) / jobs
