"""Timing of several implementations of one task, round by round in one process."""

import time
from collections.abc import Callable, Mapping
from statistics import median

import torch

Times = dict[str, list[float]]  # seconds of each round, by implementation


def cpu_times(sides: Mapping[str, Callable[[], object]], rounds: int) -> Times:
    """Return the CPU time of each side with one thread, as `interleave` does."""
    return interleave(sides, rounds, clock=time.process_time, threads=1)


def wall_times(sides: Mapping[str, Callable[[], object]], rounds: int) -> Times:
    """Return the wall-clock time of each side with all threads, as `interleave` does."""
    return interleave(sides, rounds, clock=time.perf_counter, threads=torch.get_num_threads())


def interleave(
    sides: Mapping[str, Callable[[], object]],
    rounds: int,
    *,
    clock: Callable[[], float],
    threads: int,
) -> Times:
    """Return the seconds of each side in each round.

    In a round the sides run one after the other, so that a busy machine slows all of them. A first
    round, which warms up, is not counted.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    times: Times = {side: [] for side in sides}
    try:
        for _ in range(rounds + 1):
            for side, run in sides.items():
                start = clock()
                run()
                times[side].append(clock() - start)
    finally:
        torch.set_num_threads(before)
    return {side: seconds[1:] for side, seconds in times.items()}


def per_item(times: Times, counts: Mapping[str, int]) -> Times:
    """Return the times divided by the number of items that each side handles."""
    return {side: [t / counts[side] for t in seconds] for side, seconds in times.items()}


def ratios(slow: list[float], fast: list[float]) -> list[float]:
    """Return the ratio of each round."""
    return [a / b for a, b in zip(slow, fast, strict=True)]


def ratio_columns(slow: list[float], fast: list[float]) -> dict[str, float]:
    """Return the median, lowest and highest ratio as columns of a table."""
    values = ratios(slow, fast)
    return {
        "ratio": median(values),
        "lowest ratio": min(values),
        "highest ratio": max(values),
    }
