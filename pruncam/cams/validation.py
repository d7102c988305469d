"""Validation of the arguments of `heatmaps` and `explain`."""

from collections.abc import Collection, Container, Mapping, Sequence

import torch
from torch import Tensor

from pruncam._core.validation import check_choice, check_functions, check_tensor, short_repr
from pruncam.cams.registry import METHODS

ENGINES = ("fast", "grad-cam")


def check_methods(methods: Collection[str]) -> None:
    """Raise ValueError unless `methods` is a non-empty collection of CAM methods."""
    is_list = isinstance(methods, Collection) and not isinstance(methods, str | Tensor)
    if not is_list or len(methods) == 0:
        known = ", ".join(METHODS)
        raise ValueError(
            f"methods must be a list of one or more of {known}, got {short_repr(methods)}"
        )
    for method in methods:
        check_choice("CAM method", method, METHODS)


def check_custom_methods(
    name: str, methods: Mapping[str, object], reserved: Container[str] = ()
) -> None:
    """Raise TypeError or ValueError unless `methods` are CAM methods of the user by name."""
    check_functions(name, methods, ["model", "images", "target layer", "targets"], reserved)


def check_engine(engine: str) -> None:
    """Raise ValueError unless `engine` exists."""
    check_choice("engine", engine, ENGINES)


def check_images(images: Tensor) -> None:
    """Raise TypeError or ValueError unless `images` is a finite float tensor (N, C, H, W)."""
    check_tensor("images", images, "a tensor of shape (N, C, H, W)")
    shape = tuple(images.shape)
    if images.ndim != 4:
        raise ValueError(f"images must have the shape (N, C, H, W), got {shape}")
    if not images.is_floating_point():
        raise TypeError(
            f"images must be floating point, scaled as the model expects, got {images.dtype}"
        )
    if images.numel() == 0:
        raise ValueError(f"images must hold at least one image and one pixel, got shape {shape}")
    # A sum is finite only if all its terms are: one pass, and no mask as large as the images.
    for batch in images.detach().split(256):
        if not batch.sum(dtype=torch.float32).isfinite() and not batch.isfinite().all():
            raise ValueError("images must be finite, got NaN or infinite pixels")


def check_targets(targets: Tensor | Sequence[int], images: int, classes: int) -> Tensor:
    """Return the targets as an int64 tensor (N,).

    Raises TypeError or ValueError unless there is one index of an existing class per image.
    """
    try:
        targets = torch.as_tensor(targets)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(
            f"targets must be integer class indices, one per image, got {short_repr(targets)}"
        ) from None
    check_tensor("targets", targets, "integer class indices")
    if targets.shape != (images,):
        raise ValueError(
            f"targets must be one class index per image, shape ({images},), "
            f"got {tuple(targets.shape)}"
        )
    if targets.is_floating_point() or targets.is_complex() or targets.dtype == torch.bool:
        raise TypeError(f"targets must be integer class indices, got {targets.dtype}")
    lowest, highest = int(targets.min()), int(targets.max())
    if lowest < 0 or highest >= classes:
        raise ValueError(
            f"targets must be classes of the model, 0 to {classes - 1}, got {lowest} to {highest}"
        )
    return targets.long()


def check_logits(logits: Tensor) -> None:
    """Raise ValueError if logits are not finite: they have no class to explain."""
    invalid = int((~logits.isfinite().all(dim=1)).sum())
    if invalid:
        raise ValueError(
            f"the model's logits are NaN or infinite for {invalid} of {len(logits)} images"
        )
