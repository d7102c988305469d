"""Undisturbed runs, which every trial is held against; each is made once."""

import atexit
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.torture import programs
from benchmarks.torture.processes import Child
from pruncam._core.leftovers import leftovers


@dataclass(frozen=True)
class Workspace:
    """The folders of one trial."""

    folder: Path

    @property
    def out(self) -> Path:
        """Return the folder of the results."""
        return self.folder / "out"

    @property
    def cache(self) -> Path:
        """Return the cache."""
        return self.folder / "cache"

    def start(self, program: Callable[..., Any], *arguments: Any, log: str = "log") -> Child:
        """Start a program in a process of its own."""
        self.folder.mkdir(parents=True, exist_ok=True)
        environment = {
            "PRUNCAM_CACHE": str(self.cache),
            "PRUNCAM_FIGURES": str(self.folder / "figures"),
        }
        return Child(program, *arguments, log=self.folder / log, **environment)

    def rest(self) -> list[str]:
        """Return the names of temporary files that nobody needs any more."""
        folders = [self.folder, *(path for path in self.folder.rglob("*") if path.is_dir())]
        return [path.name for folder in folders for path in leftovers(folder)]

    def remove(self) -> None:
        """Remove the folders."""
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass(frozen=True)
class Reference:
    """An undisturbed run: how it starts, where its results are, how many seconds it took."""

    start: Callable[[Workspace], Child]
    workspace: Workspace
    seconds: float

    def difference(self, workspace: Workspace) -> str | None:
        """Return how the tables of a trial differ; None if they are identical."""
        return difference(self.workspace.out, workspace.out)


def difference(expected: Path, out: Path) -> str | None:
    """Return which tables of two folders differ; None if none does."""
    names = {path.name for folder in (expected, out) for path in folder.glob("*.csv")}
    other = [
        name
        for name in sorted(names)
        if not (out / name).exists()
        or not (expected / name).exists()
        or (out / name).read_bytes() != (expected / name).read_bytes()
    ]
    return f"other tables: {', '.join(other)}" if other else None


@cache
def scratch() -> Path:
    """Return the folder of all trials, removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="pruncam-torture-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@cache
def study() -> Reference:
    """Return an undisturbed run of the small study."""
    return _reference("study", lambda place: place.start(programs.study, place.out))


@cache
def comparison() -> Reference:
    """Return an undisturbed comparison."""
    folder = scratch() / "example"
    failure = Workspace(scratch() / "examples").start(programs.small_example, folder).result()
    if failure:
        raise RuntimeError(f"the example could not be written: {failure}")
    start = lambda place: place.start(programs.comparison, folder, place.out)  # noqa: E731
    return _reference("compare", start)


def _reference(name: str, start: Callable[[Workspace], Child]) -> Reference:
    """Run a program on an empty cache."""
    workspace = Workspace(scratch() / f"{name}-reference")
    begin = time.monotonic()
    failure = start(workspace).result()
    if failure:
        raise RuntimeError(f"the undisturbed run of {name} failed: {failure}")
    return Reference(start, workspace, time.monotonic() - begin)
