"""Class activation maps: which pixels of an image a classifier looks at.

`heatmaps` gives the maps of one method; `explain` gives the maps of several methods and the logits from one pass.
Both give what the pytorch-grad-cam library (1.5.7) gives, to 1e-4, and leave the model exactly as they found it.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pruncam.cams import gradients, reference
from pruncam.cams.checks import check_images, check_logits, check_methods, check_targets
from pruncam.cams.passes import as_evaluated, batch_size_within, forward_through, placed_like, survey
from pruncam.cams.scaling import at_least_float32, to_heatmaps

METHODS = ("grad-cam", "grad-cam++")
ENGINES = ("fast", "grad-cam")


class Explanation(NamedTuple):
    """What `explain` found for N images: `maps[method]` (N, H, W), `logits` (N, classes), `targets` (N,)."""

    maps: dict[str, Tensor]
    logits: Tensor
    targets: Tensor  # the class that each map explains


def heatmaps(
    model: nn.Module,
    images: Tensor,
    *,
    method: str,
    target_layer: nn.Module | str | None = None,
    targets: Tensor | Sequence[int] | None = None,
    batch_size: int | None = None,
    engine: str = "fast",
) -> Tensor:
    """Heatmaps of `images` at image size: where the model sees its own, or a given, class.

    Parameters
    ----------
    model : any classifier with a convolutional layer, returning logits of shape (N, classes)
        It is evaluated in eval mode and left exactly as found: mode, gradients, hooks, flags, statistics.
    images : float tensor of shape (N, C, H, W)
        As the model wants them, normalised or not; on any device.
    method : "grad-cam" (Selvaraju et al. 2017) or "grad-cam++" (Chattopadhay et al. 2018)
    target_layer : module, dotted name, or None for the convolution applied last
        The activation is this layer's own output, also where an in-place layer after it overwrites it.
        A layer that is applied several times is read at its first use.
    targets : (N,) class indices, or None for the model's own top class
    batch_size : images per pass; None derives it from a memory budget
    engine : "fast", or "grad-cam" to call the pytorch-grad-cam library (same maps, slower)

    Returns
    -------
    float32 tensor of shape (N, H, W), in [0, 1], on the model's device
        All zero where the map is constant, 1x1 or nowhere positive.

    Raises
    ------
    ValueError, TypeError
        If an argument does not fit the model, or the model gives no finite (N, classes) logits.
    ImportError
        If engine="grad-cam" and the library is not installed.

    Examples
    --------
    >>> model = nn.Sequential(nn.Conv2d(1, 1, 1), nn.Flatten(), nn.Linear(4, 1))
    >>> for parameter, value in zip(model.parameters(), ([[[[1.0]]]], [0.0], [[1.0, 1.0, 1.0, 1.0]], [0.0])):
    ...     parameter.data = torch.tensor(value)
    >>> heatmaps(model, torch.tensor([[[[0.0, 1.0], [2.0, 4.0]]]]), method="grad-cam")
    tensor([[[0.0000, 0.2500],
             [0.5000, 1.0000]]])
    """
    found = explain(
        model,
        images,
        methods=[method],
        target_layer=target_layer,
        targets=targets,
        batch_size=batch_size,
        engine=engine,
    )
    return found.maps[method]


def explain(
    model: nn.Module,
    images: Tensor,
    *,
    methods: Sequence[str],
    target_layer: nn.Module | str | None = None,
    targets: Tensor | Sequence[int] | None = None,
    batch_size: int | None = None,
    engine: str = "fast",
) -> Explanation:
    """Heatmaps by several methods and the logits of the same images, from one pass through the model.

    Arguments and errors are those of `heatmaps`. Besides the maps, `explain` gives what the pass found anyway: the
    logits, and the class that each map explains (`targets` if given, else the top class: the prediction).
    """
    check_methods(methods, METHODS, engine, ENGINES)
    check_images(images)
    with as_evaluated(model):
        layout = survey(model, placed_like(model, images[:1]), target_layer)
        if targets is not None:
            targets = check_targets(targets, len(images), layout.classes).to(layout.device)
        explain_batch = reference.explain_batch if engine == "grad-cam" else _explain_batch
        maps, logits, explained = _in_batches(
            lambda rows: explain_batch(
                model,
                layout.layer,
                placed_like(model, images[rows]),
                methods,
                None if targets is None else targets[rows],
            ),
            len(images),
            batch_size_within(layout, batch_size),
        )
    check_logits(logits)
    return Explanation(maps, logits, explained)


def _in_batches(explain_rows: Callable, total: int, size: int) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """The results of all batches, joined; a batch that does not fit the GPU is halved and tried again."""
    parts, start = [], 0
    while start < total:
        try:
            parts.append(explain_rows(slice(start, start + size)))
            start += size
        except torch.OutOfMemoryError:
            if size == 1:
                raise
            size //= 2
    maps, logits, explained = zip(*parts, strict=True)
    joined = {method: torch.cat([part[method] for part in maps]) for method in maps[0]}
    return joined, torch.cat(logits), torch.cat(explained)


def _explain_batch(
    model: nn.Module, layer: nn.Module, images: Tensor, methods: Sequence[str], targets: Tensor | None
) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    activations, logits = forward_through(model, layer, images)
    explained = logits.detach().argmax(dim=1) if targets is None else targets
    slopes = gradients.of_targets(logits, explained, activations)
    activations, slopes = (at_least_float32(t) for t in (activations.detach(), slopes))
    maps = {
        method: to_heatmaps(activations, gradients.WEIGHTS[method](activations, slopes), images.shape[-2:])
        for method in methods
    }
    return maps, logits.detach(), explained
