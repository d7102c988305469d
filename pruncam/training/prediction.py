"""Predicted classes and accuracy of a classifier on images held in memory."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from pruncam._core.validation import check_model, check_number
from pruncam._nn.probe import eval_mode, first_logits

Prepare = Callable[[Tensor], Tensor]


@torch.no_grad()
def predictions(
    model: nn.Module,
    images: Tensor,
    *,
    prepare: Prepare | None = None,
    batch_size: int = 256,
) -> Tensor:
    """Return the class with the highest logit for every image, in eval mode.

    Parameters
    ----------
    model : classifier that returns logits (N, classes); left as it was
    images : tensor of shape (N, C, H, W), N > 0
        Network input in floating point, or raw images of any type that `prepare` accepts.
    prepare : function that turns a raw batch into network input
    batch_size : images per forward pass

    Returns
    -------
    int64 tensor of shape (N,), on the model's device

    Raises
    ------
    ValueError
        If there is no image, the model cannot take the images, or a logit is NaN.
    TypeError
        If an argument has the wrong type.
    """
    check_model(model)
    check_number("batch_size", batch_size, whole=True, at_least=1)
    _check_images(images, prepare)
    classes = []
    with eval_mode(model):
        for position, batch in enumerate(images.split(batch_size)):
            inputs = batch if prepare is None else prepare(batch)
            if position == 0:
                first_logits(model, inputs[:1])
            logits = model(inputs)
            if logits.isnan().any():
                raise ValueError("the model's logits are NaN: no class can be predicted")
            classes.append(logits.argmax(1))
    return torch.cat(classes)


def accuracy(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    prepare: Prepare | None = None,
    batch_size: int = 256,
) -> float:
    """Return the fraction of images whose highest logit is that of their label, in [0, 1].

    Takes the arguments of `predictions` and `labels`, a tensor (N,) of class indices.

    Raises
    ------
    ValueError
        If images, labels and model do not fit each other, or a logit is NaN.
    TypeError
        If an argument has the wrong type.
    """
    if not (isinstance(images, Tensor) and isinstance(labels, Tensor)):
        types = f"{type(images).__name__} and {type(labels).__name__}"
        raise TypeError(f"accuracy needs images and labels as tensors, got {types}")
    if len(images) != len(labels):
        raise ValueError(
            f"accuracy needs one label per image, got {len(labels)} labels for {len(images)} images"
        )
    is_integer = not (labels.is_floating_point() or labels.dtype == torch.bool)
    if labels.ndim != 1 or not is_integer:
        raise ValueError(
            f"labels must be class indices (N,), got {labels.dtype} of shape {tuple(labels.shape)}"
        )
    predicted = predictions(model, images, prepare=prepare, batch_size=batch_size)
    correct = predicted == labels.to(predicted.device)
    return int(correct.sum()) / len(labels)


def _check_images(images: Tensor, prepare: Prepare | None) -> None:
    if not isinstance(images, Tensor):
        raise TypeError(f"images must be a tensor, got {type(images).__name__}")
    if images.ndim == 0 or len(images) == 0:
        raise ValueError(f"at least one image is required, got shape {tuple(images.shape)}")
    if prepare is None and not images.is_floating_point():
        raise ValueError(
            f"images must be float network input, got {images.dtype}: convert them or pass prepare"
        )
