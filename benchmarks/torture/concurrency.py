"""Processes that use one cache at the same time: each must succeed as if it were alone."""

import itertools
import time

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
    outcome = Outcome("studies, eight at once on one empty cache")
    reference = references.study()
    start = time.monotonic()
    for turn in itertools.count():
        workspace = Workspace(references.scratch() / f"crowd-{turn}")
        folders = [workspace.folder / f"out-{number}" for number in range(_STUDIES)]
        children = [
            workspace.start(programs.study, folder, log=f"{folder.name}.log") for folder in folders
        ]
        for number, (child, folder) in enumerate(zip(children, folders, strict=True)):
            fault = child.result() or references.difference(reference.workspace.out, folder)
            outcome.count(fault and f"turn {turn}, process {number}: {fault}")
        workspace.remove()
        if time.monotonic() > end:
            break
    outcome.seconds = time.monotonic() - start
    return outcome


def _examples(end: float) -> Outcome:
    """Write the example of the comparison four times at once to an empty cache."""
    outcome = Outcome("the built-in example, four at once on an empty cache")
    start = time.monotonic()
    checksums = set()
    for turn in itertools.count():
        workspace = Workspace(references.scratch() / f"examples-{turn}")
        files = [workspace.folder / f"{number}.txt" for number in range(_EXAMPLES)]
        children = [
            workspace.start(programs.built_in_example, file, log=f"{file.stem}.log")
            for file in files
        ]
        for number, (child, file) in enumerate(zip(children, files, strict=True)):
            fault = child.result()
            if fault is None:
                checksums.add(file.read_text())
                fault = "another example" if len(checksums) > 1 else None
            outcome.count(fault and f"turn {turn}, process {number}: {fault}")
        workspace.remove()
        if time.monotonic() > end:
            break
    outcome.seconds = time.monotonic() - start
    return outcome
