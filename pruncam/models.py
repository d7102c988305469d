"""The papers' networks, as plain `torch.nn` modules."""

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from pruncam.choices import check_choice, check_model, check_number


def mnist_net() -> nn.Sequential:
    """The thesis's network for 1x28x28 images and 10 classes: 2,324 prunable weights (thesis, Figure 2.2).

    Layers are named, so that a target layer can be given by name: "conv2" is the last convolution, "relu2" its ReLU.
    """
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(1, 4, 3),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(4, 8, 3),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            fc=nn.Linear(200, 10),
        )
    )


@torch.no_grad()
def initialize(model: nn.Module, method: str, seed: int) -> nn.Module:
    """Draw the conv and FC weights and biases of `model` anew, in place, from one seed; returns the model.

    "kaiming-normal" draws conv and FC weights as OpenLTH does by default (He et al. 2015, fan-in, gain of a ReLU) and
    biases as PyTorch does; "pytorch" leaves both to PyTorch's own default (uniform). Numbers are drawn in float64 and
    rounded: in float32 PyTorch draws other last bits on other processors.
    """
    check_model(model)
    check_number("seed", seed, whole=True)
    check_choice("initial weights", method, INITIAL_WEIGHTS)
    # A generator of its own: chains start side by side in threads, and PyTorch's global one is common to all of them.
    generator = torch.Generator().manual_seed(seed)
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    for layer in layers:  # as their own `reset_parameters` does
        _draw(layer.weight, nn.init.kaiming_uniform_, a=math.sqrt(5), generator=generator)
        if layer.bias is not None:
            bound = 1 / math.sqrt(layer.weight[0].numel())
            _draw(layer.bias, nn.init.uniform_, a=-bound, b=bound, generator=generator)
    if method == "kaiming-normal":
        for layer in layers:
            _draw(layer.weight, nn.init.kaiming_normal_, generator=generator)
    return model


def _draw(parameter: nn.Parameter, distribution: Callable[..., Tensor], **arguments: Any) -> None:
    parameter.copy_(distribution(torch.empty(parameter.shape, dtype=torch.float64), **arguments))


INITIAL_WEIGHTS = ("kaiming-normal", "pytorch")
