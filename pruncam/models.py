"""The papers' networks, as plain `torch.nn` modules."""

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from pruncam.choices import check_choice, check_model, check_number
from pruncam.pruning import drop_masks


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


def cifar_net(classes: int = 10, *, width: int = 128) -> nn.Sequential:
    """The network of the Sp2PS and complexity papers for 3x32x32 images (Sp2PS, Figure 3a): `width` first filters.

    Seven 3x3 convolutions with BatchNorm (no affine parameters) and ReLU, the last without padding; 9.3 million
    parameters at width 128.
    """
    blocks = [[width, width], [2 * width, 2 * width], [4 * width, 4 * width]]
    return _plain(blocks, [8 * width], classes)


def stl_net(classes: int = 10, *, width: int = 32) -> nn.Sequential:
    """The network of the Sp2PS and complexity papers for 3x96x96 images (Sp2PS, Figure 3b): `width` first filters.

    Six 3x3 convolutions with BatchNorm (no affine parameters) and ReLU, the last two without padding.
    """
    blocks = [[width], [2 * width], [4 * width], [4 * width]]
    return _plain(blocks, [8 * width, 8 * width], classes)


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
    """VGG11 as the PE-score paper prunes it (Section 4; Simonyan & Zisserman 2015), in torchvision's layout.

    Eight 3x3 convolutions of `width` to 8 `width` filters, ReLU, five 2x2 maxima, two hidden FC layers with `dropout`.
    State dicts are those of `torchvision.models.vgg11` (`vgg11_bn` with `batch_norm`), at the default widths of the
    same shapes. For images under 224x224 there is one difference: torchvision always blows the last map up to 7x7
    before the FC layers; here it keeps its own size, `image_size` // 32 (1x1 for 32x32 images), 7x7 at most.

    Raises TypeError or ValueError if a number is none or too small; `image_size` must be at least 32.
    """
    for name, value in {"classes": classes, "width": width, "classifier_width": classifier_width}.items():
        check_number(name, value, whole=True, at_least=1)
    check_number("in_channels", in_channels, whole=True, at_least=1)
    check_number("image_size", image_size, whole=True, at_least=32)
    check_number("dropout", dropout)
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout is the share of neurons that are left out in training, in [0, 1), got {dropout}")
    layers, channels = [], in_channels
    for block in ([1], [2], [4, 4], [8, 8], [8, 8]):
        for filters in (factor * width for factor in block):
            norm = [nn.BatchNorm2d(filters)] if batch_norm else []
            layers += [nn.Conv2d(channels, filters, 3, padding=1), *norm, nn.ReLU(inplace=True)]
            channels = filters
        layers.append(nn.MaxPool2d(2))
    grid, hidden = min(7, image_size // 32), classifier_width
    head = [nn.Linear(channels * grid**2, hidden), nn.ReLU(inplace=True), nn.Dropout(dropout)]
    head += [nn.Linear(hidden, hidden), nn.ReLU(inplace=True), nn.Dropout(dropout), nn.Linear(hidden, classes)]
    parts = {"features": nn.Sequential(*layers), "avgpool": nn.AdaptiveAvgPool2d(grid), "flatten": nn.Flatten()}
    return nn.Sequential(OrderedDict(parts | {"classifier": nn.Sequential(*head)}))


def _plain(blocks: list[list[int]], last: list[int], classes: int) -> nn.Sequential:
    """Blocks of convolutions, each closed by a 2x2 maximum; those of the `last` block have no padding."""
    check_number("classes", classes, whole=True, at_least=1)
    check_number("width", blocks[0][0], whole=True, at_least=1)
    layers, channels = [], 3
    for block, padding in [(block, 1) for block in blocks] + [(last, 0)]:
        for filters in block:
            convolution = nn.Conv2d(channels, filters, 3, padding=padding)
            layers += [convolution, nn.BatchNorm2d(filters, affine=False), nn.ReLU()]
            channels = filters
        layers.append(nn.MaxPool2d(2))
    parts = {"features": nn.Sequential(*layers), "flatten": nn.Flatten(), "classifier": nn.Linear(channels, classes)}
    return nn.Sequential(OrderedDict(parts))


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


@torch.no_grad()
def randomized(model: nn.Module, seed: int) -> nn.Module:
    """A copy of `model` that has learned nothing: every layer draws new weights by its own rule, masks are off.

    Statistics of BatchNorm are those of a new layer; the global random state is left as it was.

    Raises ValueError if a layer holds weights and does not know how to draw them (it has no `reset_parameters`).
    """
    check_model(model)
    check_number("seed", seed, whole=True)
    fresh = drop_masks(model)
    placed = next((parameter.device for parameter in fresh.parameters()), torch.device("cpu"))
    fresh.cpu()  # drawn there, so that every device gets the same
    for name, layer in fresh.named_modules():
        if list(layer.parameters(recurse=False)) and not hasattr(layer, "reset_parameters"):
            where = name or "the model itself"
            raise ValueError(f"cannot draw new weights for {where}: {type(layer).__name__} has no reset_parameters")
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed)
        for layer in fresh.modules():
            if hasattr(layer, "reset_parameters"):
                layer.reset_parameters()
    return initialize(fresh, "pytorch", seed).to(placed)


INITIAL_WEIGHTS = ("kaiming-normal", "pytorch")
