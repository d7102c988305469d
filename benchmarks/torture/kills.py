"""Runs that are killed at a random moment and started again: their tables must be identical."""

import random
import signal
from functools import partial

from benchmarks.torture import references
from benchmarks.torture.outcome import Outcome, run_trials
from benchmarks.torture.references import Reference, Workspace

_SIGNALS = (signal.SIGKILL, signal.SIGINT, signal.SIGTERM)
_FEWEST = 10  # trials of each program
_PROGRAMS = {
    "a study, killed and started again": references.study,
    "`pruncam compare`, killed and started again": references.comparison,
}


def run(seconds: float) -> list[Outcome]:
    """Kill a study and a comparison for half of the time each."""
    return [
        run_trials(name, seconds / len(_PROGRAMS), partial(_trial, name, reference()), _FEWEST)
        for name, reference in _PROGRAMS.items()
    ]


def _trial(name: str, reference: Reference, number: int) -> str | None:
    """Kill a run once; return what is wrong after the next one."""
    draw = random.Random(f"{name} {number}")
    kill, delay = _SIGNALS[number % len(_SIGNALS)], draw.uniform(0, reference.seconds)
    workspace = Workspace(references.scratch() / f"killed-{number}")
    child = reference.start(workspace)
    child.wait(delay)
    child.send(kill)
    child.wait()
    fault = reference.start(workspace).result() or _fault(reference, workspace)
    workspace.remove()
    return fault and f"trial {number}: {kill.name} after {delay:.2f} s, then {fault}"


def _fault(reference: Reference, workspace: Workspace) -> str | None:
    """Return what is wrong after a run that was started again."""
    log = (workspace.folder / "log").read_text(errors="replace")
    if "cannot be read" in log:
        return f"a file of the killed run was damaged: {log.strip()}"
    if workspace.rest():
        return f"temporary files remain: {', '.join(workspace.rest())}"
    return reference.difference(workspace)
