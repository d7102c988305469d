"""Temporary files and folders that name their process, so that those of dead processes can go.

A killed process leaves its temporary files. Their names hold the machine, the process and when it
started; they are removed as another process writes to the same folder for the first time. Those of
another machine, and those without such a name from older versions, are removed after a week.
"""

import hashlib
import os
import platform
import re
import shutil
import tempfile
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

_WEEK = 7 * 24 * 3600  # seconds
_OWNED = re.compile(
    r"(?:\.|pruncam-).+\.(?P<machine>[0-9a-f]{8})-(?P<process>\d+)-(?P<start>\d+)"
    r"\.\w+(?:\.[^.]+)?"
)
_OF_OLDER_VERSIONS = re.compile(
    r"\..+\.\d{1,7}-\d{12,}(\.[^.]+)?"
    r"|\.(running|saving|download)-\w{8}"
    r"|pruncam-(kernel|progress|fresh)-\w{8}"
)
_PROCESSES = Path("/proc")  # of Linux
_swept: set[Path] = set()  # folders that this process has looked through


def temporary_beside(path: Path) -> Path:
    """Return the path of a new temporary file or folder in the folder of `path`."""
    sweep_once(path.parent)
    return path.with_name(f".{path.stem}.{_owner()}.{time.monotonic_ns()}{path.suffix}")


def temporary_folder(name: str, parent: Path | None = None) -> tempfile.TemporaryDirectory[str]:
    """Return a new temporary folder in `parent`, by default in the system's temporary folder.

    Its name begins with `name`, which begins with "." or "pruncam-".
    """
    parent = parent or Path(tempfile.gettempdir())
    sweep_once(parent)
    return tempfile.TemporaryDirectory(prefix=f"{name}.{_owner()}.", dir=parent)


def sweep_once(folder: Path) -> None:
    """Sweep a folder, unless this process has done so."""
    folder = folder.absolute()
    if folder not in _swept:
        _swept.add(folder)
        sweep(folder)


def sweep(folder: Path) -> list[Path]:
    """Remove what dead processes left in a folder, but not below it; return what was removed."""
    found = leftovers(folder)
    for path in found:
        remove(path)
    return [path for path in found if not os.path.lexists(path)]


def remove(path: Path) -> None:
    """Remove a file or folder as far as that is possible."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def leftovers(folder: Path) -> list[Path]:
    """Return what dead processes of this user left in a folder, but not below it."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return []
    return [Path(entry.path) for entry in entries if _is_leftover(entry)]


def _is_leftover(entry: os.DirEntry) -> bool:
    owned = _OWNED.fullmatch(entry.name)
    if not (owned or _OF_OLDER_VERSIONS.fullmatch(entry.name)):
        return False
    try:
        state = entry.stat(follow_symlinks=False)
    except OSError:
        return False
    if hasattr(os, "getuid") and state.st_uid != os.getuid():
        return False
    if owned and owned["machine"] == _machine() and os.name == "posix":
        return not _is_alive(int(owned["process"]), int(owned["start"]))
    return time.time() - state.st_mtime > _WEEK


def _owner() -> str:
    """Return the name of this process: machine, number, start."""
    process = os.getpid()
    return f"{_machine()}-{process}-{_start(process) or 0}"


@cache
def _machine() -> str:
    """Return a name of the machine, or of the container in which numbers of processes count."""
    try:
        namespace = os.readlink(_PROCESSES / "self" / "ns" / "pid")
    except OSError:
        namespace = ""
    return hashlib.sha256(f"{platform.node()} {namespace}".encode()).hexdigest()[:8]


def _is_alive(process: int, start: int) -> bool:
    """Return whether a process runs that has this number and this start."""
    if (_PROCESSES / "self" / "stat").is_file():
        return _start(process) == start
    try:
        os.kill(process, 0)  # sends nothing
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _start(process: int) -> int | None:
    """Return when a process started, in ticks of the system's clock; None if it does not run."""
    try:
        text = (_PROCESSES / str(process) / "stat").read_text(errors="replace")
    except OSError:
        return None
    state, *values = text.rpartition(")")[2].split()  # the name before may hold anything
    return None if state in "ZX" else int(values[18])
