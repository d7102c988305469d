"""What a caller can get wrong, refused in one sentence."""

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from pruncam.choices import shown


def check_methods(methods: Sequence[str], known: Sequence[str], engine: str, engines: Sequence[str]) -> None:
    """Refuse methods and engines that do not exist."""
    if isinstance(methods, str) or not isinstance(methods, Collection) or len(methods) == 0:
        raise ValueError(f"methods must be a list of one or more of {', '.join(known)}, got {shown(methods)}")
    for method in methods:
        if method not in known:
            raise ValueError(f"unknown CAM method {method!r}: choose one of {', '.join(known)}")
    if engine not in engines:
        raise ValueError(f"unknown engine {engine!r}: choose one of {', '.join(engines)}")


def check_images(images: Tensor) -> None:
    """Refuse what is not a non-empty, finite float tensor of shape (N, C, H, W)."""
    if not isinstance(images, Tensor):
        raise TypeError(f"images must be a tensor of shape (N, C, H, W), got {type(images).__name__}")
    if images.ndim != 4:
        raise ValueError(f"images must have the shape (N, C, H, W), got {tuple(images.shape)}")
    if not images.is_floating_point():
        raise TypeError(f"images must be floating point, scaled as the model wants them, got {images.dtype}")
    if images.numel() == 0:
        raise ValueError(f"images must hold at least one image and one pixel, got shape {tuple(images.shape)}")
    # The sum of a batch is finite only if all of it is: one pass and no mask as large as the images.
    for batch in images.detach().split(256):
        if not batch.sum(dtype=torch.float32).isfinite() and not batch.isfinite().all():
            raise ValueError("images must be finite, got NaN or infinite pixels")


def check_targets(targets: Tensor | Sequence[int], images: int, classes: int) -> Tensor:
    """The targets as an int64 tensor of shape (N,); refuse other shapes, types and classes that do not exist."""
    try:
        targets = torch.as_tensor(targets)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"targets must be integer class indices, one per image, got {shown(targets)}") from None
    if targets.shape != (images,):
        raise ValueError(f"targets must be one class index per image, shape ({images},), got {tuple(targets.shape)}")
    if targets.is_floating_point() or targets.is_complex() or targets.dtype == torch.bool:
        raise TypeError(f"targets must be integer class indices, got {targets.dtype}")
    lowest, highest = int(targets.min()), int(targets.max())
    if lowest < 0 or highest >= classes:
        raise ValueError(f"targets must be classes of the model, 0 to {classes - 1}, got {lowest} to {highest}")
    return targets.long()


def check_logits(logits: Tensor) -> None:
    """Refuse a model whose logits are not finite: there is no class to explain."""
    bad = int((~logits.isfinite().all(dim=1)).sum())
    if bad:
        raise ValueError(f"the model's logits are NaN or infinite for {bad} of {len(logits)} images")
