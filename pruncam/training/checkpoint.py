"""A file that lets an interrupted training continue after its last complete epoch."""

import hashlib
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pruncam._core.disk import check_writable
from pruncam._core.store import read_sealed, write_sealed
from pruncam._core.validation import check_number, check_path

_IDENTITY = {"step": "checkpoint"}


@dataclass(frozen=True)
class Unfinished:
    """An unfinished training as a file holds it: what identifies it, and its last state."""

    training: dict[str, Any]
    state: dict[str, Any]


class Checkpoint:
    """The state of an unfinished training on disk, written atomically after an epoch.

    Parameters
    ----------
    path : the file; its folder is created
    pause : least number of seconds between two writes, so that short epochs are not slowed down
        The first write comes no sooner than `pause` seconds after the checkpoint was made.
    """

    def __init__(self, path: str | os.PathLike, pause: float = 10.0) -> None:
        check_path("path", path)
        check_number("pause", pause, at_least=0)
        self.path = Path(path).expanduser()
        self.pause = pause
        self._last_write = time.monotonic()

    @property
    def is_due(self) -> bool:
        """Return whether the last write was `pause` seconds ago or more."""
        return time.monotonic() - self._last_write >= self.pause

    def check_place(self) -> None:
        """Raise ValueError or OSError if something is at `path` that no file can replace."""
        if not os.path.lexists(self.path):
            return
        if not self.path.is_file():
            kind = "a folder" if self.path.is_dir() else "no regular file"
            raise ValueError(f"{self.path} is {kind}: pass another path for the checkpoint")
        check_writable(self.path.parent, "checkpoint", "pass another path")

    def read(self) -> Unfinished | None:
        """Return the training that was written last; None if there is none.

        A damaged file counts as none, with a warning. Raises ValueError if the file is no
        checkpoint.
        """
        warning = "{name} cannot be read ({reason}): the training starts from the beginning"
        content = read_sealed(self.path, _IDENTITY, warning)
        if content is None:
            return None
        if not isinstance(content, dict) or content.keys() != {"training", "state"}:
            raise ValueError(f"{self.path} is not a checkpoint: pass another path")
        return Unfinished(**content)

    def check_same(self, stored: dict[str, Any], training: dict[str, Any]) -> None:
        """Raise ValueError if the stored training is another one than `training`."""
        names = [*training, *(stored.keys() - training.keys())]
        differences = [name for name in names if stored.get(name) != training.get(name)]
        if differences:
            raise ValueError(
                f"{self.path} belongs to another training (different "
                f"{', '.join(differences)}): remove it or pass another path"
            )

    def write(self, training: dict[str, Any], state: dict[str, Any]) -> None:
        """Write the state of a training."""
        write_sealed(self.path, {"training": training, "state": state}, _IDENTITY)
        self._last_write = time.monotonic()

    def remove(self) -> None:
        """Remove the file, since the training is complete."""
        self.path.unlink(missing_ok=True)


def checksum(tensors: Iterable[Tensor]) -> str:
    """Return the SHA-256 (hex) of the types, shapes and values of some tensors."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        values = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(values.view(torch.uint8).numpy().data)
    return digest.hexdigest()
