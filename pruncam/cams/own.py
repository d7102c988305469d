"""CAM methods that a user brings: called with what ours get, and held to what ours give."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from pruncam.cams.passes import batch_size_within, placed_like, survey
from pruncam.choices import shown
from pruncam.forward import as_evaluated

# (model, images (n, C, H, W), target layer, targets (n,) class indices) -> heatmaps (n, H, W) in [0, 1]
OwnMethod = Callable[[nn.Module, Tensor, nn.Module, Tensor], Tensor]


def own_heatmaps(
    model: nn.Module,
    images: Tensor,
    methods: Mapping[str, OwnMethod],
    *,
    targets: Tensor,
    target_layer: nn.Module | str | None = None,
    batch_size: int | None = None,
) -> dict[str, Tensor]:
    """The heatmaps (N, H, W) of every method by its name, float32 on the model's device.

    `images`, `targets`, `target_layer` and `batch_size` are those of `cams.heatmaps`; a method gets the layer itself,
    and the model in eval mode. What a method leaves on the model (gradients, hooks) stays there.

    Raises ValueError where a method gives no heatmaps of its images in [0, 1].
    """
    if not methods:
        return {}
    with as_evaluated(model):
        layout = survey(model, placed_like(model, images[:1]), target_layer)
        targets, found = targets.to(layout.device), {name: [] for name in methods}
        for rows in torch.arange(len(images)).split(batch_size_within(layout, batch_size)):
            x = placed_like(model, images[rows.to(images.device)])
            for name, method in methods.items():
                maps = method(model, x.clone(), layout.layer, targets[rows.to(layout.device)])
                found[name].append(_checked(name, maps, x))
    return {name: torch.cat(parts) for name, parts in found.items()}


def _checked(name: str, maps: object, images: Tensor) -> Tensor:
    """The maps on the images' device in float32, refused where they are no heatmaps of these images."""
    try:
        found = torch.as_tensor(maps).detach().to(images.device, torch.float32)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"own CAM {name!r} must give a tensor of heatmaps, got {shown(maps)}") from None
    expected = (len(images), *images.shape[2:])
    if found.shape != expected:
        raise ValueError(f"own CAM {name!r} must give heatmaps of shape {expected}, got {tuple(found.shape)}")
    low, high = (float(end) for end in found.aminmax())
    if not (low >= 0 and high <= 1):  # NaN fails both
        raise ValueError(f"own CAM {name!r} must give heatmaps in [0, 1], got [{low:g}, {high:g}]: scale them")
    return found
