"""Dropout as a function of a seed."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from pruncam._core.validation import check_layers

_DROPOUTS = (
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.AlphaDropout,
    nn.FeatureAlphaDropout,
)


def has_dropout(model: nn.Module) -> bool:
    """Return whether the model drops units at random while it is trained."""
    check_layers(model)
    return any(isinstance(module, _DROPOUTS) and module.p > 0 for module in model.modules())


@contextmanager
def seeded_dropout(model: nn.Module, seed: int) -> Iterator[None]:
    """Seed PyTorch's global random state if the model draws from it, and restore it afterwards."""
    if not has_dropout(model):
        yield
        return
    device = next(model.parameters()).device
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
