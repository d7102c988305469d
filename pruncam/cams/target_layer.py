"""The choice of target layer, and of a batch size that fits the memory budget."""

import difflib
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pruncam._core.validation import check_number
from pruncam._nn.memory import rows_within
from pruncam._nn.probe import ForwardProfile, LayerCall, profile_forward


@dataclass(frozen=True)
class TargetLayer:
    """The layer whose activations are explained, and what a batch at that layer needs."""

    module: nn.Module
    name: str
    map_size: tuple[int, int]  # height and width of its activations
    classes: int
    bytes_per_image: int
    bytes_after: int  # of the largest layer after the target layer
    device: torch.device


def find_target_layer(
    model: nn.Module, image: Tensor, target_layer: nn.Module | str | None
) -> TargetLayer:
    """Return the target layer: a module of `model`, its dotted name, or None for a default.

    The default is the convolution applied last. `image` (1, C, H, W) passes through the model once.
    Raises TypeError or ValueError if there is no such layer, if the forward pass does not apply it,
    or if its output is not (N, C, H, W).
    """
    named = None if target_layer is None else _find(model, target_layer)
    profile = profile_forward(model, image)
    layer = _last_convolution(profile) if named is None else named
    position = _target_position(model, profile, layer)
    target, after = profile.calls[position], profile.calls[position:]
    shape = target.output_shape
    assert shape is not None
    largest = max(call.bytes_held for call in profile.calls)
    return TargetLayer(
        module=layer,
        name=target.name,
        map_size=(shape[2], shape[3]),
        classes=profile.logits.shape[1],
        bytes_per_image=max(largest, _bytes_for_gradients(after)),
        bytes_after=max(call.bytes_held for call in after),
        device=profile.logits.device,
    )


def _find(model: nn.Module, target_layer: nn.Module | str) -> nn.Module:
    layers = {name: module for name, module in model.named_modules(remove_duplicate=False) if name}
    if isinstance(target_layer, str):
        if target_layer not in layers:
            raise ValueError(
                f"the model has no layer {target_layer!r}: did you mean "
                f"{', '.join(_similar_names(target_layer, list(layers)))}?"
            )
        return layers[target_layer]
    if not isinstance(target_layer, nn.Module):
        kind = type(target_layer).__name__
        raise TypeError(f"target_layer must be a module, its dotted name or None, got {kind}")
    if not any(target_layer is module for module in layers.values()):
        raise ValueError(f"target_layer {type(target_layer).__name__} is not a layer of this model")
    return target_layer


def _similar_names(name: str, names: list[str]) -> list[str]:
    return difflib.get_close_matches(name, names, n=3, cutoff=0.5) or names[-5:]


def _last_convolution(profile: ForwardProfile) -> nn.Module:
    for call in reversed(profile.calls):
        if isinstance(call.module, nn.Conv2d):
            return call.module
    raise ValueError(
        "the model applies no Conv2d layer: name a target_layer whose output is (N, C, H, W)"
    )


def _target_position(model: nn.Module, profile: ForwardProfile, layer: nn.Module) -> int:
    """Return the position of the layer's first call; ValueError if its output is not a map."""
    name = next(name for name, module in model.named_modules() if module is layer)
    if not any(call.module is layer for call in profile.calls):
        raise ValueError(f"target layer {name!r} is not applied in the model's forward pass")
    position = profile.first_call(layer)
    shape = profile.calls[position].output_shape
    if shape is None or len(shape) != 4:
        output = "no tensor" if shape is None else tuple(shape)
        raise ValueError(
            f"target layer {name!r} must give (N, C, H, W) activations, got {output}: "
            "they have no height and width"
        )
    return position


def _bytes_for_gradients(after: list[LayerCall]) -> int:
    """Return the bytes held for a gradient: all outputs after the target layer.

    Up to the target layer, one layer at a time is held.
    """
    leaves = [call for call in after if not any(call.module.children())]
    return sum(call.bytes_held for call in leaves) // 2


def batch_size_within(layer: TargetLayer, batch_size: int | None) -> int:
    """Return `batch_size`, or for None the number of images that the memory budget holds."""
    if batch_size is None:
        return rows_within(layer.bytes_per_image, layer.device)
    check_number("batch_size", batch_size, whole=True, at_least=1)
    return batch_size
