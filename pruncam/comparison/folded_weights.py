"""Weights as the forward pass uses them: masks and normalisations of PyTorch are multiplied in.

`torch.nn.utils.prune`, `weight_norm` and `spectral_norm` store a weight in parts, whose names are
those of hooks (`weight_g`) or of parametrizations (`parametrizations.weight.original0`).
"""

import re
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune, remove_spectral_norm, remove_weight_norm

Combine = Callable[..., Tensor]


def fold(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dict in which a single tensor replaces the parts of each weight.

    Weights that are in one part, or in parts of an unknown kind, stay as they are.
    """
    folded: dict[str, Tensor] = {}
    parts_used: set[str] = set()
    for name in state:
        for suffixes, combine in _KINDS:
            weight = _weight_name(name, suffixes[0])
            if weight is None:
                continue
            parts = [_part_name(weight, suffix) for suffix in suffixes]
            if all(part in state for part in parts):
                folded[weight] = combine(*(state[part] for part in parts))
                parts_used |= set(parts)
                break
    unfolded = {name: value for name, value in state.items() if name not in parts_used}
    return unfolded | folded


def make_plain(network: nn.Module) -> nn.Module:
    """Replace the parts of each weight of `network` by the weight itself, and return the network.

    In eval mode, so that the vectors of `spectral_norm` stay.
    """
    network.eval()
    for module in network.modules():
        if parametrize.is_parametrized(module):
            for name in list(module.parametrizations):
                parametrize.remove_parametrizations(module, name)
        for name in [key.removesuffix("_mask") for key, _ in module.named_buffers(recurse=False)]:
            if hasattr(module, f"{name}_orig") and hasattr(module, f"{name}_mask"):
                prune.remove(module, name)
        if hasattr(module, "weight_g"):
            remove_weight_norm(module)
        if hasattr(module, "weight_u"):
            remove_spectral_norm(module)
    return network


def _weight_name(part: str, suffix: str) -> str | None:
    """Return the name of the weight of which this is the part with the suffix; None if it is not.

    Examples
    --------
    >>> _weight_name("conv1.parametrizations.weight.original0", "parametrizations.{}.original0")
    'conv1.weight'
    """
    before, after = suffix.split("{}")
    match = re.fullmatch(rf"(.*\.)?{re.escape(before)}([^.]+){re.escape(after)}", part)
    return None if match is None else f"{match[1] or ''}{match[2]}"


def _part_name(weight: str, suffix: str) -> str:
    layer, dot, parameter = weight.rpartition(".")
    return f"{layer}{dot}{suffix.format(parameter)}"


def _masked(original: Tensor, mask: Tensor) -> Tensor:
    return original * mask


def _weight_normed(length: Tensor, direction: Tensor) -> Tensor:
    """Return the direction at this length, of each slice or of the whole (Salimans 2016, Eq. 2)."""
    if length.ndim == 0:
        return length * direction / direction.norm()
    axes = [axis for axis in range(direction.ndim) if length.shape[axis] == 1]
    if direction.shape[0] == 1:
        axes = [axis for axis in axes if axis > 0]  # a single slice
    norm = torch.linalg.vector_norm(direction, dim=axes, keepdim=True)
    return length * direction / norm


def _spectral_normed(original: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Return the weight divided by its largest singular value (Miyato et al. 2018, Eq. 8)."""
    # The rows are filters; those of a transposed convolution are in the second dimension.
    is_transposed = original.shape[0] != len(left)
    rows = original.transpose(0, 1) if is_transposed else original
    largest = torch.dot(left, rows.flatten(1) @ right)
    return original / largest


_KINDS: tuple[tuple[tuple[str, ...], Combine], ...] = (
    (("{}_orig", "{}_mask"), _masked),
    (("{}_g", "{}_v"), _weight_normed),
    (("parametrizations.{}.original0", "parametrizations.{}.original1"), _weight_normed),
    (("{}_orig", "{}_u", "{}_v"), _spectral_normed),
    (
        (
            "parametrizations.{}.original",
            "parametrizations.{}.0._u",
            "parametrizations.{}.0._v",
        ),
        _spectral_normed,
    ),
)
