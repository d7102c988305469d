"""Processes that use one cache at the same time: each must succeed as if it were alone."""

import itertools
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.torture import programs, references
from benchmarks.torture.outcome import Outcome
from benchmarks.torture.references import Workspace

_STUDIES, _EXAMPLES = 8, 4


def run(seconds: float) -> list[Outcome]:
    """Run studies for two thirds of the time, and examples for the rest."""
    end = time.monotonic() + seconds
    return [_studies(end - seconds / 3), _examples(end)]


def _studies(end: float) -> Outcome:
    """Run eight studies on one empty cache, again and again until `end`."""
    reference = references.study().workspace.out

    def fault(out: Path) -> str | None:
        return references.difference(reference, out)

    title = "studies, eight at once on one empty cache"
    return _crowds(title, [programs.study] * _STUDIES, fault, end)


def _examples(end: float) -> Outcome:
    """Write the example of the comparison four times at once to an empty cache."""
    checksums = set()

    def fault(out: Path) -> str | None:
        checksums.add(out.read_text())
        return "another example" if len(checksums) > 1 else None

    title = "the built-in example, four at once on an empty cache"
    return _crowds(title, [programs.built_in_example] * _EXAMPLES, fault, end)


def _crowds(
    title: str,
    crowd: Sequence[Callable[[Path], str]],
    fault: Callable[[Path], str | None],
    end: float,
) -> Outcome:
    """Run programs at the same time on one empty cache, again and again until `end`.

    `fault` says what is wrong with the file or folder that a program has written.
    """
    outcome = Outcome(title)
    start = time.monotonic()
    for turn in itertools.count():
        workspace = Workspace(references.scratch() / f"crowd-{turn}")
        outputs = [workspace.folder / f"out-{number}" for number in range(len(crowd))]
        children = [
            workspace.start(program, out, log=f"{out.name}.log")
            for program, out in zip(crowd, outputs, strict=True)
        ]
        for number, (child, out) in enumerate(zip(children, outputs, strict=True)):
            failure = child.result() or fault(out)
            outcome.count(failure and f"turn {turn}, process {number}: {failure}")
        workspace.remove()
        if time.monotonic() > end:
            break
    outcome.seconds = time.monotonic() - start
    return outcome
