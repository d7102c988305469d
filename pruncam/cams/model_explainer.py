"""Explain a classifier batch by batch: what depends on the model alone is prepared once."""

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pruncam._core.validation import check_layers
from pruncam._nn.outputs import LogitsOf, Output, class_probabilities
from pruncam._nn.probe import eval_mode, placed_like
from pruncam._nn.wrappers import run_eagerly, unwrapped
from pruncam.cams import reference
from pruncam.cams.layer_pass import LayerPass
from pruncam.cams.map_layout import Reshape
from pruncam.cams.model_split import HookedModel, TracedModel, split_model
from pruncam.cams.postprocess import to_heatmaps
from pruncam.cams.registry import METHODS, library_method
from pruncam.cams.target_layer import TargetLayer, batch_size_within, find_target_layer
from pruncam.cams.validation import (
    check_engine,
    check_images,
    check_logits,
    check_methods,
    check_targets,
)


class Explanation(NamedTuple):
    """Heatmaps, logits and explained classes of N images.

    `maps[method]` is (N, H, W) in [0, 1], `logits` (N, classes), `targets` (N,) class indices.
    """

    maps: dict[str, Tensor]
    logits: Tensor
    targets: Tensor

    @property
    def probabilities(self) -> Tensor:
        """Return the class probabilities (N, classes).

        They are the softmax of the logits, or the logits themselves if the model ends in a softmax.
        Raises ValueError for a model with a single logit.
        """
        return class_probabilities(self.logits)


class ModelExplainer:
    """Explains any number of images of one shape by one model.

    The target layer is found and the model is split once, which takes as long as a few images do.
    The model's weights may change between calls, its structure may not. Arguments and errors are
    those of `heatmaps`; the first of `images` gives the shape.
    """

    def __init__(
        self,
        model: nn.Module,
        images: Tensor,
        *,
        methods: Collection[str],
        target_layer: nn.Module | str | None = None,
        batch_size: int | None = None,
        engine: str = "fast",
        reshape: Reshape | None = None,
        output: Output | None = None,
    ) -> None:
        check_methods(methods)
        check_engine(engine)
        check_images(images[:1] if _can_be_cut(images) else images)
        check_layers(model)
        self._model = model = unwrapped(model)
        self._shape = images.shape[1:]
        with eval_mode(model), run_eagerly():
            first = placed_like(model, images[:1])
            layer = find_target_layer(model, first, target_layer, reshape=reshape, output=output)
            self._layer, self._batch_size = layer, batch_size_within(layer, batch_size)
            classifier = model if output is None else LogitsOf(model, output)
            self._engine: _FastEngine | _LibraryEngine
            if engine == "grad-cam":
                self._engine = _LibraryEngine(classifier, layer, methods)
            else:
                self._engine = _FastEngine(classifier, layer, methods, first)

    def explain(self, images: Tensor, targets: Tensor | Sequence[int] | None = None) -> Explanation:
        """Return the explanation of images (N, C, H, W), as `cams.explain` does.

        Raises ValueError if they have another shape than the first image.
        """
        check_images(images)
        if images.shape[1:] != self._shape:
            raise ValueError(
                f"images must have the shape {tuple(self._shape)} of the first one, "
                f"got {tuple(images.shape[1:])}"
            )
        if targets is not None:
            targets = check_targets(targets, len(images), self._layer.classes)
            targets = targets.to(self._layer.device)

        def explain_rows(rows: slice) -> Explanation:
            batch = placed_like(self._model, images[rows])
            return self._engine.explain(batch, None if targets is None else targets[rows])

        with eval_mode(self._model), run_eagerly():
            explanation = _in_batches(explain_rows, len(images), self._batch_size)
        check_logits(explanation.logits)
        return explanation


def _can_be_cut(images: object) -> bool:
    """Return whether the first of the images can be taken."""
    return isinstance(images, Tensor) and images.ndim > 0 and images.layout is torch.strided


class _FastEngine:
    """The fast engine: one pass of the stem, then only the head is differentiated or run again."""

    def __init__(
        self,
        model: nn.Module,
        layer: TargetLayer,
        methods: Collection[str],
        image: Tensor,
    ) -> None:
        self._methods = [METHODS[name] for name in methods]
        self._needs_gradients = any(method.needs_gradients for method in self._methods)
        self._bytes_per_row = layer.bytes_after
        self._layout = layer.layout
        self._network: TracedModel | HookedModel
        if any(method.reruns_head for method in self._methods):
            self._network = split_model(model, layer.module, image)
        else:
            self._network = HookedModel(model, layer.module)

    def explain(self, images: Tensor, targets: Tensor | None) -> Explanation:
        """Return the explanation of one batch."""
        forward = self._network.forward(images, self._needs_gradients)
        if targets is None:
            targets = forward.logits.detach().argmax(dim=1)
        layer = LayerPass(self._network, forward, targets, self._bytes_per_row, self._layout)
        size = (images.shape[-2], images.shape[-1])
        maps = {}
        with torch.no_grad():
            for method in self._methods:
                weights = method.weights(layer).to(layer.activations)
                maps[method.name] = to_heatmaps(layer.activations, weights, size)
        return Explanation(maps, layer.logits, targets)


class _LibraryEngine:
    """The pytorch-grad-cam library, which runs the whole model for every method."""

    def __init__(self, model: nn.Module, layer: TargetLayer, methods: Collection[str]) -> None:
        self._model, self._layer, self._layout = model, layer.module, layer.layout
        self._methods = {name: library_method(name) for name in methods}

    def explain(self, images: Tensor, targets: Tensor | None) -> Explanation:
        """Return the explanation of one batch."""
        with torch.no_grad():
            logits = self._model(images)
        if targets is None:
            targets = logits.argmax(dim=1)
        maps = {}
        for name, method in self._methods.items():
            maps[name] = reference.library_maps(
                method, self._model, self._layer, images, targets, self._layout
            )
        return Explanation(maps, logits, targets)


def _in_batches(
    explain_rows: Callable[[slice], Explanation],
    total: int,
    size: int,
) -> Explanation:
    """Return the explanations of all batches, joined; a batch too large for the GPU is halved."""
    joined = None
    start = 0
    while start < total:
        rows = slice(start, start + size)
        try:
            batch = explain_rows(rows)
        except torch.OutOfMemoryError:
            if size == 1:
                raise
            size //= 2
            continue
        if joined is None:
            joined = _allocate_like(batch, total)
        _copy_rows(batch, joined, rows)
        start += size
    assert joined is not None
    return joined


def _allocate_like(batch: Explanation, total: int) -> Explanation:
    def empty(values: Tensor) -> Tensor:
        return values.new_empty(total, *values.shape[1:])

    maps = {name: empty(values) for name, values in batch.maps.items()}
    return Explanation(maps, empty(batch.logits), empty(batch.targets))


def _copy_rows(batch: Explanation, joined: Explanation, rows: slice) -> None:
    for name, maps in batch.maps.items():
        joined.maps[name][rows] = maps
    joined.logits[rows] = batch.logits
    joined.targets[rows] = batch.targets
