"""The files of the cache: their kind, size and last use, and which of them may go."""

import os
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pruncam._core import leftovers

LEFTOVERS = "left by killed processes"
_STEP = re.compile(r"[0-9a-f]{32}\.(pt|unfinished)")
_EXAMPLE = re.compile(r"own-example-\d+-\d+")
_UNITS = {"kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_SECONDS = {"h": 3600, "d": 24 * 3600, "w": 7 * 24 * 3600}


@dataclass(frozen=True)
class CacheFile:
    """A finished step, an unfinished training, or what a killed process left.

    `path` may be a folder; `used` is the time of the last use, in seconds since 1970.
    """

    kind: str
    path: Path
    size: int
    used: float


def cache_files(folder: Path) -> list[CacheFile]:
    """Return all files of a cache, sorted by path; files of anybody else are left out."""
    return sorted(_found(folder), key=lambda file: file.path)


def to_prune(
    files: Iterable[CacheFile], older_than: float | None, keep: int | None
) -> list[CacheFile]:
    """Return the files to remove, the longest unused first; what killed processes left always goes.

    Parameters
    ----------
    older_than : seconds; files that were not used for longer go. None: none for their age
    keep : bytes; of the rest, files go until no more than that remains. None: none for their size
    """
    oldest_first = sorted(files, key=lambda file: (file.used, file.path))
    total = sum(file.size for file in oldest_first)
    now, removed = time.time(), []
    for file in oldest_first:
        is_old = older_than is not None and now - file.used > older_than
        if file.kind == LEFTOVERS or is_old or (keep is not None and total > keep):
            removed.append(file)
            total -= file.size
    return removed


def remove(files: Iterable[CacheFile]) -> None:
    """Remove files of a cache, as far as they are there."""
    for file in files:
        leftovers.remove(file.path)


def duration(text: str) -> float:
    """Return the seconds of a duration such as "12h", "30d" or "4w". Raises ValueError."""
    return _amount(text, _SECONDS, "a duration such as 12h, 30d or 4w")


def size(text: str) -> int:
    """Return the bytes of a size such as "500MB" or "5GB". Raises ValueError."""
    return int(_amount(text, _UNITS, "a size such as 500MB or 5GB"))


def _amount(text: str, units: dict[str, int], expected: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]+)", text.strip().lower())
    if not match or match[2] not in units:
        raise ValueError(f"{text!r} is not {expected}")
    return float(match[1]) * units[match[2]]


def _found(folder: Path) -> Iterator[CacheFile]:
    places = [folder, *(path for path in _entries(folder) if path.is_dir())]
    for path in (path for place in places for path in leftovers.leftovers(place)):
        yield _described(LEFTOVERS, path)
    for place in places[1:]:
        if _EXAMPLE.fullmatch(place.name):
            yield _described("example of compare", place)
        for path in _entries(place):
            if _STEP.fullmatch(path.name):
                suffix = "" if path.suffix == ".pt" else ", unfinished"
                yield _described(f"{place.name}{suffix}", path)


def _described(kind: str, path: Path) -> CacheFile:
    states = [os.lstat(file) for file in (path, *path.rglob("*")) if os.path.lexists(file)]
    size = sum(state.st_size for state in states)
    used = max((max(state.st_atime, state.st_mtime) for state in states), default=0.0)
    return CacheFile(kind, path, size, used)


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []
