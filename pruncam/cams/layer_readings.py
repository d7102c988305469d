"""The outputs at which the last convolutions of a network can be read."""

from collections.abc import Iterator

from torch import Tensor, nn

from pruncam._nn.operations import (
    BATCH_NORMS,
    OTHER_ACTIVATIONS,
    POOLS_2D,
    ZERO_PRESERVING_ACTIVATIONS,
)
from pruncam._nn.probe import ForwardProfile, profile_forward
from pruncam.cams.validation import check_images

# Kinds of layers that follow a convolution, in the order in which they are looked for.
_FOLLOWERS: tuple[tuple[str, tuple[type[nn.Module], ...]], ...] = (
    ("its BatchNorm", BATCH_NORMS),
    ("its ReLU", (nn.ReLU, nn.ReLU6)),
    ("its activation", (*ZERO_PRESERVING_ACTIVATIONS, *OTHER_ACTIVATIONS)),
    ("its pool", POOLS_2D),
)
_WEIGHTED = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


def readings(model: nn.Module, image: Tensor) -> dict[str, str]:
    """Return the outputs at which the last two sizes of feature map can be read, by plain labels.

    They are those of the convolution applied last and of the last convolution of a larger size
    before it, each as it is, after its BatchNorm, after its ReLU (or other activation) and after
    its pool, as far as they are modules with a map of more than one cell. A layer that was called
    before is named by the block that returns its output (the last ReLU of a ResNet:
    "layer4.1"); a block that ends in a function, such as a sum, follows as "its block".

    Parameters
    ----------
    model : classifier
    image : tensor (1, C, H, W), as for `heatmaps`

    Returns
    -------
    dict of dotted names by label
        Each name is a `target_layer` for `heatmaps`. Labels hold the size of the map. The
        convolution applied last comes first. Empty if no convolution gives more than one cell.

    Raises
    ------
    TypeError, ValueError
        If the model or the image is invalid, or they do not fit each other.

    Examples
    --------
    >>> import torch
    >>> from pruncam.networks import mnist_net
    >>> names = readings(mnist_net(), torch.rand(1, 1, 28, 28))
    >>> list(names)[:3]
    ['last convolution, 11x11', 'its ReLU, 11x11', 'its pool, 5x5']
    >>> names["convolution before, 26x26"]
    'conv1'
    """
    check_images(image)
    profile = profile_forward(model, image)
    names: dict[str, str] = {}
    for title, position in _last_two_convolutions(profile):
        for label, reading in _outputs_after(profile, title, position):
            height, width = profile.calls[reading].map_size
            name = profile.readable_as(reading)
            if name is None or height * width == 1 or name in names.values():
                continue
            text = f"{label}, {height}x{width}"
            names[f"{text} ({name})" if text in names else text] = name
    return names


def _last_two_convolutions(profile: ForwardProfile) -> Iterator[tuple[str, int]]:
    """Iterate over titles and positions: the last convolution, and the last larger one before."""
    last_cells = 0
    for position in reversed(range(len(profile.calls))):
        call = profile.calls[position]
        height, width = call.map_size
        if not isinstance(call.module, nn.Conv2d) or height * width <= max(last_cells, 1):
            continue
        yield ("convolution before" if last_cells else "last convolution"), position
        if last_cells:
            return
        last_cells = height * width


def _outputs_after(
    profile: ForwardProfile,
    title: str,
    convolution: int,
) -> Iterator[tuple[str, int]]:
    """Iterate over the outputs between a convolution and the next one: labels and positions."""
    yield title, convolution
    start = profile.calls[convolution]
    position = convolution
    stop = _next_weighted(profile, convolution)
    for label, kinds in _FOLLOWERS:
        for later in range(position + 1, stop):
            call = profile.calls[later]
            is_same_size = kinds is POOLS_2D or call.map_size == start.map_size
            is_follower = is_same_size and call.channels == start.channels
            if is_follower and isinstance(call.module, kinds):
                position = later
                yield label, position
                break
    block = _block_of(profile, convolution, stop)
    if block is not None:
        yield "its block", block


def _next_weighted(profile: ForwardProfile, position: int) -> int:
    """Return the position of the next convolution or linear layer, or the end."""
    for later in range(position + 1, len(profile.calls)):
        if isinstance(profile.calls[later].module, _WEIGHTED):
            return later
    return len(profile.calls)


def _block_of(profile: ForwardProfile, convolution: int, stop: int) -> int | None:
    """Return the position of the innermost block around a convolution with an output of its own.

    None if every block returns the output of one of its layers.
    """
    name = profile.calls[convolution].name
    layer_outputs = {
        call.output_number for call in profile.calls if not any(call.module.children())
    }
    for position in range(convolution + 1, stop):
        call = profile.calls[position]
        is_around = call.name and name.startswith(f"{call.name}.")
        if is_around and call.output_number not in layer_outputs and call.map_size != (0, 0):
            return position
    return None
