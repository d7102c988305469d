"""How fast this machine is: samples of the work to come, timed for a few seconds."""

import statistics
import time
from collections.abc import Sequence

from pruncam._core.executor import run_tasks
from pruncam._core.progress import Progress
from pruncam.studies.work import Sample

SECONDS = 10.0
_FIRST = 4  # images
_LARGEST_GROWTH = 16  # from one timing to the next: the first ones are mostly overhead
_CLOCK = 1e-6  # seconds that a clock can tell apart


def seconds_per_image(
    samples: Sequence[Sample], jobs: int, seconds: float = SECONDS
) -> dict[Sample, float]:
    """Return how long each sample takes for one image.

    Every sample is timed in `jobs` threads at once, since a run has as many, each with the memory
    and caches that the others leave. It is timed on 4 images, then on more, up to as many as its
    share of the time allows.
    """
    progress = Progress("calibration", "sample", show=False)
    share = seconds / max(len(samples), 1)

    def time_sample(sample: Sample) -> float:
        return _time(sample, share)

    rates = {}
    for sample in samples:
        measured = run_tasks(time_sample, [sample] * jobs, jobs, progress)
        rates[sample] = sum(measured) / jobs
    return rates


def _time(sample: Sample, share: float) -> float:
    """Return the seconds per image of a sample; what its first run prepares does not count.

    It is the slope from the smallest to the largest number of images: a call has an overhead.
    """
    first = count = min(_FIRST, sample.largest)
    _run(sample, first)
    shortest = _run(sample, first)
    left, times = share, [shortest]
    while left > times[-1]:
        left -= times[-1]
        growth = min(left / times[-1], _LARGEST_GROWTH)
        more = min(int(growth * count) + 1, sample.largest)
        times = [*(times if more == count else []), _run(sample, more)]
        count = more
    usual = statistics.median(times)
    if count > first and usual > shortest:
        return (usual - shortest) / (count - first)
    return usual / count


def _run(sample: Sample, count: int) -> float:
    start = time.perf_counter()
    sample.run(count)
    return max(time.perf_counter() - start, _CLOCK)
