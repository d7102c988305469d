"""CAM methods supplied by the user, with the inputs and outputs of the built-in ones."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pruncam._core.validation import check_layers, short_repr
from pruncam._nn.outputs import LogitsOf, Output
from pruncam._nn.probe import eval_mode, placed_like
from pruncam._nn.wrappers import run_eagerly, unwrapped
from pruncam.cams.explanation import explain
from pruncam.cams.map_layout import Reshape
from pruncam.cams.model_explainer import Explanation
from pruncam.cams.target_layer import batch_size_within, find_target_layer
from pruncam.cams.validation import check_custom_methods, check_images, check_targets

# (model, images (n, C, H, W), target layer, targets (n,) class indices)
# -> heatmaps (n, H, W) in [0, 1]
CustomMethod = Callable[[nn.Module, Tensor, nn.Module, Tensor], Tensor]


def custom_heatmaps(
    model: nn.Module,
    images: Tensor,
    methods: Mapping[str, CustomMethod],
    *,
    targets: Tensor,
    target_layer: nn.Module | str | None = None,
    batch_size: int | None = None,
    reshape: Reshape | None = None,
    output: Output | None = None,
) -> dict[str, Tensor]:
    """Return the heatmaps (N, H, W) of every method by its name, float32 on the model's device.

    The other arguments are those of `cams.heatmaps`. A method receives the layer as a module and
    the model in eval mode. Gradients and hooks that a method leaves on the model stay there.

    Raises TypeError or ValueError if an argument is invalid, or a method does not return heatmaps
    of its images in [0, 1].
    """
    check_custom_methods("methods", methods)
    check_layers(model)
    check_images(images)
    if not methods:
        return {}
    parts: dict[str, list[Tensor]] = {name: [] for name in methods}
    model = unwrapped(model)
    with eval_mode(model), run_eagerly():
        layer = find_target_layer(model, images[:1], target_layer, reshape=reshape, output=output)
        classifier = model if output is None else LogitsOf(model, output)
        targets = check_targets(targets, len(images), layer.classes).to(layer.device)
        for rows in torch.arange(len(images)).split(batch_size_within(layer, batch_size)):
            batch = placed_like(model, images[rows.to(images.device)])
            classes = targets[rows.to(layer.device)]
            for name, method in methods.items():
                maps = method(classifier, batch.clone(), layer.module, classes)
                parts[name].append(_checked(name, maps, batch))
    return {name: torch.cat(maps) for name, maps in parts.items()}


def explain_with_custom(
    model: nn.Module,
    images: Tensor,
    *,
    methods: Collection[str],
    custom_methods: Mapping[str, CustomMethod],
    targets: Tensor | None = None,
    **options: Any,
) -> Explanation:
    """Return the explanation of `explain`, with the heatmaps of the user's methods.

    `options` are those that `explain` and `custom_heatmaps` have in common.
    """
    explanation = explain(model, images, methods=methods, targets=targets, **options)
    maps = custom_heatmaps(model, images, custom_methods, targets=explanation.targets, **options)
    return explanation._replace(maps=explanation.maps | maps)


def _checked(name: str, maps: object, images: Tensor) -> Tensor:
    """Return the maps in float32; ValueError unless they are heatmaps of `images`."""
    try:
        heatmaps = torch.as_tensor(maps).detach().to(images.device, torch.float32)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(
            f"custom CAM {name!r} must return a tensor of heatmaps, got {short_repr(maps)}"
        ) from None
    expected = (len(images), *images.shape[2:])
    if heatmaps.shape != expected:
        raise ValueError(
            f"custom CAM {name!r} must return heatmaps of shape {expected}, "
            f"got {tuple(heatmaps.shape)}"
        )
    low, high = float(heatmaps.min()), float(heatmaps.max())
    if not (low >= 0 and high <= 1):  # NaN fails both
        raise ValueError(
            f"custom CAM {name!r} must return heatmaps in [0, 1], got [{low:g}, {high:g}]: "
            "rescale them"
        )
    return heatmaps
