"""Checkpoints: the tensors of a file by their names, however they are wrapped."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from pruncam._core import checkpoint_files
from pruncam._core.text import printable
from pruncam._core.validation import check_path

_DEPTH = 12  # of nested dicts; one that contains itself has no end


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The tensors of a file, and the file.

    `groups` are the dicts of the file that hold tensors, by the path of their keys: the weights of
    `{"state_dict": {"fc.weight": ...}}` are `groups["state_dict"]`, those of a plain state dict
    `groups[""]`.
    """

    name: str
    size: int  # bytes of the file
    sha256: str
    verified: str  # what verified the bytes, in words
    groups: Mapping[str, Mapping[str, Tensor]]


def read(path: str | os.PathLike) -> Checkpoint:
    """Read the tensors of a file of torch.save or safetensors.

    The bytes are verified where the format has checksums. The file is loaded weights-only: code in
    it is neither imported nor run.

    Raises ValueError or OSError if the file is missing, damaged, holds a whole model instead of
    weights, or no tensors.
    """
    check_path("the checkpoint", path)
    path = Path(path).expanduser()
    sha256, verified = checkpoint_files.verify(path)
    content = checkpoint_files.load(path)
    if not isinstance(content, Mapping):
        raise ValueError(
            f"{path} contains a {type(content).__name__} instead of weights: "
            "save model.state_dict() with torch.save"
        )
    groups = dict(_groups(content, ()))
    if not groups:
        entries = ", ".join(map(str, list(content)[:4])) or "none"
        raise ValueError(
            f"{path} contains no weights (its entries: {entries}): "
            "save model.state_dict() with torch.save"
        )
    return Checkpoint(printable(path.name), path.stat().st_size, sha256, verified, groups)


def _groups(content: Mapping, path: tuple[str, ...]) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Iterate over the dicts that hold tensors, each with the path of its keys."""
    tensors: dict[str, Tensor] = {}
    inner: list[tuple[str, Any]] = []
    for key, value in content.items():
        if isinstance(value, Tensor):
            tensors[str(key)] = value
        elif isinstance(value, Mapping):
            inner.append((str(key), value))
    if tensors:
        yield ".".join(path), tensors
    if len(path) == _DEPTH:
        return
    for key, value in inner:
        yield from _groups(value, (*path, key))
