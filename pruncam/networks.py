"""The papers' networks, as plain `torch.nn` modules."""

import math
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from pruncam._core.validation import check_choice, check_model, check_number
from pruncam.pruning import drop_masks

INITIAL_WEIGHTS = ("kaiming-normal", "pytorch")


def mnist_net() -> nn.Sequential:
    """Return the thesis's network for 1x28x28 images and 10 classes (thesis, Figure 2.2).

    It has 2,324 prunable weights. Layers have names, by which a target layer can be given: "conv2"
    is the last convolution, "relu2" its ReLU.
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


def cifar_net(classes: int = 10, *, width: int = 128) -> nn.Sequential:
    """Return the network of the Sp2PS and complexity papers for 3x32x32 images.

    Seven 3x3 convolutions with BatchNorm (no affine parameters) and ReLU, the last without padding
    (Sp2PS, Figure 3a). The first convolution has `width` filters; with 128 the network has 9.3
    million parameters. Raises TypeError or ValueError if a number is not whole or too small.
    """
    blocks = [
        [width, width],
        [2 * width, 2 * width],
        [4 * width, 4 * width],
    ]
    return _batch_norm_net(blocks, [8 * width], classes)


def stl_net(classes: int = 10, *, width: int = 32) -> nn.Sequential:
    """Return the network of the Sp2PS and complexity papers for 3x96x96 images.

    Six 3x3 convolutions with BatchNorm (no affine parameters) and ReLU, the last two without
    padding (Sp2PS, Figure 3b). The first convolution has `width` filters. Raises TypeError or
    ValueError if a number is not whole or too small.
    """
    blocks = [
        [width],
        [2 * width],
        [4 * width],
        [4 * width],
    ]
    return _batch_norm_net(blocks, [8 * width, 8 * width], classes)


def _batch_norm_net(
    padded_blocks: list[list[int]],
    last_block: list[int],
    classes: int,
) -> nn.Sequential:
    """Build a network from the filters of each block; every block ends in 2x2 max pooling."""
    check_number("classes", classes, whole=True, at_least=1)
    check_number("width", padded_blocks[0][0], whole=True, at_least=1)
    layers: list[nn.Module] = []
    channels = 3
    for block in (*padded_blocks, last_block):
        padding = 0 if block is last_block else 1
        for filters in block:
            layers.append(nn.Conv2d(channels, filters, 3, padding=padding))
            layers.append(nn.BatchNorm2d(filters, affine=False))
            layers.append(nn.ReLU())
            channels = filters
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(
        OrderedDict(
            features=nn.Sequential(*layers),
            flatten=nn.Flatten(),
            classifier=nn.Linear(channels, classes),
        )
    )


def vgg11(
    classes: int = 10,
    *,
    image_size: int = 224,
    width: int = 64,
    classifier_width: int = 4096,
    in_channels: int = 3,
    batch_norm: bool = False,
    dropout: float = 0.5,
) -> nn.Sequential:
    """Return VGG11 as the PE-score paper prunes it, in torchvision's layout.

    Eight 3x3 convolutions of `width` to 8 `width` filters with ReLU, five 2x2 max poolings, two
    hidden FC layers with `dropout` (PE-score, Section 4; Simonyan & Zisserman 2015).

    The names in the state dict are those of `torchvision.models.vgg11` (`vgg11_bn` with
    `batch_norm`); at the default widths so are the shapes. For images below 224x224 there is one
    difference: torchvision always enlarges the last map to 7x7 before the FC layers; here it keeps
    its size, `image_size` // 32 (1x1 for 32x32 images), at most 7x7.

    Raises TypeError or ValueError if a number is not whole or too small (`image_size` must be at
    least 32), or if `dropout` is outside [0, 1).
    """
    check_number("classes", classes, whole=True, at_least=1)
    check_number("width", width, whole=True, at_least=1)
    check_number("classifier_width", classifier_width, whole=True, at_least=1)
    check_number("in_channels", in_channels, whole=True, at_least=1)
    check_number("image_size", image_size, whole=True, at_least=32)
    check_number("dropout", dropout)
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout must be in [0, 1), got {dropout}")
    grid = min(7, image_size // 32)
    hidden = classifier_width
    return nn.Sequential(
        OrderedDict(
            features=_vgg11_features(in_channels, width, batch_norm),
            avgpool=nn.AdaptiveAvgPool2d(grid),
            flatten=nn.Flatten(),
            classifier=nn.Sequential(
                nn.Linear(8 * width * grid**2, hidden),
                nn.ReLU(inplace=True),
                nn.Dropout(dropout),
                nn.Linear(hidden, hidden),
                nn.ReLU(inplace=True),
                nn.Dropout(dropout),
                nn.Linear(hidden, classes),
            ),
        )
    )


def _vgg11_features(in_channels: int, width: int, batch_norm: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    channels = in_channels
    for block in ([1], [2], [4, 4], [8, 8], [8, 8]):
        for factor in block:
            filters = factor * width
            layers.append(nn.Conv2d(channels, filters, 3, padding=1))
            if batch_norm:
                layers.append(nn.BatchNorm2d(filters))
            layers.append(nn.ReLU(inplace=True))
            channels = filters
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


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
    check_model(model)
    check_number("seed", seed, whole=True)
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
    layer. The global random state stays as it was.

    Raises ValueError if a layer has weights but no `reset_parameters` method.
    """
    check_model(model)
    check_number("seed", seed, whole=True)
    copy = drop_masks(model)
    first = next(copy.parameters(), None)
    device = torch.device("cpu") if first is None else first.device
    copy.cpu()  # drawn there, so that every device gets the same numbers
    for name, layer in copy.named_modules():
        if list(layer.parameters(recurse=False)) and not hasattr(layer, "reset_parameters"):
            kind = type(layer).__name__
            raise ValueError(
                f"cannot draw new weights for {name or 'the model itself'}: "
                f"{kind} has no reset_parameters"
            )
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed)
        for layer in copy.modules():
            reset = getattr(layer, "reset_parameters", None)
            if reset is not None:
                reset()
    return initialize(copy, "pytorch", seed).to(device)
