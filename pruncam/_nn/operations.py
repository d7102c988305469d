"""Kinds of layers and functions, for code that recognises the structure of a network."""

from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
WeightLayer = nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)

# Pooling with a window and a stride, and pooling to a given output size.
POOLS = (
    nn.MaxPool1d,
    nn.MaxPool2d,
    nn.MaxPool3d,
    nn.AvgPool1d,
    nn.AvgPool2d,
    nn.AvgPool3d,
)
ADAPTIVE_POOLS = (
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveAvgPool3d,
    nn.AdaptiveMaxPool1d,
    nn.AdaptiveMaxPool2d,
    nn.AdaptiveMaxPool3d,
)
POOLS_2D = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)

# Layers whose input and output, if of four dimensions, are (N, C, h, w).
CHANNELS_FIRST_LAYERS = (
    nn.Conv2d,
    nn.ConvTranspose2d,
    nn.BatchNorm2d,
    nn.SyncBatchNorm,
    nn.InstanceNorm2d,
    nn.GroupNorm,
    *POOLS_2D,
    nn.LPPool2d,
    nn.Dropout2d,
    nn.Upsample,
    nn.PixelShuffle,
    nn.PixelUnshuffle,
    nn.ZeroPad2d,
    nn.ReflectionPad2d,
    nn.ReplicationPad2d,
)

# Elementwise activations that map 0 to 0, and those that do not.
ZERO_PRESERVING_ACTIVATIONS = (
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.ELU,
    nn.SELU,
    nn.GELU,
    nn.SiLU,
    nn.Mish,
    nn.Hardswish,
    nn.Tanh,
)
OTHER_ACTIVATIONS = (nn.Sigmoid, nn.Softplus)

# Without effect in eval mode.
DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.Identity)

# Targets of the nodes of a torch.fx graph; a string is a method of a tensor. The activations map 0
# to 0.
ZERO_PRESERVING_FUNCTIONS: tuple[Any, ...] = (
    torch.relu,
    functional.relu,
    functional.relu6,
    functional.silu,
    functional.gelu,
    "relu",
    "relu_",
)
POOL_FUNCTIONS_2D: tuple[Any, ...] = (
    torch.max_pool2d,
    functional.max_pool2d,
    functional.avg_pool2d,
    functional.adaptive_avg_pool2d,
    functional.adaptive_max_pool2d,
)


def flattens_per_image(node: fx.Node, module: nn.Module | None = None) -> bool:
    """Return whether a node flattens all dimensions but the first, by a layer or a function.

    `module` is the layer that the node calls, if it calls one. Calls of `view` and `reshape` are
    left to the caller: they may depend on sizes computed elsewhere.
    """
    if isinstance(module, nn.Flatten):
        return (module.start_dim, module.end_dim) == (1, -1)
    if node.target in (torch.flatten, "flatten"):
        return node.args[1:] == (1,) or node.kwargs == {"start_dim": 1}
    return False
