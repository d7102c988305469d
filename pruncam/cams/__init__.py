"""Class activation maps: which pixels of an image a classifier looks at.

`heatmaps` gives the maps of one method; `explain` gives the maps of several methods and the logits from one pass.
Both give what the pytorch-grad-cam library (1.5.7) gives, to 1e-4, and leave the model exactly as they found it.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pruncam.cams import gradients, reference
from pruncam.cams.ablation import ablation_weights
from pruncam.cams.checks import check_images, check_logits, check_methods, check_targets
from pruncam.cams.passes import batch_size_within, placed_like, survey
from pruncam.cams.scaling import at_least_float32, to_heatmaps
from pruncam.cams.splitting import Hooked, Traced, split
from pruncam.forward import as_evaluated

METHODS = ("grad-cam", "grad-cam++", "ablation-cam", "ablation-cam-zero")
ENGINES = ("fast", "grad-cam")
_ABLATIONS = {"ablation-cam": False, "ablation-cam-zero": True}  # whether an ablated channel always becomes 0


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
    method : "grad-cam" (Selvaraju et al. 2017), "grad-cam++" (Chattopadhay et al. 2018) or "ablation-cam"
        (Desai & Ramaswamy 2020) as pytorch-grad-cam has it: in place of an ablated channel stands 0 only if the
        image's smallest activation is exactly 0, else about (i + 1) 1e7 less than that, for channel i of every 32;
        "ablation-cam-zero" has the paper's 0 always. After a ReLU the two agree, before one they may not.
        Grad-CAM++ before a ReLU divides by sums that may nearly vanish: there float32 itself is good to some 1e-4.
    target_layer : module, dotted name, or None for the convolution applied last
        The activation is this layer's own output, also where an in-place layer after it overwrites it.
        A layer that is applied several times is read at its first use.
    targets : (N,) class indices, or None for the model's own top class
    batch_size : images per pass; None derives it from a memory budget
    engine : "fast", or "grad-cam" to call the pytorch-grad-cam library (same maps, slower)

    Returns
    -------
    float32 tensor of shape (N, H, W), in [0, 1], on the model's device
        All zero where the map is constant, 1x1 or nowhere positive, and for Ablation-CAM where the explained logit is
        exactly 0 (the library divides by it); a negative logit turns Ablation-CAM's weights round, as in the library.

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

    It may be used in threads, each with a model of its own.
    """
    check_methods(methods, METHODS, engine, ENGINES)
    check_images(images)
    with as_evaluated(model):
        first = placed_like(model, images[:1])
        layout = survey(model, first, target_layer)
        if targets is not None:
            targets = check_targets(targets, len(images), layout.classes).to(layout.device)
        if engine == "grad-cam":
            explain_batch = partial(reference.explain_batch, model, layout.layer)
        else:
            resumed = any(method in _ABLATIONS for method in methods)
            network = split(model, layout.layer, first) if resumed else Hooked(model, layout.layer)
            explain_batch = partial(_explain_batch, network, bytes_per_row=layout.bytes_after)
        maps, logits, explained = _in_batches(
            lambda rows: explain_batch(
                placed_like(model, images[rows]), methods, None if targets is None else targets[rows]
            ),
            len(images),
            batch_size_within(layout, batch_size),
        )
    check_logits(logits)
    return Explanation(maps, logits, explained)


def _in_batches(explain_rows: Callable, total: int, size: int) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """The results of all batches, joined; a batch that does not fit the GPU is halved and tried again."""
    joined, start = None, 0
    while start < total:
        rows = slice(start, start + size)
        try:
            maps, *others = explain_rows(rows)
        except torch.OutOfMemoryError:
            if size == 1:
                raise
            size //= 2
            continue
        start += size
        if joined is None:
            joined = [value.new_empty(total, *value.shape[1:]) for value in (*maps.values(), *others)]
        for whole, part in zip(joined, (*maps.values(), *others), strict=True):
            whole[rows] = part
    *joined_maps, logits, explained = joined
    return dict(zip(maps, joined_maps, strict=True)), logits, explained


def _explain_batch(
    network: Traced | Hooked, images: Tensor, methods: Sequence[str], targets: Tensor | None, *, bytes_per_row: int
) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    differentiable = any(method in gradients.WEIGHTS for method in methods)
    cut = network.cut(images, differentiable)
    logits, activations = cut.logits.detach(), at_least_float32(cut.activations.detach())
    explained = logits.argmax(dim=1) if targets is None else targets
    if differentiable:
        slopes = at_least_float32(gradients.of_targets(cut.logits, explained, cut.activations))
    maps = {}
    with torch.no_grad():
        for method in methods:
            if method in gradients.WEIGHTS:
                weights = gradients.WEIGHTS[method](activations, slopes)
            else:
                weights = ablation_weights(network, cut, explained, _ABLATIONS[method], bytes_per_row)
            maps[method] = to_heatmaps(activations, weights.to(activations), images.shape[-2:])
    return maps, logits, explained
