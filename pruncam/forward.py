"""A network's first pass: in eval mode, leaving no trace, and one sentence where it does not take the images."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from pruncam.choices import check_model


@contextmanager
def as_evaluated(model: nn.Module) -> Iterator[None]:
    """Eval mode and ordinary tensors inside, whatever the caller's mode; every submodule's own mode back after."""
    check_model(model)
    training = [module for module in model.modules() if module.training]
    # Tensors made in inference mode can never take part in a gradient.
    with torch.inference_mode(False):
        try:
            for module in training:
                module.training = False
            yield
        finally:
            for module in training:
                module.training = True


@torch.no_grad()
def first_logits(model: nn.Module, images: Tensor) -> Tensor:
    """The logits of a few images; ValueError where the model cannot take them or gives no logits (N, classes)."""
    try:
        logits = model(images)
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, ValueError, IndexError, AssertionError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"the model cannot take images of shape {tuple(images.shape[1:])}: {reason}") from error
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(images):
        got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        count = "one image" if len(images) == 1 else f"{len(images)} images"
        raise ValueError(f"the model must return logits of shape (N, classes), got {got} for {count}")
    return logits


def check_fit(model: nn.Module, images: Tensor, labels: Tensor) -> None:
    """Refuse images that the model does not take and labels that it has no class for; random state stays as it is."""
    few = images[:2]  # two: a BatchNorm without running statistics cannot work on one
    with as_evaluated(model), torch.random.fork_rng([images.device] if images.is_cuda else []):
        classes = first_logits(model, few).shape[1]
    lowest, highest = (int(end) for end in labels.aminmax())
    if lowest < 0 or highest >= classes:
        raise ValueError(f"the network has classes 0 to {classes - 1}, got labels from {lowest} to {highest}")
