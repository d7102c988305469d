"""Predicted classes and accuracy of a classifier on images held in memory."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from pruncam._core.validation import (
    calling,
    check_function,
    check_model,
    check_number,
    check_tensor,
)
from pruncam._nn.probe import eval_mode, first_logits
from pruncam.training.memory_layout import layout_of_inputs

Prepare = Callable[[Tensor], Tensor]
_LEAST_IMAGES = 16  # with fewer, finding the fastest layout takes longer than it saves


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
    return _predicted(model, images, prepare, batch_size)[0]


def _predicted(
    model: nn.Module, images: Tensor, prepare: Prepare | None, batch_size: int
) -> tuple[Tensor, int]:
    """Return the predicted class of every image, and the number of classes."""
    check_model(model)
    check_number("batch_size", batch_size, whole=True, at_least=1)
    _check_images(images, prepare)
    classes = []
    count, layout = 0, torch.contiguous_format
    with eval_mode(model), torch.no_grad():  # `eval_mode` alone switches gradients on
        images = images.clone() if images.is_inference() else images
        for position, batch in enumerate(images.split(min(int(batch_size), len(images)))):
            inputs = batch if prepare is None else _prepared(batch, prepare)
            if position == 0:
                count = first_logits(model, inputs[:1]).shape[1]
                layout = _layout(model, inputs)
            logits = model(inputs.contiguous(memory_format=layout))
            if logits.isnan().any():
                raise ValueError("the model's logits are NaN: no class can be predicted")
            classes.append(logits.argmax(1))
    return torch.cat(classes), count


def _layout(model: nn.Module, inputs: Tensor) -> torch.memory_format:
    """Return the layout in memory with which the model is probably fastest."""
    if inputs.device.type != "cpu" or inputs.ndim != 4 or len(inputs) < _LEAST_IMAGES:
        return torch.contiguous_format
    return layout_of_inputs(model, inputs[:1])


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
        If images, labels and model do not fit each other, a label is no class of the model, or a
        logit is NaN.
    TypeError
        If an argument has the wrong type.
    """
    if not (isinstance(images, Tensor) and isinstance(labels, Tensor)):
        types = f"{type(images).__name__} and {type(labels).__name__}"
        raise TypeError(f"accuracy needs images and labels as tensors, got {types}")
    is_integer = not (
        labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool
    )
    if labels.ndim != 1 or not is_integer or labels.is_meta:
        raise ValueError(
            f"labels must be class indices (N,), got {labels.dtype} of shape {tuple(labels.shape)}"
        )
    if images.ndim and len(images) != len(labels):
        raise ValueError(
            f"accuracy needs one label per image, got {len(labels)} labels for {len(images)} images"
        )
    predicted, classes = _predicted(model, images, prepare, batch_size)
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < 0 or highest >= classes:
        raise ValueError(
            f"labels must be classes of the model, 0 to {classes - 1}, got {lowest} to {highest}"
        )
    correct = predicted == labels.to(predicted.device)
    return int(correct.sum()) / len(labels)


def _prepared(images: Tensor, prepare: Prepare) -> Tensor:
    """Return the network input that `prepare` makes of images; raise unless it is a tensor."""
    shape = tuple(images.shape)
    with calling("prepare", f"images of shape {shape}", Exception):
        inputs = prepare(images)
    if not isinstance(inputs, Tensor):
        kind = type(inputs).__name__
        raise TypeError(f"prepare must return a tensor of network input, got {kind}")
    return inputs


def _check_images(images: Tensor, prepare: Prepare | None) -> None:
    check_tensor("images", images, "a tensor")
    if prepare is not None:
        check_function("prepare", prepare, ["a batch of images"])
    if images.ndim == 0 or len(images) == 0:
        raise ValueError(f"at least one image is required, got shape {tuple(images.shape)}")
    if prepare is None and not images.is_floating_point():
        raise ValueError(
            f"images must be float network input, got {images.dtype}: convert them or pass prepare"
        )
