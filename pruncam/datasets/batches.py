"""Batches of float images and labels from tensors, image sets, image folders and loaders."""

import os
from collections.abc import Callable, Iterable, Iterator, Sized
from functools import partial
from typing import Any

import torch
from torch import Tensor

from pruncam._core.validation import calling, check_function, check_tensor, short_repr
from pruncam.datasets import decoding, image_folder
from pruncam.datasets.images import ImageSet, images_in_batch
from pruncam.datasets.streamed_images import StreamedImages

Images = Tensor | ImageSet | str | os.PathLike | Iterable

UNKNOWN = -1  # the label of an image without one


class Batches:
    """Batches of (images (n, C, H, W) float, labels (n,) int64).

    uint8 pixels are scaled to [0, 1] before `transform` is applied to each batch. An image without
    a label gets the label -1.

    Parameters
    ----------
    images : tensor (N, C, H, W), ImageSet, path or iterable
        A path is read by `image_folder.iterate`: one sub-folder of images for each class. An
        iterable, such as a DataLoader, yields images or pairs of images and labels.
    labels : int tensor (N,), only with a tensor of images
    transform : function of a batch of images, or None

    Attributes
    ----------
    total : int or None
        Number of images, None if it is not known in advance.
    labelled : bool
        Whether labels are to be expected.

    Raises TypeError, ValueError or DataError; for a batch that does not fit, while iterating.
    """

    def __init__(
        self,
        images: Images,
        labels: Tensor | None = None,
        transform: Callable[[Tensor], Tensor] | None = None,
    ):
        _check_arguments(images, labels, transform)
        self.labelled = labels is not None or not isinstance(images, Tensor)
        self._transform = transform
        if isinstance(images, ImageSet):
            labels = images.labels
            images = images.images
        self._source: Callable[[], Iterable]
        self.total: int | None
        if isinstance(images, Tensor):
            check_tensor("images", images, "a tensor (N, C, H, W)")
            self.total = len(images) if images.ndim else 0
            checked = None if labels is None else _check_labels(labels, self.total)
            self._source = partial(_slices, images, checked)
        elif isinstance(images, str | os.PathLike):
            self.total = image_folder.count_images(images)
            self._source = partial(_folder_batches, images)
        elif isinstance(images, Iterable) and not hasattr(images, "__array__"):
            self.total = _loader_length(images)
            self._source = partial(iter, images)
        else:
            hint = ": use torch.as_tensor" if hasattr(images, "__array__") else ""
            raise TypeError(
                "images must be a tensor (N, C, H, W), an ImageSet, a folder or a loader of "
                f"(images, labels) batches, got {type(images).__name__}{hint}"
            )

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for number, batch in enumerate(self._source()):
            images, labels = _split(batch, f"batch {number}")
            if images.dtype == torch.uint8:
                images = images / 255
            if self._transform is not None:
                images = _transformed(images, self._transform, f"batch {number}")
            yield images, _check_labels(labels, len(images))


def _check_arguments(images: object, labels: object, transform: object) -> None:
    if labels is not None and not isinstance(images, Tensor):
        raise TypeError(
            f"labels go with a tensor of images; a {type(images).__name__} has labels already"
        )
    if transform is not None:
        check_function("transform", transform, ["a batch of images"])
    first = images[0] if isinstance(images, tuple) and len(images) == 2 else None
    if isinstance(first, Tensor) and first.ndim == 4:
        raise TypeError("images and labels are two arguments, got one pair")


def _slices(images: Tensor, labels: Tensor | None) -> Iterator[tuple[Tensor, Tensor | None]]:
    if images.ndim != 4 or images.numel() == 0:
        raise ValueError(
            f"images must be a tensor (N, C, H, W) and not empty, got {tuple(images.shape)}"
        )
    rows = images_in_batch(images.shape[1:])
    for start in range(0, len(images), rows):
        stop = start + rows
        yield images[start:stop], None if labels is None else labels[start:stop]


def _folder_batches(path: str | os.PathLike) -> Iterator[tuple[Tensor, Tensor]]:
    try:
        yield from image_folder.iterate(path)
    except decoding.SizeMismatch as error:
        raise ValueError(str(error)) from None


def _loader_length(loader: Iterable) -> int | None:
    if isinstance(loader, StreamedImages):
        return len(loader)
    dataset = getattr(loader, "dataset", None)
    return len(dataset) if isinstance(dataset, Sized) else None


def _split(batch: object, name: str) -> tuple[Tensor, Any]:
    """Return the images and labels of a batch, which may lack labels."""
    images, labels = batch, None
    if isinstance(batch, tuple | list) and len(batch) == 2:
        images, labels = batch
    expected = f"{name} must be images (N, C, H, W) or a pair of images and labels"
    if not isinstance(images, Tensor):
        raise ValueError(f"{expected}, got {type(images).__name__}")
    if images.ndim != 4 or len(images) == 0:
        raise ValueError(f"{expected}, got shape {tuple(images.shape)}")
    return images, labels


def _transformed(images: Tensor, transform: Callable[[Tensor], Tensor], name: str) -> Tensor:
    shape = tuple(images.shape)
    with calling("transform", f"{name} of shape {shape}", Exception):
        result = transform(images)
    if not isinstance(result, Tensor) or result.ndim != 4 or len(result) != len(images):
        raise ValueError(
            "transform must give a batch of as many images (N, C, H, W) as it receives; "
            f"it does not for {name}"
        )
    return result


def _check_labels(labels: object, count: int) -> Tensor:
    """Return labels as an int64 tensor on the CPU; UNKNOWN for each image without labels."""
    if labels is None:
        return torch.full((count,), UNKNOWN)
    try:
        values = torch.as_tensor(labels)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"labels must be class indices, got {short_repr(labels)}") from None
    check_tensor("labels", values, "class indices")
    is_integer = not (
        values.is_floating_point() or values.is_complex() or values.dtype == torch.bool
    )
    if not is_integer or values.shape != (count,):
        raise ValueError(
            f"labels must be one class index for each of {count} images, "
            f"got {values.dtype} {tuple(values.shape)}"
        )
    if count and values.min() < 0:
        raise ValueError(f"labels must be class indices from 0, got {int(values.min())}")
    return values.long().cpu()
