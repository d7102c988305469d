"""The papers' networks, as plain `torch.nn` modules."""

from collections import OrderedDict

from torch import nn

from pruncam._core.validation import check_flag, check_number, short_repr

_MOST_FILTERS = 2**16  # of a layer: more are a mistake


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
    _check_sizes(classes=classes, width=width)
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
    _check_sizes(classes=classes, width=width)
    blocks = [
        [width],
        [2 * width],
        [4 * width],
        [4 * width],
    ]
    return _batch_norm_net(blocks, [8 * width, 8 * width], classes)


def _check_sizes(**sizes: int) -> None:
    """Raise TypeError or ValueError unless all sizes are whole numbers of layers that can be."""
    for name, size in sizes.items():
        check_number(name, size, whole=True, at_least=1)
        if size > _MOST_FILTERS:
            raise ValueError(f"{name} must be at most {_MOST_FILTERS:,}, got {short_repr(size)}")


def _batch_norm_net(
    padded_blocks: list[list[int]],
    last_block: list[int],
    classes: int,
) -> nn.Sequential:
    """Build a network from the filters of each block; every block ends in 2x2 max pooling."""
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
    _check_sizes(
        classes=classes, width=width, classifier_width=classifier_width, in_channels=in_channels
    )
    check_number("image_size", image_size, whole=True, at_least=32)
    check_flag("batch_norm", batch_norm)
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
