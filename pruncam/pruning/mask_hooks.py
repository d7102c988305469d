"""The hooks that keep pruned weights at zero, on a layer, its copies and the optimisers."""

import copy
import threading
import weakref
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook

# Every layer with a mask, for the hook of the optimisers, and whether that is in place.
_masked_layers: weakref.WeakSet[nn.Module] = weakref.WeakSet()
_lock = threading.Lock()
_optimizer_hooks: list[Any] = []


def keep_pruned(layer: nn.Module) -> None:
    """Keep the pruned weights of a layer with a mask at zero from now on."""
    if any(isinstance(hook, _Hook) for hook in layer._forward_pre_hooks.values()):
        return
    hook = _Hook(layer)
    layer.register_forward_pre_hook(hook)
    layer.register_state_dict_pre_hook(hook)
    layer.register_load_state_dict_post_hook(hook)


def release(layer: nn.Module) -> None:
    """Remove the hooks from a layer whose mask is gone."""
    hooks = (
        layer._forward_pre_hooks,
        layer._state_dict_pre_hooks,
        layer._load_state_dict_post_hooks,
    )
    for registered in hooks:
        for key in [key for key, hook in registered.items() if isinstance(hook, _Hook)]:
            del registered[key]
    with _lock:
        _masked_layers.discard(layer)


@torch.no_grad()
def zero_pruned(layer: nn.Module) -> None:
    """Set the pruned weights of a layer to zero.

    Through `.data`, whose changes autograd does not count: two forward passes may precede one
    backward pass.
    """
    weight, mask = layer.weight, layer.weight_mask
    assert isinstance(weight, torch.Tensor) and isinstance(mask, torch.Tensor)
    weight.data.mul_(mask)


class _Hook:
    """A hook that zeroes the pruned weights of the layer that calls it.

    It knows its layer, so that a copy of the layer, or one that is read from a file, is kept
    pruned by the optimisers as well.
    """

    def __init__(self, layer: nn.Module) -> None:
        self._layer = layer
        _register(layer)

    def __call__(self, layer: nn.Module, *_: object) -> None:
        zero_pruned(layer)

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Hook":
        copied = _Hook(copy.deepcopy(self._layer, memo))
        memo[id(self)] = copied
        return copied

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._layer = state["_layer"]
        _register(self._layer)


def _register(layer: nn.Module) -> None:
    with _lock:
        _masked_layers.add(layer)
        if not _optimizer_hooks:
            _optimizer_hooks.append(register_optimizer_step_post_hook(_zero_after_step))


def _zero_after_step(optimizer: Optimizer, *_: object) -> None:
    """Zero the pruned weights that an optimiser has changed."""
    changed = {id(weight) for group in optimizer.param_groups for weight in group["params"]}
    with _lock:
        layers = list(_masked_layers)
    for layer in layers:
        is_masked = hasattr(layer, "weight_mask")
        if is_masked and id(layer._parameters.get("weight")) in changed:
            zero_pruned(layer)
