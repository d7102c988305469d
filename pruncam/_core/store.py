"""A store of finished steps, each under the hash of its inputs, and atomic writes to disk."""

import hashlib
import json
import os
import shutil
import time
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pruncam._core.paths import cache_folder

_DAMAGED = "{name} in the cache cannot be read ({reason}) and is recomputed"
_NOT_STORED = "{name} could not be stored in the cache ({reason}): the next run computes it again"


@dataclass(frozen=True)
class Step:
    """One expensive step: its name, its version and its inputs.

    The version is raised by hand whenever a change of code changes the result. Inputs are plain
    values (numbers, strings, lists, dicts). The device and package versions are not among them:
    they belong in the manifest.
    """

    name: str
    version: int
    inputs: Mapping[str, Any]

    @property
    def key(self) -> str:
        """Return the SHA-256 hash of the step, shortened to 32 hexadecimal digits.

        Raises TypeError or ValueError if an input is not a plain, finite value.
        """
        content = [self.name, self.version, self.inputs]
        text = json.dumps(content, sort_keys=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class StoredResult:
    """The result of a step, its run time in seconds, and whether it was computed just now."""

    value: Any
    seconds: float
    fresh: bool


class Store:
    """A folder of finished steps, by default the cache; an interrupted run resumes from it."""

    def __init__(self, folder: str | os.PathLike | None = None) -> None:
        self.folder = Path(folder) if folder else cache_folder()

    def path(self, step: Step) -> Path:
        """Return the file of the step's result, whether or not it exists."""
        return self.folder / step.name / f"{step.key}.pt"

    def seconds(self, step: Step) -> float | None:
        """Return how long a stored step took, None if it is not stored or cannot be read."""
        path = self.path(step)
        if not path.is_file():
            return None
        try:
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)["seconds"]
        except Exception:  # the unpickler raises any kind of error on a damaged file
            return None

    def get(self, step: Step, make: Callable[[], Any]) -> StoredResult:
        """Return the stored result of `step`, or compute it with `make()` and store it.

        Results are tensors, numbers, strings, and lists and dicts of them. Concurrent runs may
        compute the same step; the last one to finish wins. A damaged file is recomputed, with a
        warning. A result that cannot be stored, such as on a full disk, is returned with a warning.
        """
        path = self.path(step)
        stored = read_checked(path)
        if stored is not None:
            return StoredResult(stored["value"], stored["seconds"], fresh=False)
        start = time.perf_counter()
        value = make()
        seconds = time.perf_counter() - start
        content = {"value": value, "seconds": seconds}
        try:
            write_atomically(path, lambda temporary: torch.save(content, temporary))
        except (OSError, RuntimeError) as error:  # torch.save raises either on a full disk
            warnings.warn(_NOT_STORED.format(name=path.name, reason=error), stacklevel=2)
        return StoredResult(value, seconds, fresh=True)


def write_atomically(path: str | os.PathLike, write: Callable[[Path], Any]) -> None:
    """Write a file or folder completely or not at all.

    `write` receives a temporary path beside `path` and creates a file or a folder there, which is
    then renamed. If `write` fails, an existing `path` stays as it was. Missing parent folders are
    created. See `write_text_atomically` and `write_folder_atomically` for the common cases.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_beside(path)
    try:
        write(temporary)
        move_into_place(temporary, path)
    finally:
        _remove(temporary)


def write_text_atomically(path: str | os.PathLike, text: str) -> None:
    """Write a UTF-8 text file completely or not at all; line ends stay as they are."""
    content = text.encode("utf-8")
    write_atomically(path, lambda temporary: temporary.write_bytes(content))


def write_folder_atomically(folder: str | os.PathLike, write: Callable[[Path], Any]) -> None:
    """Write a folder completely or not at all; an existing one is replaced as a whole.

    `write` fills the empty temporary folder that it receives.
    """

    def write_new(temporary: Path) -> None:
        temporary.mkdir()
        write(temporary)

    write_atomically(folder, write_new)


def move_into_place(new: Path, path: Path) -> None:
    """Rename `new` to `path`, replacing an existing file or folder; both on one file system.

    For files that are written together into a temporary folder and published one by one.
    """
    if not path.is_dir():
        os.replace(new, path)
        return
    old = _temporary_beside(path)
    os.replace(path, old)  # a rename cannot replace a folder that holds files
    try:
        os.replace(new, path)
    except BaseException:
        os.replace(old, path)
        raise
    _remove(old)


def _temporary_beside(path: Path) -> Path:
    return path.with_name(f".{path.stem}.{os.getpid()}-{time.monotonic_ns()}{path.suffix}")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def read_checked(path: Path, warning: str = _DAMAGED) -> Any:
    """Return the content of a file written by `torch.save`; None if there is none.

    A damaged file counts as none, with a warning: `warning` with the file's name and the reason.
    """
    if not path.is_file():
        return None
    try:
        _check_archive(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler raises any kind of error on a damaged file
        reason = type(error).__name__
        warnings.warn(warning.format(name=path.name, reason=reason), stacklevel=3)
        return None


def _check_archive(path: Path) -> None:
    """Raise BadZipFile if a checksum is wrong, which `torch.load` does not check."""
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged:
        raise zipfile.BadZipFile(damaged)
