"""Load a state dict with masks, or with fewer filters, into an unpruned network."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pruncam._core.validation import check_model
from pruncam._nn.operations import BATCH_NORMS, CONVOLUTIONS
from pruncam.pruning.masking import apply_masks, attach_masks

_WEIGHT_LAYERS = (*CONVOLUTIONS, nn.Linear)
_MASK_SUFFIX = ".weight_mask"
Shapes = dict[str, torch.Size]  # by parameter or buffer


def load_state(model: nn.Module, state: Mapping[str, Any]) -> nn.Module:
    """Load a state dict that may hold masks into an unmasked `model`, and return the model.

    The state may have fewer filters, as `remove_filters` leaves them: the convolutions, FC and
    BatchNorm layers of `model` itself are then cut to its sizes first. The channels of the input
    and the number of classes must be the same.

    Raises ValueError if names or shapes do not fit, TypeError if `state` is not a dict.
    """
    if not isinstance(state, Mapping):
        raise TypeError(
            f"state must be a dict as model.state_dict() returns it, got {type(state).__name__}"
        )
    check_model(model)
    _cut_to(model, state)
    masks = {
        name.removesuffix("_mask"): value
        for name, value in state.items()
        if name.endswith(_MASK_SUFFIX)
    }
    attach_masks(model, masks)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        reason = _first_misfit(model, state, (*model.state_dict(), *state))
        raise _mismatch(model, reason or str(error).splitlines()[-1].strip()) from error
    apply_masks(model)
    return model


def _cut_to(model: nn.Module, state: Mapping[str, Any]) -> None:
    """Cut the layers of `model` to the sizes in `state`, in place.

    States with other names are left for `load_state_dict` to reject. Raises ValueError if cutting
    cannot make the model fit; nothing is cut then.
    """
    current = model.state_dict()
    names = [name for name in state if not name.endswith(_MASK_SUFFIX)]
    if set(names) != current.keys():
        return
    if not all(isinstance(state[name], Tensor) for name in names):
        return
    modules = dict(model.named_modules())
    weight_layers = [name for name, module in modules.items() if isinstance(module, _WEIGHT_LAYERS)]
    new_shapes: dict[str, Shapes] = {}
    for name in names:
        if state[name].shape == current[name].shape:
            continue
        layer = name.rpartition(".")[0]
        prefix = f"{layer}." if layer else ""
        shapes = {key: state[prefix + key].shape for key in modules[layer].state_dict()}
        # The channels of the input and the classes of the output must stay.
        is_first = [layer] == weight_layers[:1]
        is_last = [layer] == weight_layers[-1:]
        if not _can_be_cut(modules[layer], shapes, is_first=is_first, is_last=is_last):
            raise _mismatch(model, _first_misfit(model, state, [name]))
        new_shapes[layer] = shapes
    for layer, shapes in new_shapes.items():
        _cut(modules[layer], shapes)


def _can_be_cut(
    module: nn.Module,
    shapes: Shapes,
    *,
    is_first: bool,
    is_last: bool,
) -> bool:
    """Return True if a layer can get these shapes by losing filters and input channels."""
    if not isinstance(module, (*_WEIGHT_LAYERS, *BATCH_NORMS)):
        return False
    current = {key: tensor.shape for key, tensor in module.state_dict().items()}
    if not all(_is_smaller(shape, current[key]) for key, shape in shapes.items()):
        return False
    # BatchNorm's count of batches is a number without a shape.
    if len({shape[0] for shape in shapes.values() if shape}) > 1:
        return False
    if getattr(module, "groups", 1) > 1:  # only a depthwise convolution keeps its structure
        return module.groups == module.in_channels == module.out_channels
    if is_last and shapes["weight"][0] != current["weight"][0]:
        return False
    return not (is_first and shapes["weight"][1] != current["weight"][1])


def _is_smaller(new: torch.Size, current: torch.Size) -> bool:
    """Return True if a tensor can get the shape `new` by losing rows and columns."""
    if len(new) != len(current) or new[2:] != current[2:]:
        return False
    sizes = zip(new[:2], current[:2], strict=True)
    return all(0 < size <= limit for size, limit in sizes)


def _cut(module: Any, shapes: Shapes) -> None:
    """Give a layer's tensors these shapes and update its size attributes; values are arbitrary."""
    for key, shape in shapes.items():
        tensor = getattr(module, key)
        corner = tuple(slice(size) for size in shape)
        part = tensor.detach()[corner].clone()
        if isinstance(tensor, nn.Parameter):
            part = nn.Parameter(part, tensor.requires_grad)
        setattr(module, key, part)
    if isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, BATCH_NORMS):
        module.num_features = max(shape[0] for shape in shapes.values() if shape)
    else:
        module.groups = len(module.weight) if module.groups > 1 else 1
        module.out_channels = len(module.weight)
        module.in_channels = module.weight.shape[1] * module.groups


def _mismatch(model: nn.Module, reason: str | None) -> ValueError:
    return ValueError(f"state_dict does not match {type(model).__name__}: {reason}")


def _first_misfit(
    model: nn.Module,
    state: Mapping[str, Any],
    names: Iterable[str],
) -> str | None:
    """Return why the first of these names does not fit, None if all fit."""
    current = model.state_dict()
    for name in names:
        if name not in state:
            return f"the state has no {name!r}"
        if name not in current:
            return f"the model has no {name!r}"
        value, expected = state[name], tuple(current[name].shape)
        if isinstance(value, Tensor) and value.shape != expected:
            return f"{name!r} has the shape {tuple(value.shape)}, the model's has {expected}"
    return None
