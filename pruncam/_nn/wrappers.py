"""Models inside wrappers: `DataParallel` and `torch.compile`."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from pruncam._nn.hooks import has_hooks

COMPILED = "_orig_mod"  # the name under which a compiled module holds the original one


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model inside `DataParallel` or `torch.compile`, else the model itself.

    A wrapper that has hooks of its own stays.
    """
    while not has_hooks(model):
        if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            model = model.module
        elif isinstance(getattr(model, COMPILED, None), nn.Module):
            model = model.get_submodule(COMPILED)
        else:
            break
    return model


class _EagerMode:
    """Runs compiled code eagerly as long as any thread asks for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._stance: Any = None

    def enter(self) -> None:
        """Switch compiled code off for the first user."""
        import torch

        with self._lock:
            if self._users == 0:
                self._stance = torch.compiler.set_stance("force_eager")
            self._users += 1

    def leave(self) -> None:
        """Restore the stance of the compiler after the last user."""
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._stance.__exit__(None, None, None)


_eager_mode = _EagerMode()


@contextmanager
def run_eagerly() -> Iterator[None]:
    """Run what `torch.compile` has compiled eagerly: compiled code calls no hook of a layer."""
    if "torch._dynamo" not in sys.modules:  # nothing is compiled, and importing it takes seconds
        yield
        return
    _eager_mode.enter()
    try:
        yield
    finally:
        _eager_mode.leave()
