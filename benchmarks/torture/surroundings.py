"""Full disks, read-only folders, no home: the same tables, or a sentence that names the folder.

Small disks are file systems in memory, which only root may mount: anybody else runs no trial of a
full disk, and folders are made read-only by their mode.
"""

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.torture import programs, references
from benchmarks.torture.outcome import Outcome, run_trials
from benchmarks.torture.references import Workspace

_KIB = 1024
_PROGRAM = (
    "import sys, pathlib; from benchmarks.torture import programs; "
    "programs.study(pathlib.Path(sys.argv[1]))"
)


def run(seconds: float) -> list[Outcome]:
    """Run every kind of trial for an equal share of the time."""
    kinds = {
        "a full disk under the cache": _full_cache,
        "a full disk under the results": _full_results,
        "a read-only cache": partial(_read_only, "cache"),
        "a read-only folder for the results": partial(_read_only, "out"),
        "no HOME, no TMPDIR": _no_home,
    }
    if not _may_mount():
        kinds = {name: trial for name, trial in kinds.items() if "full disk" not in name}
    references.study()
    return [run_trials(name, seconds / len(kinds), trial) for name, trial in kinds.items()]


def _full_cache(number: int) -> str | None:
    """Run a study with a cache on a small disk: what does not fit is computed again."""
    size = random.Random(f"cache {number}").randint(16, 100) * _KIB
    with _workspace(f"full-cache-{number}") as workspace, _small_disk(workspace.cache, size):
        return _judged(workspace, size)


def _full_results(number: int) -> str | None:
    """Save a study's results on a small disk, from a cache that holds all steps."""
    size = random.Random(f"results {number}").randint(16, 100) * _KIB
    with _workspace(f"full-results-{number}") as workspace:
        shutil.copytree(references.study().workspace.cache, workspace.cache)
        with _small_disk(workspace.out, size):
            fault = _judged(workspace, size)
            if list(workspace.out.glob("*.csv")) and not (workspace.out / "manifest.json").exists():
                fault = fault or "half of the results remain"
            return fault


def _read_only(place: str, number: int) -> str | None:
    """Run a study with a cache, or a folder for results, that cannot be written."""
    with _workspace(f"read-only-{place}-{number}") as workspace:
        if place == "out":
            shutil.copytree(references.study().workspace.cache, workspace.cache)
        with _small_disk(workspace.folder / place, 16 * _KIB, "ro"):
            return _judged(workspace, 0)


def _no_home(number: int) -> str | None:
    """Run a study in a new interpreter whose HOME or TMPDIR, or both, do not exist."""
    with _workspace(f"no-home-{number}") as workspace:
        missing = (("HOME", "TMPDIR"), ("HOME",), ("TMPDIR",))[number % 3]
        environment = {**os.environ, "PRUNCAM_CACHE": str(workspace.cache)}
        environment |= {name: str(workspace.folder / "missing") for name in missing}
        process = subprocess.run(
            [sys.executable, "-c", _PROGRAM, workspace.out],
            env=environment,
            capture_output=True,
            text=True,
        )
        if process.returncode:
            return f"trial {number}: without {' and '.join(missing)}: {process.stderr[-200:]}"
        return references.study().difference(workspace)


def _judged(workspace: Workspace, size: int) -> str | None:
    """Run a study; return what is wrong unless its tables are right or its error is a sentence."""
    child = workspace.start(programs.study, workspace.out)
    if child.wait() == 0:
        return references.study().difference(workspace)
    sentence = child.last_line()
    is_clear = sentence.startswith(("OSError: ", "PermissionError: ")) and any(
        str(folder) in sentence for folder in (workspace.cache, workspace.out)
    )
    return None if is_clear else f"disk of {size // _KIB} KiB: {sentence}"


def _may_mount() -> bool:
    """Return whether this process may mount file systems."""
    folder = references.scratch() / "mount"
    folder.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        return False
    subprocess.run(["umount", str(folder)], check=True)
    return True


@contextmanager
def _workspace(name: str) -> Iterator[Workspace]:
    workspace = Workspace(references.scratch() / name)
    workspace.folder.mkdir()
    try:
        yield workspace
    finally:
        workspace.remove()


@contextmanager
def _small_disk(folder: Path, size: int, mode: str = "rw") -> Iterator[None]:
    """Make a folder that is a disk of its own, of this size or read-only.

    Where nothing may be mounted, the folder is made read-only by its mode.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not _may_mount():
        folder.chmod(0o500)
        yield
        folder.chmod(0o700)
        return
    options = f"size={size},{mode}"
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    subprocess.run(mount, check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)
