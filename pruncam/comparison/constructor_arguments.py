"""The sizes that a checkpoint gives its network: numbers of classes and of input channels.

They are not read from the order of layers or names. The network is built twice with different
values of an argument: the tensors whose shape changes are those that it decides, and their shapes
in the checkpoint give its value.
"""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from pruncam.comparison.checkpoints import Checkpoint
from pruncam.comparison.constructors import Constructor
from pruncam.comparison.weight_names import find_weights

# Names of an argument, and the two values that are tried.
_ARGUMENTS = ((("num_classes", "classes"), (7, 11)), (("in_channels", "in_chans"), (3, 4)))

Shapes = Mapping[str, torch.Size]


def size_arguments(
    constructor: Constructor,
    checkpoint: Checkpoint,
    facts: Mapping[str, Any],
    location: str | None = None,
) -> dict[str, int]:
    """Return the arguments of a constructor that the checkpoint decides, by name.

    `facts` are its other arguments, `location` is that of `find_weights`. Arguments that cannot be
    told are left out. Raises ValueError if the checkpoint has other names than the network.
    """
    decided: dict[str, int] = {}
    for names, values in _ARGUMENTS:
        accepted = [name for name in names if name in constructor.parameters]
        if not accepted:
            continue
        try:
            outlines = [
                constructor.outline({**facts, **decided, **dict.fromkeys(accepted, value)})
                for value in values
            ]
        except ValueError:
            continue  # it takes no such values: its default decides
        names_of_state = outlines[0].keys()
        if names_of_state != outlines[1].keys():
            continue
        state = find_weights(checkpoint, names_of_state, location).state
        size = _decided_size(outlines, values, state)
        if size is not None:
            decided |= dict.fromkeys(accepted, size)
    return decided


def _decided_size(
    outlines: list[Shapes],
    values: tuple[int, int],
    state: Mapping[str, Tensor],
) -> int | None:
    """Return the value of an argument in the network of a state dict; None if unclear.

    `outlines` are the shapes of the network's tensors at both values.
    """
    first, second = outlines
    sizes = set()
    for name in first:
        if name not in state or len(first[name]) != state[name].ndim:
            continue
        for axis, (low, high) in enumerate(zip(first[name], second[name], strict=True)):
            if low != high:
                sizes.add(_solve(values, (low, high), state[name].shape[axis]))
    (size,) = sizes if len(sizes) == 1 else (None,)
    return int(size) if size is not None and size.denominator == 1 and size > 0 else None


def _solve(values: tuple[int, int], sizes: tuple[int, int], size: int) -> Fraction:
    """Return the value that gives a size, of which two values give two sizes, linearly."""
    slope = Fraction(sizes[1] - sizes[0], values[1] - values[0])
    return values[0] + (size - sizes[0]) / slope
