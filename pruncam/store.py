"""Results and checkpoints, kept under the hash of what made them: a run that was killed goes on where it stood."""

import hashlib
import json
import os
import time
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pruncam.places import cache_folder


@dataclass(frozen=True)
class Step:
    """One expensive step: its name, a version raised by hand whenever its code changes its result, and its inputs.

    Inputs are plain values (numbers, strings, lists, dicts); the device and package versions are not among them, they
    belong in the manifest.
    """

    name: str
    version: int
    inputs: Mapping[str, Any]

    @property
    def key(self) -> str:
        """The SHA-256 of the step, as 32 hexadecimal digits."""
        text = json.dumps([self.name, self.version, self.inputs], sort_keys=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Kept:
    """What a step made, the seconds it took when it ran, and whether it ran just now."""

    value: Any
    seconds: float
    fresh: bool


class Store:
    """A folder of finished steps. Files are written under a temporary name and renamed: none is ever half there."""

    def __init__(self, folder: str | os.PathLike | None = None):
        self.folder = Path(folder) if folder else cache_folder()

    def path(self, step: Step) -> Path:
        """Where the step's result lies or would lie."""
        return self.folder / step.name / f"{step.key}.pt"

    def get(self, step: Step, make: Callable[[], Any]) -> Kept:
        """The step's result: read if it was made before, else made by `make()` and kept.

        Results are tensors, numbers, strings, and lists and dicts of them. Runs at the same time may both make a
        step; the last one to finish wins, and no reader ever sees a part of a file. A damaged file is made again.
        """
        path = self.path(step)
        found = _read(path)
        if found is not None:
            return Kept(found["value"], found["seconds"], fresh=False)
        start = time.perf_counter()
        value = make()
        seconds = time.perf_counter() - start
        write_atomically(path, lambda temporary: torch.save({"value": value, "seconds": seconds}, temporary))
        return Kept(value, seconds, fresh=True)


def write_atomically(path: Path, write: Callable[[Path], Any]) -> None:
    """Let `write` fill a temporary file beside `path`, then rename it: `path` is whole or not there at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}-{time.monotonic_ns()}{path.suffix}")
    try:
        write(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _read(path: Path) -> dict | None:
    if not path.is_file():
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()  # torch.load does not compare checksums
        if broken:
            raise zipfile.BadZipFile(broken)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises whatever its unpickler meets in a damaged file
        warnings.warn(
            f"{path.name} in the cache cannot be read ({type(error).__name__}): making it again", stacklevel=3
        )
        return None
