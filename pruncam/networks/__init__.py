"""The papers' networks, their initial weights, and trained reference networks."""

from pruncam.networks.architectures import cifar_net, mnist_net, stl_net, vgg11
from pruncam.networks.initialization import INITIAL_WEIGHTS, initialize, randomized
from pruncam.networks.reference import Card, card, load, names

__all__ = [
    "INITIAL_WEIGHTS",
    "Card",
    "card",
    "cifar_net",
    "initialize",
    "load",
    "mnist_net",
    "names",
    "randomized",
    "stl_net",
    "vgg11",
]
