"""Masks: 0/1 buffers beside the weights of a model, 1 keeps.

A masked weight is an ordinary parameter that is zero where its mask is: names in the state dict do not change, the
model can be copied and saved, and any network of the same layers can load its weights. A hook sets pruned weights back
to zero before every forward pass, so that they stay pruned in a training loop that knows nothing of masks.
"""

import copy
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from pruncam.choices import check_model

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
LAYERS = {"conv": (nn.Conv1d, nn.Conv2d, nn.Conv3d), "linear": (nn.Linear,)}


def prunable(model: nn.Module, layers: tuple[str, ...] = ("conv", "linear")) -> dict[str, nn.Module]:
    """The modules whose weights may be pruned, by name, in the model's order; biases are never pruned.

    Raises ValueError if `layers` names something else than "conv" and "linear" or the model has no such layer.
    """
    check_model(model)
    unknown = set(layers) - LAYERS.keys()
    if unknown or not layers:
        raise ValueError(f"layers must be taken from {', '.join(LAYERS)}, got {layers!r}")
    kinds = tuple(kind for name in layers for kind in LAYERS[name])
    found = {name: module for name, module in model.named_modules() if isinstance(module, kinds)}
    if not found:
        raise ValueError(f"nothing to prune: {type(model).__name__} has no {' or '.join(layers)} layer")
    return found


def attach_masks(model: nn.Module, new: dict[str, Tensor]) -> nn.Module:
    """Set masks by parameter name ("conv1.weight") on `model` itself and zero what they prune; returns the model.

    Raises ValueError on an unknown parameter, a wrong shape, or a value other than 0 and 1, TypeError on what is no
    tensor; the model is then as it was.
    """
    check_model(model)
    if not isinstance(new, Mapping):
        raise TypeError(f"masks must be a dict of tensors by name, as `masks` gives them, got {type(new).__name__}")
    refuse_pytorchs(model)
    modules = dict(model.named_modules())
    for name, mask in new.items():
        _check_mask(modules, name, mask)
    for name, mask in new.items():
        module = modules[name.rpartition(".")[0]]
        if not hasattr(module, "weight_mask"):
            module.register_forward_pre_hook(_hold)
        module.register_buffer("weight_mask", mask.to(module.weight))
    apply_masks(model)
    return model


def _check_mask(modules: dict[str, nn.Module], name: str, mask: Tensor) -> None:
    """Refuse a mask of no weight of these modules, and what is no 0/1 tensor of the weight's shape."""
    owner, _, parameter = str(name).rpartition(".")
    weight = getattr(modules.get(owner), "weight", None)
    if parameter != "weight" or not isinstance(weight, nn.Parameter):
        raise ValueError(f"the model has no weight named {name!r}: masks must be those of a network of the same layers")
    if not isinstance(mask, Tensor):
        raise TypeError(f"the mask of {name} must be a tensor of 0 and 1, got {type(mask).__name__}")
    if mask.shape != weight.shape or not ((mask == 0) | (mask == 1)).all():
        raise ValueError(
            f"the mask of {name} must hold 0 and 1 in shape {tuple(weight.shape)}, got {tuple(mask.shape)}"
        )


def masks(model: nn.Module) -> dict[str, Tensor]:
    """The masks of `model` by parameter name; empty where nothing was pruned."""
    check_model(model)
    return {f"{name}.weight": module.weight_mask for name, module in model.named_modules() if _is_masked(module)}


def apply_masks(model: nn.Module) -> None:
    """Set the pruned weights of `model` to zero, in place."""
    check_model(model)
    for module in model.modules():
        if _is_masked(module):
            _hold(module, ())


def load_state(model: nn.Module, state: dict[str, Tensor]) -> nn.Module:
    """Load a state dict that may hold masks into an unmasked `model` of the same layers; returns the model.

    A state with fewer filters, as `remove_filters` leaves, is of the same layers too: convolutions, FC and BatchNorm
    layers of `model` itself are cut to its sizes first; the channels of its input and its classes must be the same.

    Raises ValueError where names or shapes do not fit, TypeError where `state` is no dict.
    """
    if not isinstance(state, Mapping):
        raise TypeError(f"state must be a dict as model.state_dict() gives it, got {type(state).__name__}")
    check_model(model)
    _cut_to(model, state)
    found = {name.removesuffix("_mask"): value for name, value in state.items() if name.endswith(".weight_mask")}
    attach_masks(model, found)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        misfit = _first_misfit(model, state, (*model.state_dict(), *state))
        raise ValueError(_another(model, misfit or str(error).splitlines()[-1].strip())) from error
    apply_masks(model)
    return model


def _cut_to(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Cut the layers of `model` down to the sizes in `state`, in place; other names are left to be refused later.

    Raises ValueError where that is no way to make it fit; nothing is cut then.
    """
    own = model.state_dict()
    names = [name for name in state if not name.endswith(".weight_mask")]
    if set(names) != own.keys() or not all(isinstance(state[name], Tensor) for name in names):
        return
    modules = dict(model.named_modules())
    # The network's input and output stay: of another number of classes it is another network.
    weighty = [name for name, module in modules.items() if isinstance(module, LAYERS["conv"] + LAYERS["linear"])]
    sizes = {}
    for misfit in (name for name in names if state[name].shape != own[name].shape):
        layer = misfit.rpartition(".")[0]
        module = modules[layer]
        sizes[layer] = {key: state[f"{layer}.{key}" if layer else key].shape for key in module.state_dict()}
        ends = {"reads_input": [layer] == weighty[:1], "gives_output": [layer] == weighty[-1:]}
        if not _can_be_cut(module, sizes[layer], **ends):
            raise ValueError(_another(model, _first_misfit(model, state, [misfit])))
    for layer, shapes in sizes.items():
        _cut(modules[layer], shapes)


def _can_be_cut(module: nn.Module, sizes: dict[str, torch.Size], reads_input: bool, gives_output: bool) -> bool:
    """Whether a layer can get these shapes by losing filters, and channels of its input."""
    own = {key: tensor.shape for key, tensor in module.state_dict().items()}
    if not isinstance(module, LAYERS["conv"] + LAYERS["linear"] + _BATCH_NORMS):
        return False
    for key, size in sizes.items():
        losing = zip(size[:2], own[key][:2], strict=False)
        if len(size) != len(own[key]) or size[2:] != own[key][2:] or not all(0 < new <= old for new, old in losing):
            return False
    if len({size[0] for size in sizes.values() if size}) > 1:  # a number of its own is BatchNorm's count of batches
        return False
    if getattr(module, "groups", 1) > 1:  # only a depthwise one, a filter per channel, stays what it is
        return module.groups == module.in_channels == module.out_channels
    if gives_output and sizes["weight"][0] != own["weight"][0]:
        return False
    return not (reads_input and sizes["weight"][1] != own["weight"][1])


def _cut(module: nn.Module, sizes: dict[str, torch.Size]) -> None:
    """Give a layer's tensors these shapes, and the layer the numbers that say so; values are whatever they are."""
    for key, size in sizes.items():
        tensor = getattr(module, key)
        kept = tensor.detach()[tuple(slice(end) for end in size)].clone()
        setattr(module, key, nn.Parameter(kept, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else kept)
    if isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, _BATCH_NORMS):
        module.num_features = max(size[0] for size in sizes.values() if size)
    else:
        module.groups = len(module.weight) if module.groups > 1 else 1
        module.out_channels, module.in_channels = len(module.weight), module.weight.shape[1] * module.groups


def _another(model: nn.Module, misfit: str) -> str:
    return f"this state is of another network than {type(model).__name__}: {misfit}"


def _first_misfit(model: nn.Module, state: Mapping[str, Tensor], names: Iterable[str]) -> str | None:
    """The first of these names that only one of the two has, or whose shapes differ."""
    own = model.state_dict()
    for name in names:
        if name not in state:
            return f"the state has no {name!r}"
        if name not in own:
            return f"the model has no {name!r}"
        if isinstance(state[name], Tensor) and state[name].shape != own[name].shape:
            return f"{name!r} has the shape {tuple(state[name].shape)}, the model's has {tuple(own[name].shape)}"
    return None


def sparsity(model: nn.Module) -> float:
    """The zeroed fraction of all convolution and FC weights, in [0, 1]; biases are not counted."""
    # Times the mask: a training step may have moved a pruned weight that the next forward pass sets back.
    weights = [m.weight * (m.weight_mask if _is_masked(m) else 1) for m in prunable(model).values()]
    return sum(int((weight == 0).sum()) for weight in weights) / sum(weight.numel() for weight in weights)


def drop_masks(model: nn.Module) -> nn.Module:
    """A copy without masks: the zeros are still there, and the next training step may fill them.

    Raises ValueError where `torch.nn.utils.prune` holds the masks.
    """
    check_model(model)
    refuse_pytorchs(model)
    free = copy.deepcopy(model)
    apply_masks(free)
    for module in free.modules():
        if _is_masked(module):
            del module.weight_mask
            hooks = module._forward_pre_hooks
            for key in [key for key, hook in hooks.items() if hook is _hold]:
                del hooks[key]
    return free


def make_permanent(model: nn.Module) -> nn.Module:
    """A plain copy for use: pruned weights are zeros, masks and hooks are gone, and gradients are off."""
    return drop_masks(model).requires_grad_(False)


def _is_masked(module: nn.Module) -> bool:
    """Whether a mask of ours is on its weight; PyTorch's has the same name, and another parameter beside it."""
    return hasattr(module, "weight_mask") and not hasattr(module, "weight_orig")


def refuse_pytorchs(model: nn.Module) -> None:
    """ValueError if `torch.nn.utils.prune` holds a weight: a mask has one owner, and such a model cannot be copied."""
    held = [name for name, module in model.named_modules() if hasattr(module, "weight_orig")]
    if held:
        raise ValueError(
            f"torch.nn.utils.prune holds the weights of {held[0]!r}: "
            "make them permanent first, with torch.nn.utils.prune.remove(layer, 'weight')"
        )


@torch.no_grad()
def _hold(module: nn.Module, _inputs) -> None:
    # .data: a change that autograd does not count, so two forward passes may precede one backward pass
    module.weight.data.mul_(module.weight_mask)
