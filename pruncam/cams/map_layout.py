"""Where the output of a layer holds its feature maps: channels first, channels last, or tokens."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from pruncam._core.validation import calling, short_repr
from pruncam._nn.operations import CHANNELS_FIRST_LAYERS
from pruncam._nn.probe import ForwardProfile, LayerCall

# The output of a layer -> its feature maps (N, K, h, w).
Reshape = Callable[[Tensor], Tensor]

# Libraries whose transformers hold one token per patch, row by row, after any class tokens; and
# their transformers that hold them in another order.
_LIBRARIES = ("timm.models.", "torchvision.models.")
_OTHER_ORDERS = ("timm.models.hiera.",)


@dataclass(frozen=True)
class MapLayout:
    """How the output of a layer becomes feature maps (N, K, h, w).

    `to_maps` moves values and changes none, so that it serves gradients too. `channel_axis` is the
    axis of the K channels in the output, None if they have none of their own. `is_all_cells` says
    whether all of the output is in the maps: class tokens are not.
    """

    to_maps: Reshape
    channel_axis: int | None
    is_all_cells: bool = True

    def map_shape(self, output_shape: torch.Size) -> torch.Size:
        """Return the shape (N, K, h, w) of the maps of an output."""
        return self.to_maps(torch.zeros(1).expand(output_shape)).shape

    @property
    def axis_to_ablate(self) -> int:
        """Return the axis of the channels; ValueError if the output has none for the maps."""
        if self.channel_axis is None:
            raise ValueError(
                "Ablation-CAM needs a reshape that keeps the channels of the target layer: "
                "use another method"
            )
        return self.channel_axis

    @property
    def is_grid(self) -> bool:
        """Return whether the output itself has a height and a width, and so no class tokens."""
        return self in (CHANNELS_FIRST, CHANNELS_LAST)


def _unchanged(output: Tensor) -> Tensor:
    return output


def _channels_to_front(output: Tensor) -> Tensor:
    """Return (N, K, h, w) of an output (N, h, w, K)."""
    return output.permute(0, 3, 1, 2)


def _tokens_to_maps(output: Tensor, *, prefix: int, size: tuple[int, int]) -> Tensor:
    """Return (N, K, h, w) of tokens (N, prefix + h w, K)."""
    patches = output[:, prefix:]
    return patches.unflatten(1, size).permute(0, 3, 1, 2)


CHANNELS_FIRST = MapLayout(_unchanged, channel_axis=1)
CHANNELS_LAST = MapLayout(_channels_to_front, channel_axis=-1)


def token_layout(prefix: int, size: tuple[int, int]) -> MapLayout:
    """Return the layout of `prefix` class tokens and h x w patches, row by row."""
    to_maps = partial(_tokens_to_maps, prefix=prefix, size=size)
    return MapLayout(to_maps, channel_axis=-1, is_all_cells=prefix == 0)


def custom_layout(reshape: Reshape, output_shape: torch.Size) -> MapLayout:
    """Return the layout of a user's function, which is tried on an output of the same shape.

    Raises TypeError if `reshape` is no function, ValueError if it does not return maps.
    """
    if not callable(reshape):
        raise TypeError(
            "reshape must be a function from the output of the target layer to maps "
            f"(N, C, h, w), got {short_repr(reshape)}"
        )
    output = f"the output {tuple(output_shape)} of the target layer"
    with calling("reshape", output, Exception):  # it is any code of the user
        maps = reshape(torch.zeros(output_shape))
    is_map = isinstance(maps, Tensor) and maps.ndim == 4 and len(maps) == output_shape[0]
    if not is_map:
        got = tuple(maps.shape) if isinstance(maps, Tensor) else type(maps).__name__
        raise ValueError(
            f"reshape must return maps (N, C, h, w) of an output {tuple(output_shape)}, got {got}"
        )
    return MapLayout(reshape, _channel_axis(reshape, output_shape))


def _channel_axis(reshape: Reshape, output_shape: torch.Size) -> int | None:
    """Return the axis whose entries become the channels of the maps, one each; None if none."""
    for axis in (-1, 1):
        number = torch.arange(output_shape[axis], dtype=torch.float32)
        numbered = number.view([-1] + [1] * (len(output_shape) - 2 if axis == 1 else 0))
        maps = reshape(numbered.expand(output_shape).clone())
        if maps.shape[1] == len(number) and bool((maps == number.view(1, -1, 1, 1)).all()):
            return axis
    return None


class LayoutReader:
    """Tells the layouts of the outputs in a forward pass.

    A layer that works on the channels of a tensor shows where they are: a convolution reads them
    first, a linear layer last, and a LayerNorm where it has one weight each. An output has the
    layout of the layers that give or take the same tensor, else of those that give or take the
    same shape. Tokens have a known order in the models of timm and torchvision only.
    """

    def __init__(
        self, model: nn.Module, profile: ForwardProfile, image_size: tuple[int, int]
    ) -> None:
        self._modules = dict(model.named_modules())
        self._calls = profile.calls
        self._images = len(profile.logits)
        self._image_size = image_size
        self._axes_of_tensor: dict[int, set[int]] = defaultdict(set)
        self._axes_of_shape: dict[torch.Size, set[int]] = defaultdict(set)
        for call in profile.calls:
            self._note(call, call.output_number, call.output_shape)
            self._note(call, call.input_number, call.input_shape)
        self._map_sizes = set(self._known_sizes())

    def _note(self, call: LayerCall, number: int, shape: torch.Size | None) -> None:
        """Note the channel axis that a layer shows of a tensor (N, a, b, c)."""
        axis = None if shape is None or len(shape) != 4 else _axis_of(call.module, shape)
        if axis is None or shape is None:
            return
        self._axes_of_shape[shape].add(axis)
        if number >= 0:
            self._axes_of_tensor[number].add(axis)

    def _known_sizes(self) -> Iterator[tuple[int, int]]:
        for shape, axes in self._axes_of_shape.items():
            if 1 in axes:
                yield shape[2], shape[3]
            if -1 in axes:
                yield shape[1], shape[2]

    def layout(self, position: int) -> MapLayout | None:
        """Return the layout of the output of a call; None if it is no map, or not a known one."""
        shape = self._calls[position].output_shape
        if shape is None or shape[0] != self._images:
            return None
        if len(shape) == 4:
            return self._layout_of_maps(self._calls[position], shape)
        return self._layout_of_tokens(position, shape) if len(shape) == 3 else None

    def _layout_of_maps(self, call: LayerCall, shape: torch.Size) -> MapLayout | None:
        axes = self._axes_of_tensor.get(call.output_number) or self._axes_of_shape.get(shape)
        axes = axes or self._axes_of_known_size(shape)
        if axes == {1}:
            return CHANNELS_FIRST
        if axes != {-1} or self.is_in_attention(call.name):
            return None
        return CHANNELS_LAST if self._has_shape_of_image(shape[1], shape[2]) else None

    def is_in_attention(self, name: str) -> bool:
        """Return whether a layer is part of an attention layer, which may work on windows.

        Their number and size can be those of a map.
        """
        parts = name.split(".")
        containers = (".".join(parts[:depth]) for depth in range(1, len(parts)))
        kinds = (type(self._modules[container]).__name__.lower() for container in containers)
        return any("attention" in kind or "attn" in kind for kind in kinds)

    def _axes_of_known_size(self, shape: torch.Size) -> set[int]:
        """Return the axes that may be the channels, if no layer shows them: the others are known.

        Where no layer shows anything, the first.
        """
        if not self._map_sizes:
            return {1}
        others = {1: (shape[2], shape[3]), -1: (shape[1], shape[2])}
        return {axis for axis, size in others.items() if size in self._map_sizes}

    def _has_shape_of_image(self, height: int, width: int) -> bool:
        """Return whether a map has the image's proportions, to one cell: windows do not."""
        image_height, image_width = self._image_size
        return abs(height * image_width - width * image_height) <= max(self._image_size)

    def _layout_of_tokens(self, position: int, shape: torch.Size) -> MapLayout | None:
        """Return the layout of tokens (N, T, K): their grid is that of the last map before."""
        name, prefixes = self._library_model(self._calls[position].name)
        for earlier in range(position - 1, -1, -1):
            call = self._calls[earlier]
            is_in_model = prefixes and (not name or call.name.startswith(f"{name}."))
            if not is_in_model or call.output_shape is None or len(call.output_shape) != 4:
                continue
            layout = self.layout(earlier)
            if layout is None:
                continue
            height, width = layout.map_shape(call.output_shape)[2:]
            prefix = shape[1] - height * width
            if height * width > 1 and prefix in prefixes:
                return token_layout(prefix, (height, width))
        return None

    def _library_model(self, name: str) -> tuple[str, set[int]]:
        """Return the name of the library's model around a layer, and its numbers of class tokens.

        The set is empty if there is no such model.
        """
        parts = name.split(".")
        for depth in range(len(parts)):
            model = ".".join(parts[:depth])
            module = self._modules[model]
            if is_of_library(module):
                return model, {0, getattr(module, "num_prefix_tokens", 1)}
        return "", set()


def is_of_library(module: nn.Module) -> bool:
    """Return whether a module is a model of timm or torchvision, or derived from one.

    Those whose tokens are in an order of their own do not count.
    """
    names = [f"{kind.__module__}." for kind in type(module).__mro__]
    is_known = any(name.startswith(_LIBRARIES) for name in names)
    return is_known and not any(name.startswith(_OTHER_ORDERS) for name in names)


def _axis_of(module: nn.Module, shape: torch.Size) -> int | None:
    """Return the channel axis that a layer shows of its input or output (N, a, b, c)."""
    if isinstance(module, CHANNELS_FIRST_LAYERS):
        return 1
    if isinstance(module, nn.Linear):
        return -1
    normalized = getattr(module, "normalized_shape", None)
    if not isinstance(normalized, tuple | list) or len(normalized) != 1:
        return None
    channels = normalized[0]
    if shape[1] == shape[3]:
        return None
    return 1 if shape[1] == channels else -1 if shape[3] == channels else None
