"""The papers' networks, as plain `torch.nn` modules."""

import math
from collections import OrderedDict

import torch
from torch import nn

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
    biases as PyTorch does; "pytorch" leaves both to PyTorch's own default (uniform).
    """
    check_model(model)
    check_number("seed", seed, whole=True)
    check_choice("initial weights", method, INITIAL_WEIGHTS)
    # A generator of its own: chains start side by side in threads, and PyTorch's global one is common to all of them.
    generator = torch.Generator().manual_seed(seed)
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    for layer in layers:  # as their own `reset_parameters` does
        nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
        if layer.bias is not None:
            bound = 1 / math.sqrt(layer.weight[0].numel())
            nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
    if method == "kaiming-normal":
        for layer in layers:
            nn.init.kaiming_normal_(layer.weight, generator=generator)
    return model


INITIAL_WEIGHTS = ("kaiming-normal", "pytorch")
