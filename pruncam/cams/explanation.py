"""Heatmaps of a classifier: one method, or several from one forward pass."""

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pruncam._core.validation import check_model
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


def heatmaps(
    model: nn.Module,
    images: Tensor,
    *,
    method: str,
    target_layer: nn.Module | str | None = None,
    targets: Tensor | Sequence[int] | None = None,
    batch_size: int | None = None,
    engine: str = "fast",
    reshape: Reshape | None = None,
    output: Output | None = None,
) -> Tensor:
    """Return heatmaps of `images` at image size: where the model sees the explained class.

    Parameters
    ----------
    model : any classifier with feature maps, returning logits of shape (N, classes)
        It is evaluated in eval mode and left exactly as it was: mode, gradients, hooks, flags,
        statistics.
    images : float tensor of shape (N, C, H, W)
        Normalised or not, as the model expects; on any device.
    method : one of `cams.METHODS`
        "grad-cam" (Selvaraju et al. 2017), "grad-cam++" (Chattopadhay et al. 2018) or
        "ablation-cam" (Desai & Ramaswamy 2020), each as in pytorch-grad-cam. There, an ablated
        channel becomes 0 only if the image's smallest activation is exactly 0; otherwise it becomes
        about (i + 1) 1e7 less than that, for channel i of every 32. "ablation-cam-zero" always uses
        the paper's 0. After a ReLU the two agree; before one they may not.
        "hires-cam" (Draelos & Carin 2020) and "layer-cam" (Jiang et al. 2021) weight every single
        activation by its gradient, and by its positive gradient.
        Before a ReLU, Grad-CAM++ divides by sums that may nearly vanish: there, float32 itself is
        accurate to about 1e-4.
    target_layer : module, dotted name, or None for `default_layer`
        The default is the last layer with a feature map of at least 4x4 cells, after its
        normalisation, activation and pool. The activation is the output of the layer itself, even
        if a later in-place layer overwrites it. A layer that is applied several times is read at
        its first use.
    targets : (N,) class indices, or None for the model's top class
    batch_size : images per pass; None derives it from a memory budget
    engine : "fast", or "grad-cam" to call the pytorch-grad-cam library (same maps, slower)
    reshape : function from the output of `target_layer` to maps (N, C, h, w)
        For a layer whose output is not (N, C, h, w), such as the tokens of a transformer. The
        layouts of timm's and torchvision's networks are known. It may only move values, since it is
        applied to gradients too, as the library's `reshape_transform`.
    output : position, key or attribute, or function that selects the logits
        For a model that returns more than its logits. `cams.two_classes` makes the logits of both
        classes of a single one.

    Returns
    -------
    float32 tensor of shape (N, H, W), in [0, 1], on the model's device
        All zero if the map is constant or nowhere positive, and for Ablation-CAM if the
        explained logit is exactly 0 (the library divides by it). A negative logit inverts the signs
        of Ablation-CAM's weights, as in the library.

    Raises
    ------
    ValueError, TypeError
        If an argument does not fit the model, or the model gives no finite (N, classes) logits;
        if the maps of the target layer have a single cell, or an unknown layout.
    ImportError
        If engine="grad-cam" and the library is not installed.

    Examples
    --------
    >>> model = nn.Sequential(nn.Conv2d(1, 1, 1), nn.Flatten(), nn.Linear(4, 1))
    >>> values = [[[[1.0]]]], [0.0], [[1.0, 1.0, 1.0, 1.0]], [0.0]
    >>> for parameter, value in zip(model.parameters(), values):
    ...     parameter.data = torch.tensor(value)
    >>> heatmaps(model, torch.tensor([[[[0.0, 1.0], [2.0, 4.0]]]]), method="grad-cam")
    tensor([[[0.0000, 0.2500],
             [0.5000, 1.0000]]])
    """
    explanation = explain(
        model,
        images,
        methods=[method],
        target_layer=target_layer,
        targets=targets,
        batch_size=batch_size,
        engine=engine,
        reshape=reshape,
        output=output,
    )
    return explanation.maps[method]


def explain(
    model: nn.Module,
    images: Tensor,
    *,
    methods: Collection[str],
    target_layer: nn.Module | str | None = None,
    targets: Tensor | Sequence[int] | None = None,
    batch_size: int | None = None,
    engine: str = "fast",
    reshape: Reshape | None = None,
    output: Output | None = None,
) -> Explanation:
    """Return heatmaps by several methods and the logits, from one pass through the model.

    Arguments and errors are those of `heatmaps`. The `targets` of the result are the explained
    classes: those that were passed, or else the model's top classes, which are its predictions.

    May be called in threads, each with a model of its own.
    """
    check_methods(methods)
    check_engine(engine)
    check_images(images)
    check_model(model)
    model = unwrapped(model)
    with eval_mode(model), run_eagerly():
        first = placed_like(model, images[:1])
        layer = find_target_layer(model, first, target_layer, reshape=reshape, output=output)
        classifier = model if output is None else LogitsOf(model, output)
        if targets is not None:
            targets = check_targets(targets, len(images), layer.classes).to(layer.device)
        explainer: _FastEngine | _LibraryEngine
        if engine == "grad-cam":
            explainer = _LibraryEngine(classifier, layer, methods)
        else:
            explainer = _FastEngine(classifier, layer, methods, first)

        def explain_rows(rows: slice) -> Explanation:
            batch = placed_like(model, images[rows])
            return explainer.explain(batch, None if targets is None else targets[rows])

        size = batch_size_within(layer, batch_size)
        explanation = _in_batches(explain_rows, len(images), size)
    check_logits(explanation.logits)
    return explanation


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
