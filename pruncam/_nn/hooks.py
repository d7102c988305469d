"""Forward hooks of ours, which act in one thread only; and whether a module has hooks of others."""

import threading
from collections.abc import Callable
from typing import Any

from torch import nn
from torch.utils.hooks import RemovableHandle

ForwardHook = Callable[[nn.Module, tuple, Any], Any]


class _ThreadHook:
    """A forward hook that ignores the calls of other threads."""

    def __init__(self, hook: ForwardHook) -> None:
        self._hook, self._thread = hook, threading.get_ident()

    def __call__(self, module: nn.Module, inputs: tuple, output: Any) -> Any:
        if threading.get_ident() != self._thread:
            return None
        return self._hook(module, inputs, output)


def add_thread_hook(module: nn.Module, hook: ForwardHook) -> RemovableHandle:
    """Register a forward hook that acts in this thread only, and return its handle.

    Threads may share a model: a hook must neither see nor replace what another thread computes.
    """
    return module.register_forward_hook(_ThreadHook(hook))


def has_hooks(module: nn.Module) -> bool:
    """Return whether a module has hooks on its forward pass, other than those of this module."""
    # Lists, made at once: another thread may add or remove a hook.
    hooks = [*module._forward_hooks.values(), *module._forward_pre_hooks.values()]
    return any(not isinstance(hook, _ThreadHook) for hook in hooks)
