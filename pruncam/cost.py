"""Cost of a network: parameters and floating-point operations, by the equations of Sp2PS."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from pruncam._core.validation import is_number, short_repr
from pruncam._nn.operations import CONVOLUTIONS, POOLS
from pruncam._nn.probe import LayerCall, profile_forward

_COLUMNS = ["layer", "kind", "output", "parameters", "nonzero", "flops"]


@dataclass(frozen=True)
class Cost:
    """Parameters, nonzero parameters and FLOPs of a network for one image, in total and by layer.

    `layers` has a row for each application of a layer with a cost: `layer`, `kind`, `output` (shape
    without the batch), `parameters`, `nonzero`, `flops`. Parameters that are used twice count in
    the first row only. Those that no layer call shows, as in attention, come last.
    """

    parameters: int
    nonzero: int
    flops: int
    layers: pd.DataFrame


def count(model: nn.Module, input_shape: Sequence[int]) -> Cost:
    """Return the parameters and FLOPs of `model` for one image of shape (C, H, W).

    A convolution has (k W H C) + k parameters and 2 (W H C) (Wo Ho Co) FLOPs, an FC layer
    in out + out and 2 in out; pooling has (Wo / S) (Ho / S) Co FLOPs, S its stride (Sp2PS, Eqs.
    1-5; C is per group; without a bias the last term is missing). Other layers, such as BatchNorm
    or attention, count with their parameters and without FLOPs. Unstructured pruning lowers
    `nonzero` only: on dense hardware a zero is multiplied like any other number.

    Raises TypeError if `model` is not a module, ValueError if `input_shape` is not the shape of an
    image that the model can process.

    Examples
    --------
    >>> model = nn.Sequential(nn.Conv2d(3, 128, 3, padding=1), nn.Flatten(), nn.Linear(2**17, 10))
    >>> cost = count(model, (3, 32, 32))
    >>> print(cost.layers["parameters"][0], cost.layers["flops"][0])  # the paper's example
    3584 7077888
    """
    if not _is_shape(input_shape):
        raise ValueError(
            "input_shape must be one image's shape, such as (3, 32, 32), "
            f"got {short_repr(input_shape)}"
        )
    layers = pd.DataFrame(_rows(model, input_shape), columns=_COLUMNS)
    return Cost(
        parameters=int(layers["parameters"].sum()),
        nonzero=int(layers["nonzero"].sum()),
        flops=int(layers["flops"].sum()),
        layers=layers,
    )


def _is_shape(shape: object) -> bool:
    if not isinstance(shape, Sequence) or not shape:
        return False
    return all(is_number(size, whole=True) and size >= 1 for size in shape)


def _rows(model: nn.Module, input_shape: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Iterate over the layer calls with a cost, then over the layers that were not called."""
    try:
        images = torch.zeros(2, *input_shape)  # two: a BatchNorm may need more than one
    except (RuntimeError, TypeError) as error:  # TypeError: beyond 64 bits
        raise ValueError(
            f"input_shape {short_repr(input_shape)} is too large for the memory"
        ) from error
    counted: set[int] = set()
    calls = profile_forward(model, images).calls
    for name, module in model.named_modules():
        calls.append(LayerCall(name, module, output_shape=None, bytes_held=0))
    for call in calls:
        module = call.module
        shape = () if call.output_shape is None else tuple(call.output_shape[1:])
        weights = _weights(module)
        new = [weight for key, weight in weights.items() if key not in counted]
        counted.update(weights)
        flops = _flops(module, shape) if shape else 0
        if new or flops:
            yield {
                "layer": call.name,
                "kind": type(module).__name__,
                "output": "x".join(str(size) for size in shape),
                "parameters": sum(weight.numel() for weight in new),
                "nonzero": sum(int(weight.count_nonzero()) for weight in new),
                "flops": flops,
            }


def _weights(module: nn.Module) -> dict[int, Tensor]:
    """Return the parameters of a layer itself, by identity.

    Of a parameter masked by `torch.nn.utils.prune`, the masked weight counts.
    """
    weights = {}
    for name, parameter in module.named_parameters(recurse=False):
        base = name.removesuffix("_orig")
        masked = base != name and f"{base}_mask" in module._buffers
        weights[id(parameter)] = getattr(module, base) if masked else parameter
    return weights


def _flops(module: nn.Module, shape: tuple[int, ...]) -> int:
    """Return the FLOPs of one application; `shape` is that of the output without the batch."""
    if isinstance(module, CONVOLUTIONS):
        return 2 * module.weight[0].numel() * math.prod(shape)
    if isinstance(module, nn.Linear):
        return 2 * module.weight.shape[1] * math.prod(shape)
    if isinstance(module, POOLS):
        stride = module.stride
        dimensions = len(shape) - 1
        strides = stride if isinstance(stride, tuple) else (stride,) * dimensions
        return round(math.prod(shape) / math.prod(strides))
    return 0
