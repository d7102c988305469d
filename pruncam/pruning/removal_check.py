"""The check that a network with filters removed gives what it gives with them set to zero."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pruncam.pruning.coupling import Coupling, Group, silencing_tensors

# The largest relative difference that the order of sums in a network makes.
_ROUNDING = {torch.float64: 1e-11, torch.float32: 3e-4}


@dataclass(frozen=True)
class Removal:
    """Filters of a group that are removed; the channels of the group are those before any cut."""

    group: Group
    filters: Sequence[int]


def is_equivalent(
    original: nn.Module, smaller: nn.Module, removals: Sequence[Removal], images: Tensor
) -> bool:
    """Return whether `smaller` gives what `original` gives with these filters set to zero.

    Both run on `images` (N, C, H, W) with noise, in eval mode and, if they can, in float64: there
    also a branch that is scaled down to a millionth of the output counts.
    """
    zeroed, noisy = _exact_copy(original, images)
    for removal in removals:
        _silence(zeroed, removal)
    expected = _outputs(zeroed, noisy)
    del zeroed  # two copies in float64 need much memory
    return _gives(expected, copy.deepcopy(smaller).eval().to(noisy), noisy)


def _exact_copy(original: nn.Module, images: Tensor) -> tuple[nn.Module, Tensor]:
    """Return a copy in eval mode and images with noise for it, in float64 if it runs in that."""
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    noisy = images.detach() + noise.to(images)
    # Apple's GPUs have no float64.
    exact = noisy.cpu().double() if noisy.device.type == "mps" else noisy.double()
    model = copy.deepcopy(original).eval().to(exact)
    try:
        _outputs(model, exact)
    except (RuntimeError, TypeError):  # a forward pass that fixes its own type of numbers
        return copy.deepcopy(original).eval(), noisy
    return model, exact


@torch.no_grad()
def _outputs(model: nn.Module, images: Tensor) -> Tensor:
    devices = [images.device] if images.is_cuda else []
    with torch.inference_mode(False), torch.random.fork_rng(devices):
        torch.manual_seed(0)  # for forward passes that draw numbers
        return model(images)


def _silence(model: nn.Module, removal: Removal) -> None:
    """Set the filters and the terms of their BatchNorms to zero, in place."""
    filters = torch.tensor(removal.filters, dtype=torch.int64)
    for member in (*removal.group.layers.values(), *removal.group.norms):
        channels = member.channels[torch.isin(member.filters, filters)]
        for tensor in silencing_tensors(model.get_submodule(member.name)):
            tensor.data[channels.to(tensor.device)] = 0


def _gives(expected: Tensor, model: nn.Module, images: Tensor) -> bool:
    """Return whether a model gives the expected output, up to rounding."""
    try:
        actual = _outputs(model, images)
    except Exception:  # a network that is cut wrongly may fail in any way
        return False
    if expected.shape != actual.shape:
        return False
    tolerance = _ROUNDING.get(expected.dtype, 1e-3)
    difference = (actual - expected).abs().max()
    return bool(difference <= tolerance * expected.abs().max())


class _Trial:
    """A copy of a network from which filters are removed, group by group."""

    def __init__(self, original: nn.Module, example_input: Tensor) -> None:
        self._zeroed, self._images = _exact_copy(original, example_input)
        self._network = copy.deepcopy(self._zeroed)
        self._coupling = Coupling(self._network, self._images)

    def accepts(self, *removals: Removal) -> bool:
        """Remove filters; return whether the copy gives what it gives with all of them zeroed."""
        for removal in removals:
            _silence(self._zeroed, removal)
            if not self._coupling.remove(removal.group.first_name, removal.filters):
                return False
        expected = _outputs(self._zeroed, self._images)
        return _gives(expected, self._network, self._images)


def faulty_layers(
    original: nn.Module, removals: Sequence[Removal], example_input: Tensor
) -> list[str]:
    """Return the first layer of every group whose removal changes more than zeroed filters do."""
    if _Trial(original, example_input).accepts(*removals):
        return []
    faulty = []
    trial = _Trial(original, example_input)
    for removal in removals:
        if removal.filters and not trial.accepts(removal):
            faulty.append(removal.group.first_name)
            trial = _Trial(original, example_input)
    return faulty
