"""Whatever images a user has, as batches of floats and labels: tensors, image sets, folders of pictures, loaders."""

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from pruncam.choices import shown
from pruncam.datasets.images import DataError, ImageSet

Images = Tensor | ImageSet | str | os.PathLike | Iterable

_NUMBERS = 2**23  # in a batch that is cut here
UNKNOWN = -1  # the label of an image without one


class Batches:
    """Batches (images (n, C, H, W) float, labels (n,) int64) of any of the kinds of `Images`.

    `total` is the number of images, None where it is not known before the end; `labelled` is whether labels are to be
    expected. uint8 pixels are scaled to [0, 1]; then `transform` is applied to every batch.

    Raises TypeError, ValueError or DataError in one sentence, for a batch that does not fit when it comes.
    """

    def __init__(
        self, images: Images, labels: Tensor | None = None, transform: Callable[[Tensor], Tensor] | None = None
    ):
        if labels is not None and not isinstance(images, Tensor):
            raise TypeError(f"labels go with a tensor of images; {type(images).__name__} brings its own")
        if transform is not None and not callable(transform):
            raise TypeError(f"transform must be a function of a batch of images, got {type(transform).__name__}")
        if isinstance(images, tuple) and len(images) == 2 and isinstance(images[0], Tensor) and images[0].ndim == 4:
            raise TypeError("images and labels are two arguments, got them as one pair")
        self._transform = transform
        self.labelled = labels is not None or not isinstance(images, Tensor)
        if isinstance(images, ImageSet):
            images, labels = images.images, images.labels
        if isinstance(images, Tensor):
            self.total = len(images) if images.ndim else 0
            known = None if labels is None else _checked_labels(labels, self.total)
            self._source = lambda: _slices(images, known)
        elif isinstance(images, str | os.PathLike):
            loader = _folder(images)
            self.total, self._source = len(loader.dataset), lambda: iter(loader)
        elif isinstance(images, Iterable) and not hasattr(images, "__array__"):
            held = getattr(images, "dataset", None)
            self.total, self._source = (len(held) if hasattr(held, "__len__") else None), lambda: iter(images)
        else:
            raise TypeError(
                "images must be a tensor (N, C, H, W), an ImageSet, a folder or a loader of (images, labels) batches, "
                f"got {type(images).__name__}" + (": use torch.as_tensor" if hasattr(images, "__array__") else "")
            )

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for number, batch in enumerate(self._source()):
            yield self._ready(batch, f"batch {number}")

    def _ready(self, batch: object, which: str) -> tuple[Tensor, Tensor]:
        images, labels = batch if isinstance(batch, tuple | list) and len(batch) == 2 else (batch, None)
        if not isinstance(images, Tensor) or images.ndim != 4 or len(images) == 0:
            got = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
            raise ValueError(f"{which} must be images (N, C, H, W), or a pair of those and their labels, got {got}")
        images = images / 255 if images.dtype == torch.uint8 else images
        if self._transform is not None:
            count, images = len(images), self._transform(images)
            if not isinstance(images, Tensor) or images.ndim != 4 or len(images) != count:
                raise ValueError(f"transform must give a batch of as many images (N, C, H, W), which {which} is not")
        return images, _checked_labels(labels, len(images))


def _checked_labels(labels: object, count: int) -> Tensor:
    if labels is None:
        return torch.full((count,), UNKNOWN)
    try:
        labels = torch.as_tensor(labels)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"labels must be class indices, got {shown(labels)}") from None
    if labels.shape != (count,) or labels.is_floating_point() or labels.dtype == torch.bool:
        raise ValueError(
            f"labels must be one class index for each of {count} images, got {labels.dtype} {tuple(labels.shape)}"
        )
    if count and labels.min() < 0:
        raise ValueError(f"labels must be class indices from 0, got {int(labels.min())}")
    return labels.long().cpu()


def _slices(images: Tensor, labels: Tensor | None) -> Iterator[tuple[Tensor, Tensor | None]]:
    if images.ndim != 4 or images.numel() == 0:
        raise ValueError(f"images must be a tensor (N, C, H, W) and not empty, got {tuple(images.shape)}")
    rows = max(1, _NUMBERS // images[0].numel())
    for start in range(0, len(images), rows):
        yield images[start : start + rows], None if labels is None else labels[start : start + rows]


def _folder(folder: str | os.PathLike) -> Any:
    """A DataLoader of its pictures, RGB as they come from torchvision, labelled by their folders in sorted order."""
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder  # here: the import alone takes seconds
    from torchvision.datasets.folder import default_loader
    from torchvision.transforms import PILToTensor

    def read(path: str) -> Any:
        try:
            return default_loader(path)
        except (OSError, ValueError, SyntaxError) as error:
            raise DataError(f"{path} cannot be read as a picture ({error}): repair or remove it") from error

    if not str(folder):
        raise DataError("the folder of pictures has no name: give its path")
    try:
        pictures = ImageFolder(str(folder), transform=PILToTensor(), loader=read)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(f"{folder} must hold one sub-folder of pictures for each class: {error}") from error
    return DataLoader(pictures, batch_size=64, collate_fn=_stacked)


def _stacked(pairs: list[tuple[Tensor, int]]) -> tuple[Tensor, Tensor]:
    sizes = {tuple(image.shape[1:]) for image, _ in pairs}
    if len(sizes) > 1:
        raise ValueError(
            f"the folder's pictures have different sizes, {' and '.join(map(str, sorted(sizes)[:2]))}: pass "
            "DataLoader(ImageFolder(folder, transform)) with a transform that resizes them"
        )
    return torch.stack([image for image, _ in pairs]), torch.tensor([label for _, label in pairs])
