"""A file that lets an interrupted training continue after its last complete epoch."""

import hashlib
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pruncam._core.store import read_sealed, write_sealed
from pruncam._core.validation import check_number, check_path

_IDENTITY = {"step": "checkpoint"}


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
        self.path = Path(path)
        self.pause = pause
        self._last_write = time.monotonic()

    @property
    def is_due(self) -> bool:
        """Return whether the last write was `pause` seconds ago or more."""
        return time.monotonic() - self._last_write >= self.pause

    def read(self, training: dict[str, Any]) -> dict[str, Any] | None:
        """Return the last state that was written; None if there is none.

        `training` identifies the training. A damaged file counts as none, with a warning. Raises
        ValueError if the file belongs to another training or is no checkpoint.
        """
        warning = "{name} cannot be read ({reason}): the training starts from the beginning"
        content = read_sealed(self.path, _IDENTITY, warning)
        if content is None:
            return None
        if not isinstance(content, dict) or content.keys() != {"training", "state"}:
            raise ValueError(f"{self.path} is not a checkpoint: pass another path")
        stored = content["training"]
        names = [*training, *(stored.keys() - training.keys())]
        differences = [name for name in names if stored.get(name) != training.get(name)]
        if differences:
            raise ValueError(
                f"{self.path} belongs to another training (different "
                f"{', '.join(differences)}): remove it or pass another path"
            )
        return content["state"]

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
