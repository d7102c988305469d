"""Checkpoints: the weights of a file, whatever wrapped them. Nothing in the file is ever executed."""

import hashlib
import os
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_WRAPPERS = ("state_dict", "model_state_dict", "model")  # under which training scripts keep the weights
_PREFIXES = ("module.", "_orig_mod.")  # of DataParallel and torch.compile


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Weights by name, as a network's `load_state_dict` takes them, and the file that held them."""

    name: str
    size: int  # of the file, bytes
    sha256: str
    state: dict[str, Tensor]

    @property
    def classes(self) -> int:
        """Rows of the last layer."""
        return len(self._weights(2)[-1])

    @property
    def channels(self) -> int:
        """Channels of the images that the first convolution reads."""
        return self._weights(4)[0].shape[1]

    def _weights(self, dimensions: int) -> list[Tensor]:
        found = [value for name, value in self.state.items() if name.endswith("weight") and value.ndim >= dimensions]
        if not found:
            kind = "convolution" if dimensions == 4 else "layer"
            raise ValueError(f"{self.name} holds no {kind}: it must be the state dict of a convolutional classifier")
        return found


def read(path: str | os.PathLike) -> Checkpoint:
    """The weights in a file that `torch.save` wrote: a state dict, or a dict that holds one.

    It may stand under "state_dict", "model_state_dict" or "model"; the prefixes of DataParallel and torch.compile are
    taken off, and weights that `torch.nn.utils.prune` holds are multiplied by their masks. Loaded weights-only: a file
    that would run code is refused.

    Raises ValueError or OSError in one sentence where the file is missing, damaged, or holds something else.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"there is no checkpoint {path}: give a file that torch.save wrote")
    try:
        with warnings.catch_warnings(action="ignore"):  # of old formats: what cannot be loaded is refused below
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises whatever its unpickler meets
        raise ValueError(f"{path} {_unloadable(error)}: save model.state_dict() with torch.save") from error
    state = _unpruned_names(_unprefixed(_unwrapped(path, content)))
    return Checkpoint(path.name, path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest(), state)


def _unloadable(error: Exception) -> str:
    """In words, why a file gives no weights."""
    found = re.search(r"GLOBAL ([\w.]+)", str(error))
    return f"holds a {found[1]}, and only weights are loaded" if found else "cannot be read as weights alone"


def _unwrapped(path: Path, content: Any) -> dict[str, Tensor]:
    """The state dict in what a file held."""
    if isinstance(content, Mapping):
        content = next((content[key] for key in _WRAPPERS if isinstance(content.get(key), Mapping)), content)
    if not isinstance(content, Mapping) or not content:
        raise ValueError(f"{path} holds no weights but {_kind(content)}: save model.state_dict() with torch.save")
    strange = [str(key) for key, value in content.items() if not (isinstance(key, str) and isinstance(value, Tensor))]
    if strange:
        raise ValueError(
            f"{path} holds no state dict: {', '.join(strange[:3])} is no tensor, and there is none under "
            f"{', '.join(_WRAPPERS)}"
        )
    return dict(content)


def _kind(content: Any) -> str:
    return "an empty dict" if isinstance(content, Mapping) else f"a {type(content).__name__}"


def _unprefixed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in state):
            return _unprefixed({name.removeprefix(prefix): value for name, value in state.items()})
    return state


def _unpruned_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights under their own names, where `torch.nn.utils.prune` keeps the original and the mask."""
    found = {}
    for name, value in state.items():
        own = name.removesuffix("_orig")
        if own != name and f"{own}_mask" in state:
            found[own] = value * state[f"{own}_mask"]
        elif not (name.endswith("_mask") and f"{name.removesuffix('_mask')}_orig" in state):
            found[name] = value
    return found
