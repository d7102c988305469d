"""Choice of the target layer, and of a batch size that fits the memory budget."""

import difflib
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pruncam._core.validation import check_layers, check_number
from pruncam._nn.memory import images_within
from pruncam._nn.outputs import Output, advice_on_output, check_output
from pruncam._nn.probe import ForwardProfile, LayerCall, profile_forward
from pruncam._nn.wrappers import COMPILED, unwrapped
from pruncam.cams.layer_choice import LayerChoice
from pruncam.cams.map_layout import LayoutReader, MapLayout, Reshape, custom_layout
from pruncam.cams.validation import check_images

_ALL_IMAGES = 2**31  # more than there are in any set

# Fewest cells of the default target layer in height and in width.
MIN_CELLS = 4


@dataclass(frozen=True)
class TargetLayer:
    """The layer whose activations are explained, and what a batch at that layer needs."""

    module: nn.Module
    name: str
    map_size: tuple[int, int]  # height and width of its activations
    channels: int
    classes: int
    bytes_per_image: int
    bytes_after: int  # of the largest layer after the target layer
    device: torch.device
    layout: MapLayout


@dataclass(frozen=True)
class LayerRequest:
    """What a caller says of the target layer: the arguments of `heatmaps` of the same names."""

    target_layer: nn.Module | str | None = None
    reshape: Reshape | None = None
    output: Output | None = None

    def __post_init__(self) -> None:
        check_output(self.output)
        if self.reshape is not None and self.target_layer is None:
            raise ValueError("reshape needs target_layer, the layer whose output it reshapes")


def find_target_layer(
    model: nn.Module,
    image: Tensor,
    target_layer: nn.Module | str | None,
    *,
    reshape: Reshape | None = None,
    output: Output | None = None,
) -> TargetLayer:
    """Return the target layer: a module of `model`, its dotted name, or None for the default.

    The default is `default_layer`. `reshape` and `output` are those of `heatmaps`. `image`
    (1, C, H, W) passes through the model once. Raises TypeError or ValueError if there is no such
    layer, if the forward pass does not apply it, or if its output has no feature maps.
    """
    check_layers(model)
    model = unwrapped(model)
    request = LayerRequest(target_layer, reshape, output)
    named = None if target_layer is None else _find(model, target_layer)
    profile = _profile(model, image, request)
    if named is None:
        choice = LayerChoice(model, profile, image)
        position = choice.position(MIN_CELLS)
        layout = choice.layouts.layout(position)
        assert layout is not None
    else:
        position = _target_position(profile, named, _name_of(model, named))
        layout = _layout(model, profile, position, image, reshape)
    return _target_layer(profile, position, layout)


def _profile(model: nn.Module, image: Tensor, request: LayerRequest) -> ForwardProfile:
    _check_weights(model)
    needs_graph = request.target_layer is None
    with advice_on_output():
        return profile_forward(model, image, output=request.output, graph=needs_graph)


def _check_weights(model: nn.Module) -> None:
    """Raise ValueError if a model's weights can take part in no gradient."""
    tensors = (*model.parameters(), *model.buffers())
    if any(tensor.is_inference() for tensor in tensors):
        raise ValueError(
            "the model's weights were created in torch.inference_mode, which allows no gradients: "
            "build or load the model outside of it"
        )


def _target_layer(profile: ForwardProfile, position: int, layout: MapLayout) -> TargetLayer:
    target, after = profile.calls[position], profile.calls[position:]
    assert target.output_shape is not None
    channels, height, width = layout.map_shape(target.output_shape)[1:]
    if height * width == 1:
        raise ValueError(
            f"target layer {target.name!r} has maps of a single cell for these images, which show "
            "no place: pass larger images, or an earlier target_layer"
        )
    largest = max(call.bytes_held for call in profile.calls)
    return TargetLayer(
        module=target.module,
        name=target.name,
        map_size=(height, width),
        channels=channels,
        classes=profile.logits.shape[1],
        bytes_per_image=max(largest, _bytes_for_gradients(after)),
        bytes_after=max(call.bytes_held for call in after),
        device=profile.logits.device,
        layout=layout,
    )


def default_layer(model: nn.Module, image: Tensor, *, min_cells: int = MIN_CELLS) -> str:
    """Return the name of the default target layer: the last feature map of a fair size.

    It is the last module of the forward pass whose output is a feature map with a height and a
    width of at least `min_cells`; if the network has none, of more than one cell. All that the
    logits depend on passes through it: it is no branch of a block, and it has all channels. So the
    map is read after its normalisation and activation, and after its pool if that is last. A
    container that returns the output of its last layer, such as a ResNet's `layer4`, is named by
    the innermost module that returns it at its first call ("layer4.1"). An activation that is a
    function and not a module can only be read through the block that returns it.

    Maps are (N, C, h, w), or (N, h, w, C) where a layer that works on the channels shows it. In the
    vision transformers of timm and torchvision, tokens are maps too: the last ones on whose patches
    the logits depend, read after the normalisation of the block that reads them (of a ViT the
    `norm1` of its last block). For the Swin transformer it is the same layer, as in
    pytorch-grad-cam's README.

    `image` (1, C, H, W) passes through the model. Raises ValueError if no module gives such a map
    on the way to the logits.

    Examples
    --------
    >>> from pruncam.networks import cifar_net
    >>> model, image = cifar_net(width=4), torch.rand(1, 3, 32, 32)
    >>> default_layer(model, image)  # the pool after the last convolutions of 8x8
    'features.20'
    >>> default_layer(model, image, min_cells=6)  # their ReLU
    'features.19'
    """
    check_layers(model)
    check_images(image)
    check_number("min_cells", min_cells, whole=True, at_least=1)
    model = unwrapped(model)
    profile = _profile(model, image, LayerRequest())
    position = LayerChoice(model, profile, image).position(min_cells)
    return profile.calls[position].name


def _find(model: nn.Module, target_layer: nn.Module | str) -> nn.Module:
    layers = {name: module for name, module in model.named_modules(remove_duplicate=False) if name}
    if isinstance(target_layer, str):
        return _find_by_name(layers, target_layer)
    if not isinstance(target_layer, nn.Module):
        kind = type(target_layer).__name__
        raise TypeError(f"target_layer must be a module, its dotted name or None, got {kind}")
    if not any(target_layer is module for module in layers.values()):
        raise ValueError(f"target_layer {type(target_layer).__name__} is not a layer of this model")
    return target_layer


def _find_by_name(layers: dict[str, nn.Module], name: str) -> nn.Module:
    """Return a layer by its name, with or without the names of wrappers; ValueError if none."""
    if name in layers:
        return layers[name]
    by_short_name = {_without_wrappers(full): module for full, module in layers.items()}
    short = _without_wrappers(name)
    for spelling in (short, short.removeprefix("module.")):
        if spelling in by_short_name:
            return by_short_name[spelling]
    raise ValueError(
        f"the model has no layer {name!r}: did you mean "
        f"{', '.join(_similar_names(name, list(by_short_name)))}?"
    )


def _without_wrappers(name: str) -> str:
    """Return the dotted name of a layer without the part that `torch.compile` adds."""
    return ".".join(part for part in name.split(".") if part != COMPILED)


def _similar_names(name: str, names: list[str]) -> list[str]:
    return difflib.get_close_matches(name, names, n=3, cutoff=0.5) or names[-5:]


def _name_of(model: nn.Module, layer: nn.Module) -> str:
    return next(name for name, module in model.named_modules() if module is layer)


def _target_position(profile: ForwardProfile, layer: nn.Module, name: str) -> int:
    """Return the position of the layer's first call; ValueError if there is none, or no tensor."""
    if not any(call.module is layer for call in profile.calls):
        raise ValueError(f"target layer {name!r} is not applied in the model's forward pass")
    position = profile.first_call(layer)
    shape = profile.calls[position].output_shape
    if shape is None or shape[0] != len(profile.logits):
        output = "no tensor" if shape is None else tuple(shape)
        raise ValueError(
            f"target layer {name!r} must give one activation per image, (N, C, H, W), got {output}"
        )
    return position


def _layout(
    model: nn.Module,
    profile: ForwardProfile,
    position: int,
    image: Tensor,
    reshape: Reshape | None,
) -> MapLayout:
    """Return the layout of the output of a call; ValueError if it has no known one."""
    call = profile.calls[position]
    assert call.output_shape is not None
    if reshape is not None:
        return custom_layout(reshape, call.output_shape)
    reader = LayoutReader(model, profile, (image.shape[-2], image.shape[-1]))
    layout = reader.layout(position)
    if layout is None:
        raise ValueError(
            f"target layer {call.name!r} must give (N, C, H, W) activations, "
            f"got {tuple(call.output_shape)}, whose height and width are not known: "
            "pass reshape, a function from its output to maps (N, C, H, W)"
        )
    return layout


def _bytes_for_gradients(after: list[LayerCall]) -> int:
    """Return the bytes held for a gradient: all outputs after the target layer.

    Up to the target layer, one layer at a time is held.
    """
    leaves = [call for call in after if not any(call.module.children())]
    return sum(call.bytes_held for call in leaves) // 2


def batch_size_within(layer: TargetLayer, batch_size: int | None) -> int:
    """Return `batch_size`, or for None the number of images that the memory budget holds."""
    if batch_size is None:
        return images_within(layer.bytes_per_image, layer.device)
    check_number("batch_size", batch_size, whole=True, at_least=1)
    return min(int(batch_size), _ALL_IMAGES)
