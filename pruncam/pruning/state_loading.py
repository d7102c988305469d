"""Load a state dict with masks, or with fewer filters, into an unpruned network."""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pruncam._core.validation import check_layers, check_tensor
from pruncam._nn.operations import BATCH_NORMS, CONVOLUTIONS
from pruncam._nn.outputs import Output, check_output
from pruncam._nn.probe import eval_mode, first_logits
from pruncam.pruning.masking import apply_masks, attach_masks

_WEIGHT_LAYERS = (*CONVOLUTIONS, nn.Linear)
_INSTANCE_NORMS = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
_SHAPED_NORMS = (nn.LayerNorm, nn.RMSNorm)  # over the last dimensions, whose shape they store
# Layers with a parameter for each channel of what they are applied to.
_CHANNEL_LAYERS = (*BATCH_NORMS, *_INSTANCE_NORMS, *_SHAPED_NORMS, nn.GroupNorm, nn.PReLU)
_MASK_SUFFIX = ".weight_mask"
Shapes = dict[str, torch.Size]  # by parameter or buffer


def load_state(
    model: nn.Module,
    state: Mapping[str, Any],
    *,
    example_input: Tensor | None = None,
    output: Output | None = None,
) -> nn.Module:
    """Load a state dict that may hold masks into an unmasked `model`, and return the model.

    The state may have fewer filters, as `remove_filters` leaves them: the convolutions, FC layers,
    normalisations, PReLU and parameters of other modules of `model` itself are then cut to its
    sizes first. The channels of the input and the number of classes must be the same. With an
    `example_input` (N, C, H, W) a forward pass tells whether they are, of which `output` selects
    the logits; without one, the first convolution or FC layer in the order of the modules is taken
    for the input layer and the last one for the output layer, and parameters of other modules are
    not cut.

    Raises ValueError if names or shapes do not fit, TypeError if `state` is not a dict.
    """
    if not isinstance(state, Mapping):
        raise TypeError(
            f"state must be a dict as model.state_dict() returns it, got {type(state).__name__}"
        )
    if not all(isinstance(name, str) for name in state):
        raise TypeError("state must be a dict of tensors by name, got names that are no text")
    check_layers(model)
    check_output(output)
    if example_input is not None:
        check_tensor("example_input", example_input, "a tensor (N, C, H, W) or None")
    if example_input is not None and _misshapen(model, state):
        _check_logits(model, state, example_input, output)
    return _load(model, state, by_order=example_input is None)


def _load(model: nn.Module, state: Mapping[str, Any], *, by_order: bool) -> nn.Module:
    """Cut and load; `by_order`: the order of layers says which must keep channels and classes."""
    _cut_to(model, state, by_order)
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


def _check_logits(
    model: nn.Module, state: Mapping[str, Any], example_input: Tensor, output: Output | None
) -> None:
    """Raise ValueError unless the cut model gives as many logits for the same input."""
    loaded = _load(copy.deepcopy(model), state, by_order=False)
    logits = []
    for version in (model, loaded):
        with eval_mode(version):
            try:
                logits.append(first_logits(version, example_input, output))
            except ValueError as error:
                name = _misshapen(model, state)[0]
                misfit = _first_misfit(model, state, [name])
                raise _mismatch(model, f"{misfit}; cut to it, {error}") from error
    before, after = (values.shape[1] for values in logits)
    if before != after:
        raise _mismatch(model, f"it gives {after} logits, the model {before}")


def _misshapen(model: nn.Module, state: Mapping[str, Any]) -> list[str]:
    """Return the names of the tensors whose shapes differ, of a state with the model's names."""
    current = model.state_dict()
    names = [name for name in state if not name.endswith(_MASK_SUFFIX)]
    if set(names) != current.keys():
        return []
    if not all(isinstance(state[name], Tensor) for name in names):
        return []
    return [name for name in names if state[name].shape != current[name].shape]


def _cut_to(model: nn.Module, state: Mapping[str, Any], by_order: bool) -> None:
    """Cut the layers of `model` to the sizes in `state`, in place.

    States with other names are left for `load_state_dict` to reject. Raises ValueError if cutting
    cannot make the model fit; nothing is cut then.
    """
    modules = dict(model.named_modules())
    weight_layers = [name for name, module in modules.items() if isinstance(module, _WEIGHT_LAYERS)]
    new_shapes: dict[str, Shapes] = {}
    for name in _misshapen(model, state):
        layer = name.rpartition(".")[0]
        shapes = _new_shapes(modules[layer], layer, state)
        # The channels of the input and the classes of the output must stay.
        is_first = by_order and [layer] == weight_layers[:1]
        is_last = by_order and [layer] == weight_layers[-1:]
        is_known = isinstance(modules[layer], (*_WEIGHT_LAYERS, *_CHANNEL_LAYERS))
        if by_order and not is_known:
            raise _mismatch(model, _first_misfit(model, state, [name]))
        if not _can_be_cut(modules[layer], shapes, is_first=is_first, is_last=is_last):
            raise _mismatch(model, _first_misfit(model, state, [name]))
        new_shapes[layer] = shapes
    for layer, shapes in new_shapes.items():
        _cut(modules[layer], shapes)


def _new_shapes(module: nn.Module, layer: str, state: Mapping[str, Any]) -> Shapes:
    """Return the shapes that a state has for the tensors of a module, without its submodules."""
    prefix = f"{layer}." if layer else ""
    return {key: state[prefix + key].shape for key in _tensors(module) if prefix + key in state}


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return the parameters and buffers of a module itself."""
    tensors = (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False))
    return dict(tensors)


def _can_be_cut(
    module: nn.Module,
    shapes: Shapes,
    *,
    is_first: bool,
    is_last: bool,
) -> bool:
    """Return True if a layer can get these shapes by losing filters and input channels."""
    current = {key: tensor.shape for key, tensor in _tensors(module).items()}
    if not isinstance(module, _WEIGHT_LAYERS):
        smaller = all(_fits_within(shape, current[key]) for key, shape in shapes.items())
        return smaller and (not isinstance(module, _CHANNEL_LAYERS) or _agree(module, shapes))
    if not all(_is_smaller(shape, current[key]) for key, shape in shapes.items()):
        return False
    if len({shape[0] for shape in shapes.values()}) > 1:
        return False
    if getattr(module, "groups", 1) > 1:  # only a depthwise convolution keeps its structure
        return module.groups == module.in_channels == module.out_channels
    if is_last and shapes["weight"][0] != current["weight"][0]:
        return False
    return not (is_first and shapes["weight"][1] != current["weight"][1])


def _agree(module: nn.Module, shapes: Shapes) -> bool:
    """Return True if the tensors of a layer have one shape, which its groups divide."""
    sizes = {shape for shape in shapes.values() if shape}  # BatchNorm's counter has no shape
    if len(sizes) > 1:
        return False
    (size,) = sizes
    return not isinstance(module, nn.GroupNorm) or size[0] % module.num_groups == 0


def _fits_within(new: torch.Size, current: torch.Size) -> bool:
    """Return True if a tensor can get the shape `new` by losing entries of any dimension."""
    if len(new) != len(current):
        return False
    return all(0 < size <= limit for size, limit in zip(new, current, strict=True))


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
    _update_sizes(module)


def _update_sizes(module: Any) -> None:
    """Set the attributes of a layer that hold its sizes."""
    if isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, (*BATCH_NORMS, *_INSTANCE_NORMS)):
        sizes = [len(tensor) for tensor in _tensors(module).values() if tensor.ndim]
        module.num_features = sizes[0]
    elif isinstance(module, _SHAPED_NORMS):
        module.normalized_shape = tuple(module.weight.shape)
    elif isinstance(module, nn.GroupNorm):
        module.num_channels = len(module.weight)
    elif isinstance(module, nn.PReLU):
        module.num_parameters = len(module.weight)
    elif isinstance(module, CONVOLUTIONS):
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
