"""Read the weights of a checkpoint, however they are wrapped, without executing anything in it."""

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

_STATE_DICT_KEYS = ("state_dict", "model_state_dict", "model")  # as training scripts name them
_PREFIXES = ("module.", "_orig_mod.")  # added by DataParallel and torch.compile


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Weights by parameter name, ready for `load_state_dict`, and the file that holds them."""

    name: str
    size: int  # bytes of the file
    sha256: str
    state: dict[str, Tensor]

    @property
    def classes(self) -> int:
        """Return the number of rows of the last layer."""
        return len(self._weights(2)[-1])

    @property
    def channels(self) -> int:
        """Return the number of input channels of the first convolution."""
        return self._weights(4)[0].shape[1]

    def _weights(self, dimensions: int) -> list[Tensor]:
        """Return all weights of at least `dimensions` dimensions, in the order of the layers."""
        weights = [
            value
            for name, value in self.state.items()
            if name.endswith("weight") and value.ndim >= dimensions
        ]
        if not weights:
            kind = "convolution" if dimensions == 4 else "layer"
            raise ValueError(
                f"{self.name} contains no {kind}: "
                "it must be the state dict of a convolutional classifier"
            )
        return weights


def read(path: str | os.PathLike) -> Checkpoint:
    """Read the weights from a file written by `torch.save`: a state dict, or a dict that holds one.

    The state dict may be stored under "state_dict", "model_state_dict" or "model". Prefixes added
    by DataParallel and torch.compile are removed. Weights pruned by `torch.nn.utils.prune` are
    multiplied by their masks. The file is loaded weights-only: one that would run code is refused.

    Raises ValueError or OSError if the file is missing, damaged, or holds anything else.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint {path}: pass a file written by torch.save")
    state = _state_dict(path, _load(path))
    state = _apply_masks(_remove_prefixes(state))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return Checkpoint(path.name, path.stat().st_size, sha256, state)


def _load(path: Path) -> Any:
    try:
        # Warnings concern old formats: files that cannot be loaded raise an error anyway.
        with warnings.catch_warnings(action="ignore"):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler may raise any exception
        blocked = re.search(r"GLOBAL ([\w.]+)", str(error))
        if blocked:
            reason = f"contains {blocked[1]}, but only weights are loaded"
        else:
            reason = "cannot be loaded as weights"
        raise ValueError(f"{path} {reason}: save model.state_dict() with torch.save") from error


def _state_dict(path: Path, content: Any) -> dict[str, Tensor]:
    """Return the state dict in the content of a file."""
    if isinstance(content, Mapping):
        nested = (content.get(key) for key in _STATE_DICT_KEYS)
        content = next((value for value in nested if isinstance(value, Mapping)), content)
    if not isinstance(content, Mapping) or not content:
        kind = "an empty dict" if isinstance(content, Mapping) else f"a {type(content).__name__}"
        raise ValueError(
            f"{path} contains {kind} instead of weights: save model.state_dict() with torch.save"
        )
    for name, value in content.items():
        if not (isinstance(name, str) and isinstance(value, Tensor)):
            raise ValueError(
                f"{path} contains no weights: {str(name)!r} is not a tensor; "
                f"no state dict found under {', '.join(_STATE_DICT_KEYS)}"
            )
    return dict(content)


def _remove_prefixes(state: dict[str, Tensor]) -> dict[str, Tensor]:
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in state):
            shorter = {name.removeprefix(prefix): value for name, value in state.items()}
            return _remove_prefixes(shorter)
    return state


def _apply_masks(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Replace the `weight_orig` and `weight_mask` of `torch.nn.utils.prune` by their product."""
    weights = {}
    for name, value in state.items():
        plain_name = name.removesuffix("_orig")
        mask_name = f"{plain_name}_mask"
        if plain_name != name and mask_name in state:
            weights[plain_name] = value * state[mask_name]
        elif not _is_mask(name, state):
            weights[name] = value
    return weights


def _is_mask(name: str, state: dict[str, Tensor]) -> bool:
    return name.endswith("_mask") and f"{name.removesuffix('_mask')}_orig" in state
