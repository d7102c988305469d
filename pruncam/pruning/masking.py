"""Masks: 0/1 buffers beside the weights of a model, where 1 keeps a weight.

A masked weight is an ordinary parameter that is zero where its mask is 0. Names in the state dict
do not change, the model can be copied and saved, and any network of the same layers can load its
weights.

Pruned weights stay zero in a training loop that knows nothing of masks: they are set to zero after
every step of a `torch.optim` optimiser, which also holds where a weight is used without a call of
its layer (attention, cosine heads); before every forward pass of their layer, whatever changed
them; and before and after the state dict is read and loaded.
"""

import copy
from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn.utils import parametrize

from pruncam._core.validation import check_layers, check_model, check_names, check_tensor
from pruncam._nn.operations import CONVOLUTIONS, WeightLayer
from pruncam.pruning.mask_hooks import keep_pruned, release, zero_pruned

LAYERS = {"conv": CONVOLUTIONS, "linear": (nn.Linear,)}

# Hooks that compute a weight of parts: the name of a part, the hook, and how to be rid of it.
_HOOKS = (
    ("weight_g", "weight_norm", "fold it in first, with torch.nn.utils.remove_weight_norm(layer)"),
    (
        "weight_u",
        "spectral_norm",
        "fold it in first, with torch.nn.utils.remove_spectral_norm(layer)",
    ),
    (
        "weight_orig",
        "prune",
        "make them permanent first, with torch.nn.utils.prune.remove(layer, 'weight')",
    ),
)


def prunable(
    model: nn.Module, layers: tuple[str, ...] = ("conv", "linear")
) -> dict[str, WeightLayer]:
    """Return the layers whose weights may be pruned, by name; biases are never pruned.

    Raises ValueError if `layers` names anything but "conv" and "linear", or the model has no such
    layer.
    """
    check_layers(model)
    check_names("layers", layers, LAYERS)
    if not layers:
        raise ValueError(f"layers must be taken from {', '.join(LAYERS)}, got none")
    types = tuple(layer_type for name in layers for layer_type in LAYERS[name])
    modules = {name: module for name, module in model.named_modules() if isinstance(module, types)}
    if not modules:
        raise ValueError(
            f"nothing to prune: {type(model).__name__} has no {' or '.join(layers)} layer"
        )
    return modules


def attach_masks(model: nn.Module, new: Mapping[str, Tensor]) -> nn.Module:
    """Attach masks to `model` itself, zero the pruned weights, and return the model.

    `new` maps parameter names ("conv1.weight") to tensors of 0 and 1 in the shape of the weights.

    Raises ValueError on an unknown parameter, a wrong shape, or a value other than 0 and 1,
    TypeError on anything but tensors; the model is then unchanged.
    """
    check_layers(model)
    if not isinstance(new, Mapping):
        raise TypeError(
            "masks must be a dict of tensors by name, as `masks` returns it, "
            f"got {type(new).__name__}"
        )
    if new:
        reject_hooked_weights(model)
    modules = dict(model.named_modules())
    for name, mask in new.items():
        _check_mask(modules, name, mask)
    for name, mask in new.items():
        module = modules[name.rpartition(".")[0]]
        module.register_buffer("weight_mask", mask.to(module.weight))
        keep_pruned(module)
    apply_masks(model)
    return model


def _check_mask(
    modules: Mapping[str, nn.Module],
    name: str,
    mask: Tensor,
) -> None:
    """Raise ValueError or TypeError unless this is a mask for a weight of these modules."""
    layer, _, parameter = str(name).rpartition(".")
    module = modules.get(layer)
    if module is not None and parametrize.is_parametrized(module, parameter):
        raise ValueError(
            f"{name!r} is computed by a parametrization, such as weight_norm: fold it in first, "
            "with torch.nn.utils.parametrize.remove_parametrizations(layer, 'weight')"
        )
    weight = getattr(module, "weight", None)
    if parameter != "weight" or not isinstance(weight, nn.Parameter):
        raise ValueError(
            f"the model has no weight named {name!r}: "
            "masks must be those of a network of the same layers"
        )
    check_tensor(f"the mask of {name}", mask, "a tensor of 0 and 1")
    if mask.shape != weight.shape or not ((mask == 0) | (mask == 1)).all():
        raise ValueError(
            f"the mask of {name} must hold 0 and 1 in shape {tuple(weight.shape)}, "
            f"got {tuple(mask.shape)}"
        )


def masks(model: nn.Module) -> dict[str, Tensor]:
    """Return the masks of `model` by parameter name; empty if nothing was pruned."""
    check_model(model)
    return {
        f"{name}.weight": module.get_buffer("weight_mask")
        for name, module in model.named_modules()
        if _is_masked(module)
    }


def apply_masks(model: nn.Module) -> None:
    """Set the pruned weights of `model` to zero, in place."""
    check_model(model)
    for module in model.modules():
        if _is_masked(module):
            zero_pruned(module)


def sparsity(model: nn.Module) -> float:
    """Return the fraction of all convolution and FC weights that are zero, in [0, 1]."""
    zeros = total = 0
    for module in prunable(model).values():
        zeros += int((module.weight == 0).sum())
        total += module.weight.numel()
    return zeros / total


def drop_masks(model: nn.Module) -> nn.Module:
    """Return a copy without masks: zeros remain, but training may change them.

    Raises ValueError if a hook of PyTorch holds weights, such as a mask of `torch.nn.utils.prune`.
    """
    check_layers(model)
    reject_hooked_weights(model)
    unmasked = copy.deepcopy(model)
    apply_masks(unmasked)
    for module in unmasked.modules():
        if _is_masked(module):
            del module.weight_mask
            release(module)
    return unmasked


def make_permanent(model: nn.Module) -> nn.Module:
    """Return a plain copy for inference: pruned weights are zero, no masks, hooks or gradients."""
    return drop_masks(model).requires_grad_(False)


def reject_hooked_weights(model: nn.Module) -> None:
    """Raise ValueError if a hook of PyTorch holds a weight: such a model cannot be copied.

    They are those of `torch.nn.utils.prune`, `weight_norm` and `spectral_norm`.
    """
    for name, module in model.named_modules():
        for part, holder, remedy in _HOOKS:
            if hasattr(module, part):
                raise ValueError(f"torch.nn.utils.{holder} holds the weights of {name!r}: {remedy}")


def _is_masked(module: nn.Module) -> bool:
    """Return True if a mask of this package is on the module's weight.

    PyTorch's masks have the same name, but keep another parameter beside them.
    """
    return hasattr(module, "weight_mask") and not hasattr(module, "weight_orig")
