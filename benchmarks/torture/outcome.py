"""What a row of the table counts: the trials of one kind, and those that failed."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field


@dataclass
class Outcome:
    """The trials of one kind: how many passed, of how many, and what the others were.

    A failure is one line that names the trial and says how to repeat it.
    """

    name: str
    passed: int = 0
    total: int = 0
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def count(self, failure: str | None) -> None:
        """Count one trial: `failure` says what went wrong, None that nothing did."""
        self.total += 1
        if failure is None:
            self.passed += 1
        else:
            self.failures.append(" ".join(failure.split()))


def run_trials(
    name: str, seconds: float, trial: Callable[[int], str | None], at_least: int = 1
) -> Outcome:
    """Run `trial(0)`, `trial(1)`, ... until `seconds` have passed, and count what they return.

    `trial` returns None, or one line on what went wrong. At least `at_least` of them are run.
    """
    outcome = Outcome(name)
    start = time.monotonic()
    for number in _numbers(start + seconds, at_least):
        outcome.count(trial(number))
    outcome.seconds = time.monotonic() - start
    return outcome


def _numbers(end: float, at_least: int) -> Iterator[int]:
    number = 0
    while number < at_least or time.monotonic() < end:
        yield number
        number += 1
