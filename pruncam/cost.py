"""What a network costs: parameters and floating-point operations, by the equations of the Sp2PS paper."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor, nn

from pruncam.cams.passes import placed_like
from pruncam.choices import is_number, shown
from pruncam.forward import as_evaluated, first_logits

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_POOLS = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
_COLUMNS = ("layer", "kind", "output", "parameters", "nonzero", "flops")


@dataclass(frozen=True)
class Cost:
    """A network's parameters, those of them that are not zero, the FLOPs of one image, and all three by layer.

    `layers` has a row per application of a layer with a cost: `layer`, `kind`, `output` (shape without the batch),
    `parameters`, `nonzero`, `flops`. Parameters that are used twice count in the first row alone; those that no layer
    call shows, as in attention, come last.
    """

    parameters: int
    nonzero: int
    flops: int
    layers: pd.DataFrame


def count(model: nn.Module, input_shape: Sequence[int]) -> Cost:
    """Parameters and FLOPs of `model` for one image of shape (C, H, W).

    Convolution: (k W H C) + k parameters, 2 (W H C) (Wo Ho Co) FLOPs; FC: in out + out, 2 in out; pooling:
    (Wo / S) (Ho / S) Co, S its stride (Sp2PS, Eqs. 1-5; C is per group, without a bias the last summand is missing).
    Anything else, such as BatchNorm or attention, counts with its parameters and without FLOPs. Unstructured pruning
    lowers `nonzero` and nothing else: on dense hardware a zero is multiplied as any other number.

    Raises TypeError if the model is no network, ValueError if the shape is none or does not fit the model.

    Examples
    --------
    >>> cost = count(nn.Sequential(nn.Conv2d(3, 128, 3, padding=1), nn.Flatten(), nn.Linear(2**17, 10)), (3, 32, 32))
    >>> print(cost.layers["parameters"][0], cost.layers["flops"][0])  # the paper's example
    3584 7077888
    """
    if not isinstance(input_shape, Sequence) or not input_shape or not all(_is_size(size) for size in input_shape):
        raise ValueError(f"input_shape must be one image's shape, such as (3, 32, 32), got {shown(input_shape)}")
    rows, counted = [], set()
    with as_evaluated(model):
        names = {module: name for name, module in model.named_modules()}

        def note(module: nn.Module, inputs: tuple, output: object) -> None:
            row = _row(module, output, counted)
            if row:
                rows.append({"layer": names[module]} | row)

        handles = [module.register_forward_hook(note) for module in names]
        try:
            first_logits(model, placed_like(model, torch.zeros(2, *input_shape)))  # two: for BatchNorm in any mode
        finally:
            for handle in handles:
                handle.remove()
        rows += [{"layer": name} | row for module, name in names.items() if (row := _row(module, None, counted))]
    layers = pd.DataFrame(rows, columns=_COLUMNS)
    return Cost(*(int(layers[name].sum()) for name in ("parameters", "nonzero", "flops")), layers)


def _is_size(size: object) -> bool:
    return is_number(size, whole=True) and size >= 1


def _row(module: nn.Module, output: object, counted: set[int]) -> dict | None:
    """One application of a layer, its parameters unless they are `counted`; None where there is nothing to count."""
    own = [weight for key, weight in _weights(module).items() if key not in counted]
    counted.update(_weights(module))
    shape = tuple(output.shape[1:]) if isinstance(output, Tensor) else ()
    flops = _flops(module, shape) if shape else 0
    if not (own or flops):
        return None
    return {
        "kind": type(module).__name__,
        "output": "x".join(str(size) for size in shape),
        "parameters": sum(weight.numel() for weight in own),
        "nonzero": sum(int(weight.count_nonzero()) for weight in own),
        "flops": flops,
    }


def _weights(module: nn.Module) -> dict[int, Tensor]:
    """A layer's own parameters by identity; of one that `torch.nn.utils.prune` holds, what its forward pass uses."""
    found = {}
    for name, parameter in module.named_parameters(recurse=False):
        held = name.endswith("_orig") and f"{name[:-5]}_mask" in module._buffers
        found[id(parameter)] = getattr(module, name[:-5]) if held else parameter
    return found


def _flops(module: nn.Module, shape: tuple[int, ...]) -> int:
    if isinstance(module, _CONVOLUTIONS):
        return 2 * module.weight[0].numel() * math.prod(shape)
    if isinstance(module, nn.Linear):
        return 2 * module.weight.shape[1] * math.prod(shape)
    if isinstance(module, _POOLS):
        strides = module.stride if isinstance(module.stride, tuple) else (module.stride,) * (len(shape) - 1)
        return round(math.prod(shape) / math.prod(strides))
    return 0
