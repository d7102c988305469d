"""The papers' networks, as plain `torch.nn` modules."""

from collections import OrderedDict

import torch
from torch import nn

from pruncam.choices import check_choice


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
    """Draw every weight of `model` anew, in place, from one seed; returns the model.

    "kaiming-normal" draws conv and FC weights as OpenLTH does by default (He et al. 2015, fan-in, gain of a ReLU) and
    biases as PyTorch does; "pytorch" leaves both to PyTorch's own default (uniform).
    """
    check_choice("initial weights", method, INITIAL_WEIGHTS)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in model.modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
        if method == "kaiming-normal":
            for module in model.modules():
                if isinstance(module, nn.Conv2d | nn.Linear):
                    nn.init.kaiming_normal_(module.weight)
    return model


INITIAL_WEIGHTS = ("kaiming-normal", "pytorch")
