"""Initial weights, drawn from one seed and the same on every processor."""

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from pruncam._core.validation import check_choice, check_layers, check_seed
from pruncam.pruning import drop_masks

INITIAL_WEIGHTS = ("kaiming-normal", "pytorch")


@torch.no_grad()
def initialize(model: nn.Module, method: str, seed: int) -> nn.Module:
    """Draw new conv and FC weights and biases of `model` from one seed, in place; return the model.

    "kaiming-normal" draws weights as OpenLTH does by default (He et al. 2015, fan-in, gain of a
    ReLU) and biases as PyTorch does. "pytorch" draws both as PyTorch does by default (uniform).
    Numbers are drawn in float64 and rounded: in float32 PyTorch draws different last bits on
    different CPUs.

    Raises TypeError or ValueError if `model` is not a module, `method` is not known or `seed` is
    not a whole number.
    """
    check_layers(model)
    seed = check_seed(seed)
    check_choice("initial weights", method, INITIAL_WEIGHTS)
    # Not PyTorch's global generator, which is common to all threads.
    generator = torch.Generator().manual_seed(seed)
    draw = partial(_draw, generator=generator)
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    for layer in layers:  # as `reset_parameters` does
        draw(layer.weight, nn.init.kaiming_uniform_, a=math.sqrt(5))
        if layer.bias is not None:
            bound = 1 / math.sqrt(layer.weight[0].numel())
            draw(layer.bias, nn.init.uniform_, a=-bound, b=bound)
    if method == "kaiming-normal":
        for layer in layers:
            draw(layer.weight, nn.init.kaiming_normal_)
    return model


def _draw(parameter: Tensor, distribution: Callable[..., Tensor], **arguments: Any) -> None:
    """Draw `parameter` in float64 and round it, in place."""
    values = torch.empty(parameter.shape, dtype=torch.float64)
    distribution(values, **arguments)
    parameter.copy_(values)


@torch.no_grad()
def randomized(model: nn.Module, seed: int) -> nn.Module:
    """Return an untrained copy of `model`: new random weights in every layer, and no masks.

    Every layer draws its weights by its own rule; the statistics of BatchNorm are those of a new
    layer. Parameters of a module without such a rule (`reset_parameters`), as the class token and
    the positions of a transformer, get their own values in random order. The global random state
    stays as it was.
    """
    check_layers(model)
    seed = check_seed(seed)
    copy = drop_masks(model)
    first = next(copy.parameters(), None)
    device = torch.device("cpu") if first is None else first.device
    copy.cpu()  # drawn there, so that every device gets the same numbers
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed)
        for layer in copy.modules():
            reset = getattr(layer, "reset_parameters", None)
            if reset is not None:
                reset()
            else:
                _shuffle(layer.parameters(recurse=False), generator)
    return initialize(copy, "pytorch", seed).to(device)


def _shuffle(parameters: Iterable[Tensor], generator: torch.Generator) -> None:
    """Put the values of each parameter into random order, in place."""
    for parameter in parameters:
        order = torch.randperm(parameter.numel(), generator=generator)
        parameter.copy_(parameter.flatten()[order].view_as(parameter))
