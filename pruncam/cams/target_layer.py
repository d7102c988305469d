"""Choice of the target layer, and of a batch size that fits the memory budget."""

import difflib
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pruncam._core.validation import check_number
from pruncam._nn.memory import rows_within
from pruncam._nn.operations import ADAPTIVE_POOLS
from pruncam._nn.probe import (
    ForwardProfile,
    LayerCall,
    eval_mode,
    placed_like,
    profile_forward,
)
from pruncam.cams.model_split import HookedModel

# Fewest cells of the default target layer in height and in width.
MIN_CELLS = 4


@dataclass(frozen=True)
class TargetLayer:
    """The layer whose activations are explained, and what a batch at that layer needs."""

    module: nn.Module
    name: str
    map_size: tuple[int, int]  # height and width of its activations
    channels: int
    classes: int
    bytes_per_image: int
    bytes_after: int  # of the largest layer after the target layer
    device: torch.device


def find_target_layer(
    model: nn.Module, image: Tensor, target_layer: nn.Module | str | None
) -> TargetLayer:
    """Return the target layer: a module of `model`, its dotted name, or None for the default.

    The default is `default_layer`. `image` (1, C, H, W) passes through the model once, or twice
    for a default layer that may not be on the way to the logits. Raises TypeError or ValueError if
    there is no such layer, if the forward pass does not apply it, or if its output is not
    (N, C, H, W).
    """
    named = None if target_layer is None else _find(model, target_layer)
    profile = profile_forward(model, image)
    layer = last_map_layer(model, image, profile, MIN_CELLS) if named is None else named
    position = _target_position(model, profile, layer)
    target, after = profile.calls[position], profile.calls[position:]
    largest = max(call.bytes_held for call in profile.calls)
    return TargetLayer(
        module=layer,
        name=target.name,
        map_size=target.map_size,
        channels=target.channels,
        classes=profile.logits.shape[1],
        bytes_per_image=max(largest, _bytes_for_gradients(after)),
        bytes_after=max(call.bytes_held for call in after),
        device=profile.logits.device,
    )


def default_layer(model: nn.Module, image: Tensor, *, min_cells: int = MIN_CELLS) -> str:
    """Return the name of the default target layer: the last feature map of a fair size.

    It is the last module of the forward pass whose output is a feature map (N, C, h, w) with `h`
    and `w` of at least `min_cells`; if the network has none, of more than one cell. So the map is
    read after its normalisation and activation, and after its pool if that is last. A container
    that returns the output of its last layer, such as a ResNet's `layer4`, is named by the
    innermost module that returns it at its first call ("layer4.1"). An activation that is a
    function and not a module can only be read through the block that returns it.

    `image` (1, C, H, W) passes through the model. Raises ValueError if no module gives such a map
    on the way to the logits.

    Examples
    --------
    >>> from pruncam.networks import cifar_net
    >>> model, image = cifar_net(width=4), torch.rand(1, 3, 32, 32)
    >>> default_layer(model, image)  # the pool after the last convolutions of 8x8
    'features.20'
    >>> default_layer(model, image, min_cells=6)  # their ReLU
    'features.19'
    """
    check_number("min_cells", min_cells, whole=True, at_least=1)
    first = placed_like(model, image)
    profile = profile_forward(model, first)
    layer = last_map_layer(model, first, profile, min_cells)
    return profile.calls[profile.first_call(layer)].name


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


def last_map_layer(
    model: nn.Module,
    image: Tensor,
    profile: ForwardProfile,
    min_cells: int,
) -> nn.Module:
    """Return the module of `default_layer`, from a profile of `model` on `image`."""
    candidates = _map_calls(profile)
    large = [position for position in candidates if min(_map_size(profile, position)) >= min_cells]
    for position in reversed(large or candidates):
        name = profile.readable_as(position)
        if name is None:
            continue
        layer = model.get_submodule(name)
        if _is_chain(model, name) or _reaches_logits(model, layer, image):
            _reject_patches(profile, profile.first_call(layer))
            return layer
    raise ValueError(
        "the model has no layer with a feature map (N, C, h, w) of more than one cell on the way "
        "to its logits: pass larger images, or target_layer, the name of a layer"
    )


def _map_calls(profile: ForwardProfile) -> list[int]:
    """Return the positions of the calls whose output is a feature map of more than one cell.

    Images before the first convolution are none, nor is the output of the model itself.
    """
    convolutions = [
        position
        for position, call in enumerate(profile.calls)
        if isinstance(call.module, nn.Conv2d)
    ]
    if not convolutions:
        raise ValueError(
            "the model applies no Conv2d layer: "
            "pass target_layer, the name of a layer whose output is (N, C, H, W)"
        )
    return [
        position
        for position in range(convolutions[0], len(profile.calls))
        if math.prod(_map_size(profile, position)) > 1 and not _enlarges(profile.calls[position])
    ]


def _map_size(profile: ForwardProfile, position: int) -> tuple[int, int]:
    return profile.calls[position].map_size


def _enlarges(call: LayerCall) -> bool:
    """Return whether a call is an adaptive pool that does not make the map smaller.

    That of torchvision's VGG repeats the cells of a smaller map.
    """
    if not isinstance(call.module, ADAPTIVE_POOLS) or call.input_shape is None:
        return False
    return math.prod(call.map_size) >= math.prod(call.input_shape[2:])


def _is_chain(model: nn.Module, name: str) -> bool:
    """Return whether every container of a layer passes each output on to the next layer."""
    *containers, _ = name.split(".")
    modules = [model]
    for container in containers:
        modules.append(modules[-1].get_submodule(container))
    return all(type(module).forward is nn.Sequential.forward for module in modules)


def _reaches_logits(model: nn.Module, layer: nn.Module, image: Tensor) -> bool:
    """Return whether the logits depend on the output of a layer."""
    with eval_mode(model):
        forward = HookedModel(model, layer).forward(image, gradients=True)
    if not forward.logits.requires_grad:
        return False
    with torch.enable_grad():
        total = forward.logits.sum()
        (gradient,) = torch.autograd.grad(total, forward.activations, allow_unused=True)
    return gradient is not None


def _reject_patches(profile: ForwardProfile, position: int) -> None:
    """Raise ValueError if the last map is that of the patches of a vision transformer."""
    call, later = profile.calls[position], profile.calls[position + 1 :]
    convolution = call.module
    if not isinstance(convolution, nn.Conv2d) or convolution.kernel_size != convolution.stride:
        return
    if any(other.output_shape is not None and len(other.output_shape) == 3 for other in later):
        raise ValueError(
            f"after {call.name!r} the features of the model are tokens, not maps (N, C, h, w): "
            f"pass target_layer={call.name!r} to explain the image patches themselves"
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
