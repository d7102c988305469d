"""Choice of the default target layer: the last feature map of a fair size."""

import fnmatch
import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from pruncam._nn.operations import ADAPTIVE_POOLS
from pruncam._nn.probe import ForwardProfile, LayerCall
from pruncam.cams.map_layout import LayoutReader

# Layers that pytorch-grad-cam's README names, where the last feature map is another one.
_NAMED_LAYERS = {
    "timm.models.swin_transformer.SwinTransformer": "layers.*.blocks.*.norm1",
    "torchvision.models.swin_transformer.SwinTransformer": "features.*.*.norm1",
}


class LayerChoice:
    """The choice among the outputs of one forward pass, whose profile must have a graph."""

    def __init__(self, model: nn.Module, profile: ForwardProfile, image: Tensor) -> None:
        assert profile.graph is not None
        self._model = model
        self._profile = profile
        self._calls = profile.calls
        self._graph = profile.graph
        self.layouts = LayoutReader(model, profile, (image.shape[-2], image.shape[-1]))
        self._last_tokens: LayerCall | None = None  # the last features that are no maps
        self._classifier = self._last_linear()

    def position(self, min_cells: int) -> int:
        """Return the position of the call whose output is the default target layer.

        Raises ValueError if there is none.
        """
        if not self._graph.depends_on_image:
            raise ValueError(
                "the logits do not depend on the image by any gradient: the forward pass of the "
                "model must not run in torch.no_grad or detach its features"
            )
        small, tokens_after = None, None
        for position in self._candidates():
            size = self._map_size(position)
            if min(size) >= min_cells:
                return self._checked(position, self._last_tokens)
            if small is None and math.prod(size) > 1:
                small, tokens_after = position, self._last_tokens
        if small is None:
            raise ValueError(self._no_map_message())
        return self._checked(small, tokens_after)

    def _candidates(self) -> Iterator[int]:
        """Iterate over the positions of feature maps on which the logits depend, last to first."""
        yield from self._named_layers()
        for position in reversed(range(self._first_features(), len(self._calls))):
            if not self._carries_all_features(self._calls[position]):
                continue
            if self.layouts.layout(position) is None:
                self._note_tokens(self._calls[position])
            elif self._is_seen_by_logits(position):
                name = self._profile.readable_as(position)
                if name is not None:
                    first = self._profile.first_call(self._model.get_submodule(name))
                    yield self._normalised(first)

    def _map_size(self, position: int) -> tuple[int, int]:
        layout = self.layouts.layout(position)
        shape = self._calls[position].output_shape
        assert layout is not None and shape is not None
        height, width = layout.map_shape(shape)[2:]
        return height, width

    def _named_layers(self) -> Iterator[int]:
        """Iterate over the layers that are named for a class of model, last to first."""
        for name, module in self._model.named_modules():
            kind = f"{type(module).__module__}.{type(module).__qualname__}"
            if kind not in _NAMED_LAYERS or not self._carries_all_features(self._last_call(module)):
                continue
            pattern = ".".join([*filter(None, [name]), _NAMED_LAYERS[kind]])
            for position in reversed(range(len(self._calls))):
                is_named = fnmatch.fnmatchcase(self._calls[position].name, pattern)
                if is_named and self._is_followed_by_attention(position):
                    yield position

    def _last_call(self, module: nn.Module) -> LayerCall:
        return next(call for call in reversed(self._calls) if call.module is module)

    def _is_followed_by_attention(self, position: int) -> bool:
        block = self._calls[position].name.rpartition(".")[0]
        return f"{self._calls[position + 1].name}.".startswith(f"{block}.attn.")

    def _first_features(self) -> int:
        """Return the position of the first convolution, or else of the first layer with weights.

        What comes before is an image, not a feature map.
        """
        weighted = None
        for position, call in enumerate(self._calls):
            if isinstance(call.module, nn.Conv2d):
                return position
            if weighted is None and any(True for _ in call.module.parameters(recurse=False)):
                weighted = position
        return len(self._calls) if weighted is None else weighted

    def _carries_all_features(self, call: LayerCall) -> bool:
        """Return whether the logits depend on the image through the output of a call alone.

        The output of the model itself does not count, nor do those inside an attention layer.
        """
        return self._graph.is_bottleneck(call.edge) and not self.layouts.is_in_attention(call.name)

    def _note_tokens(self, call: LayerCall) -> None:
        """Remember the last output of layers with weights that has several tokens, but no grid."""
        shape = call.output_shape
        has_weights = any(True for _ in call.module.parameters())
        is_tokens = shape is not None and len(shape) in (3, 4) and shape[1] > 1
        if has_weights and is_tokens and self._last_tokens is None:
            self._last_tokens = call

    def _is_seen_by_logits(self, position: int) -> bool:
        """Return whether the logits depend on the cells of a map, and not on class tokens alone."""
        call = self._calls[position]
        if not call.name or _enlarges(call):
            return False
        layout = self.layouts.layout(position)
        if layout is None or layout.is_grid:
            return layout is not None
        gradient = self._gradient_of_features(call)
        if gradient is None:
            return False
        # Without any gradient, class tokens are taken to be what the logits depend on.
        return bool(layout.to_maps(gradient).any() if gradient.any() else layout.is_all_cells)

    def _gradient_of_features(self, call: LayerCall) -> Tensor | None:
        """Return the gradient of a projection of the last features by the output of a call.

        The last features are what the classifier reads: its own weights may all be zero in a
        network that is not trained. None if they do not depend on the output.
        """
        features, shape = self._graph.root, self._profile.logits.shape
        if self._classifier is not None and self._classifier.input_shape is not None:
            features, shape = self._classifier.input_edge, self._classifier.input_shape
        if features is None or call.edge is None:
            return None
        direction = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        direction = direction.to(self._profile.logits)
        return self._graph.gradient(features, call.edge, direction)

    def _last_linear(self) -> LayerCall | None:
        """Return the last linear layer through whose input (N, features) all paths lead."""
        for call in reversed(self._calls):
            is_classifier = isinstance(call.module, nn.Linear) and len(call.input_shape or ()) == 2
            if is_classifier and self._graph.is_bottleneck(call.input_edge):
                return call
        return None

    def _normalised(self, position: int) -> int:
        """Return the position of the normalisation of the tokens of a call, else of the call.

        It is the one through which the next block of a vision transformer reads them.
        """
        call = self._calls[position]
        layout = self.layouts.layout(position)
        if layout is None or layout.is_grid:
            return position
        for later in range(position + 1, len(self._calls)):
            other = self._calls[later]
            is_reader = other.input_number == call.output_number
            is_normalisation = hasattr(other.module, "normalized_shape")
            if is_reader and is_normalisation and other.output_shape == call.output_shape:
                return later if self._is_seen_by_logits(later) else position
        return position

    def _checked(self, position: int, tokens_after: LayerCall | None) -> int:
        """Return the position; ValueError if tokens of an unknown order come after it."""
        if tokens_after is None:
            return position
        raise ValueError(
            f"the last features of the model are tokens of an unknown order, such as "
            f"{_shape(tokens_after)} of {tokens_after.name!r}: pass target_layer and reshape, a "
            "function from the output of that layer to maps (N, C, h, w); or target_layer="
            f"{self._calls[position].name!r} for the last maps before them"
        )

    def _no_map_message(self) -> str:
        tokens = self._last_tokens
        if tokens is not None:
            return (
                f"the features of the model are tokens of an unknown order, such as "
                f"{_shape(tokens)} of {tokens.name!r}: pass target_layer and reshape, a function "
                "from the output of that layer to maps (N, C, h, w)"
            )
        if any(self._is_map_on_a_path(position) for position in range(len(self._calls))):
            return (
                "the model has no feature map through which all that its logits depend on passes: "
                "pass target_layer, the name of a layer in one of its branches"
            )
        if not any(isinstance(call.module, nn.Conv2d) for call in self._calls):
            return (
                "the model applies no Conv2d layer: "
                "pass target_layer, the name of a layer whose output is (N, C, H, W)"
            )
        return (
            "the model has no layer with a feature map (N, C, h, w) of more than one cell on the "
            "way to its logits: pass larger images, or target_layer, the name of a layer"
        )

    def _is_map_on_a_path(self, position: int) -> bool:
        call = self._calls[position]
        if position < self._first_features() or not self._graph.is_on_a_path(call.edge):
            return False
        is_map = self.layouts.layout(position) is not None
        return is_map and math.prod(self._map_size(position)) > 1


def _enlarges(call: LayerCall) -> bool:
    """Return whether a call is an adaptive pool that does not make the map smaller.

    That of torchvision's VGG repeats the cells of a smaller map.
    """
    if not isinstance(call.module, ADAPTIVE_POOLS) or call.input_shape is None:
        return False
    return math.prod(call.map_size) >= math.prod(call.input_shape[2:])


def _shape(call: LayerCall) -> tuple[int, ...]:
    assert call.output_shape is not None
    return tuple(call.output_shape)
