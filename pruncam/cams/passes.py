"""Before the first batch: the images where the model is, its target layer found, the size of a batch chosen."""

import difflib
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pruncam.choices import check_number
from pruncam.forward import first_logits

# Bytes that one batch may hold in a layer's input and output together. On a processor what fits its cache is fastest
# (measured: 8-32 images of the CIFAR network, 32-128 of VGG11 at 32x32); a GPU wants large batches.
MEMORY_BUDGET = {"cpu": 2**24, "other": 2**30}


@dataclass(frozen=True)
class Layout:
    """What `survey` found: the target layer, the number of classes, bytes one image needs, where the model is."""

    layer: nn.Module
    classes: int
    bytes_per_image: int
    bytes_after: int  # of the largest layer after the target
    device: torch.device


@dataclass(frozen=True)
class _Call:
    """One application of a module: the shape of its output (None: not a tensor), bytes of its input and output."""

    module: nn.Module
    shape: torch.Size | None
    bytes_held: int


def placed_like(model: nn.Module, images: Tensor) -> Tensor:
    """The images on the model's device and in its floating-point type."""
    floating = (t for t in (*model.parameters(), *model.buffers()) if t.is_floating_point())
    like = next(floating, images)
    images = images.detach()
    return (images.clone() if images.is_inference() else images).to(like.device, like.dtype)


def survey(model: nn.Module, image: Tensor, target_layer: nn.Module | str | None) -> Layout:
    """Pass one image through the model: find the target layer, the classes, and what a batch will need."""
    named = None if target_layer is None else _find(model, target_layer)
    calls = []

    def note(module: nn.Module, inputs: tuple, output: object) -> None:
        tensors = [value for value in (*inputs, output) if isinstance(value, Tensor)]
        shape = output.shape if isinstance(output, Tensor) else None
        calls.append(_Call(module, shape, sum(tensor.nbytes for tensor in tensors)))

    handles = [module.register_forward_hook(note) for module in model.modules()]
    try:
        logits = first_logits(model, image)
    finally:
        for handle in handles:
            handle.remove()
    position = _position(model, calls, named)
    # Up to the target one layer at a time is held; after it all are, for the gradient.
    largest, largest_after = (max(call.bytes_held for call in part) for part in (calls, calls[position:]))
    kept = sum(call.bytes_held for call in calls[position:] if not any(call.module.children())) // 2
    return Layout(calls[position].module, logits.shape[1], max(largest, kept), largest_after, logits.device)


def _find(model: nn.Module, target_layer: nn.Module | str) -> nn.Module:
    layers = {name: module for name, module in model.named_modules(remove_duplicate=False) if name}
    if isinstance(target_layer, str):
        if target_layer not in layers:
            close = difflib.get_close_matches(target_layer, layers, n=3, cutoff=0.5) or list(layers)[-5:]
            raise ValueError(f"the model has no layer {target_layer!r}: did you mean {', '.join(close)}?")
        return layers[target_layer]
    if not isinstance(target_layer, nn.Module):
        raise TypeError(f"target_layer must be a module, its dotted name or None, got {type(target_layer).__name__}")
    if not any(target_layer is module for module in layers.values()):
        raise ValueError(f"target_layer {type(target_layer).__name__} is not a layer of this model")
    return target_layer


def _position(model: nn.Module, calls: list[_Call], named: nn.Module | None) -> int:
    """Which call is the target: the first of the named layer, or of the convolution applied last."""
    if named is None:
        convolutions = [call.module for call in calls if isinstance(call.module, nn.Conv2d)]
        if not convolutions:
            raise ValueError("the model applies no Conv2d layer: name a target_layer whose output is (N, C, H, W)")
        named = convolutions[-1]
    name = next(name for name, module in model.named_modules() if module is named)
    applied = [call.module for call in calls]
    if named not in applied:
        raise ValueError(f"target layer {name!r} is not applied in the model's forward pass")
    position = applied.index(named)
    shape = calls[position].shape
    if shape is None or len(shape) != 4:
        got = "no tensor" if shape is None else tuple(shape)
        raise ValueError(f"target layer {name!r} must give (N, C, H, W) activations, got {got}: nothing to place")
    return position


def batch_size_within(layout: Layout, batch_size: int | None) -> int:
    """The batch size asked for, or as many images as the memory budget holds."""
    if batch_size is None:
        return rows_within(layout.bytes_per_image, layout.device)
    check_number("batch_size", batch_size, whole=True, at_least=1)
    return batch_size


def rows_within(bytes_per_row: int, device: torch.device) -> int:
    """How many rows of a batch the memory budget holds, at least one."""
    return max(1, MEMORY_BUDGET["cpu" if device.type == "cpu" else "other"] // bytes_per_row)
