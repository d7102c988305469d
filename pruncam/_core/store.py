"""A store of finished steps, each under the hash of its inputs, and atomic writes to disk."""

import hashlib
import json
import os
import shutil
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from pruncam._core import disk, sealed_files
from pruncam._core.leftovers import temporary_beside
from pruncam._core.paths import cache_folder
from pruncam._core.sealed_files import Identity, Unusable

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

    @property
    def identity(self) -> Identity:
        """Return what the file of the result says of the step."""
        return {"step": self.name, "key": self.key}


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

    def get(
        self,
        step: Step,
        make: Callable[[], Any],
        use: Callable[[Any], object] | None = None,
    ) -> StoredResult:
        """Return the stored result of `step`, or compute it with `make()` and store it.

        Results are tensors, numbers, strings, and lists and dicts of them. Concurrent runs may
        compute the same step; the last one to finish wins. `use` is called with a stored result and
        raises any error if it does not fit, as weights that a network lacks. Such a file, one that
        is damaged and one of another step are recomputed, with a warning. A result that cannot be
        stored, such as on a full disk, is returned with a warning.

        Raises OSError, before anything is computed, if a folder is in the place of the file, or a
        file in the place of its folder.
        """
        path = self.path(step)
        _check_place(path)
        stored = _read(path, step, use)
        if stored is not None:
            return stored
        start = time.perf_counter()
        value = make()
        seconds = time.perf_counter() - start
        content = {"value": value, "seconds": seconds}
        try:
            write_sealed(path, content, step.identity)
        except (OSError, RuntimeError) as error:
            reason = disk.one_line(error)
            warnings.warn(_NOT_STORED.format(name=path.name, reason=reason), stacklevel=2)
        return StoredResult(value, seconds, fresh=True)


def _check_place(path: Path) -> None:
    """Raise OSError if a file of the cache cannot be at `path`."""
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder where the cache has a file: move it away")
    for folder in (path.parent, path.parent.parent):
        if folder.exists() and not folder.is_dir():
            raise NotADirectoryError(
                f"{folder} is a file where the cache has a folder: move it away, or name another "
                "folder in PRUNCAM_CACHE"
            )


def _read(path: Path, step: Step, use: Callable[[Any], object] | None) -> StoredResult | None:
    """Return a stored result; None if there is none or, with a warning, none that can be used."""
    content = read_sealed(path, step.identity)
    if content is None:
        return None
    try:
        if not isinstance(content, dict) or content.keys() != {"value", "seconds"}:
            raise Unusable("it holds no result of a step")
        result = StoredResult(content["value"], content["seconds"], fresh=False)
        if use is not None:
            use(result.value)
    except Exception as error:  # any kind, from what `use` does with other content
        _warn_of(path, _DAMAGED, error)
        return None
    _mark_as_used(path)
    return result


def _mark_as_used(path: Path) -> None:
    """Set the time of the last access, which `pruncam cache` shows; many systems do not."""
    with suppress(OSError):  # a read-only cache
        os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))


def write_atomically(path: str | os.PathLike, write: Callable[[Path], Any]) -> None:
    """Write a file or folder completely or not at all.

    `write` receives a temporary path beside `path` and creates a file or a folder there, which is
    then renamed. If `write` fails, an existing `path` stays as it was. Missing parent folders are
    created. See `write_text_atomically` and `write_folder_atomically` for the common cases. Raises
    OSError with a sentence that names the folder if its disk is full or it cannot be written.
    """
    _write(Path(path), write, move_into_place)


def write_text_atomically(path: str | os.PathLike, text: str) -> None:
    """Write a UTF-8 text file completely or not at all; line ends stay as they are."""
    content = text.encode("utf-8")
    write_atomically(path, lambda temporary: temporary.write_bytes(content))


def write_sealed(path: str | os.PathLike, content: Any, identity: Identity) -> None:
    """Write tensors and plain values, with a seal, completely or not at all; see `sealed_files`."""
    write_atomically(path, lambda temporary: sealed_files.save(content, temporary, identity))


def write_folder_atomically(folder: str | os.PathLike, write: Callable[[Path], Any]) -> None:
    """Write a folder completely or not at all; an existing one is replaced as a whole.

    `write` fills the empty temporary folder that it receives.
    """
    _write(Path(folder), partial(_fill, write), move_into_place)


def write_folder_once(folder: str | os.PathLike, write: Callable[[Path], Any]) -> None:
    """Write a folder completely, unless it exists; of several processes, the first one wins.

    For folders whose content is always the same. `write` fills the empty temporary folder that it
    receives.
    """
    if not Path(folder).is_dir():
        _write(Path(folder), partial(_fill, write), _move_unless_there)


def move_into_place(new: Path, path: Path) -> None:
    """Rename `new` to `path`, replacing an existing file or folder; both on one file system.

    For files that are written together into a temporary folder and published one by one.
    """
    while True:
        old = _move_away(path) if path.is_dir() else None
        try:
            os.replace(new, path)  # which cannot replace a folder that holds files
        except BaseException as error:
            if isinstance(error, OSError) and path.is_dir():
                continue  # another process was faster: replace its folder
            if old is not None:
                os.replace(old, path)
            raise
        finally:
            if old is not None:
                _remove(old)
        return


def read_sealed(path: Path, identity: Identity, warning: str = _DAMAGED) -> Any:
    """Return the content of a file that `write_sealed` wrote; None if there is none.

    A damaged file, or one of something else, counts as none, with a warning: `warning` with the
    file's name and the reason.
    """
    if not path.is_file():
        return None
    try:
        return sealed_files.load(path, identity)
    except Exception as error:  # the unpickler raises any kind of error on a damaged file
        _warn_of(path, warning, error)
        return None


def _warn_of(path: Path, warning: str, error: Exception) -> None:
    is_sentence = isinstance(error, ValueError) and not isinstance(error, UnicodeError)
    reason = disk.one_line(error) if is_sentence else type(error).__name__
    warnings.warn(warning.format(name=path.name, reason=reason), stacklevel=4)


def _write(path: Path, write: Callable[[Path], Any], place: Callable[[Path, Path], None]) -> None:
    """Call `write` with a temporary path beside `path`, and `place` with both."""
    with disk.explained(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = temporary_beside(path)
        try:
            write(temporary)
            place(temporary, path)
        finally:
            _remove(temporary)


def _fill(write: Callable[[Path], Any], folder: Path) -> None:
    """Make a new folder and let `write` fill it."""
    folder.mkdir()
    write(folder)


def _move_unless_there(new: Path, folder: Path) -> None:
    try:
        os.rename(new, folder)
    except OSError:
        if not folder.is_dir():
            raise


def _move_away(folder: Path) -> Path | None:
    """Rename a folder, and return its new path; None if another process has done so."""
    old = temporary_beside(folder)
    try:
        os.replace(folder, old)
    except FileNotFoundError:
        return None
    return old


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
