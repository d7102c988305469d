"""An image set in memory: uint8 pixels, labels, and their origin."""

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional

from pruncam._core.validation import check_flag, check_tensor, short_repr

_BATCH_VALUES = 2**22  # in a batch of images


class DataError(RuntimeError):
    """A data set that is missing, damaged or cannot be downloaded; the message says what to do."""


@dataclass(frozen=True, eq=False)  # eq: tensors have no single truth value; compare `checksum`
class ImageSet:
    """One split of a data set.

    Parameters
    ----------
    name, split : str
    images : uint8 tensor (N, C, H, W)
    labels : int64 tensor (N,)
        Indices into `classes`.
    classes : tuple of str
    provenance : str
        One phrase for manifests and captions.
    showable : bool
        Whether the images may be published.
    credits : tuple of N str, or None
        Acknowledgement to print with each published image; "" for one that may not be published.
    original : bool
        Whether these are the publisher's pixels, verified by checksum.
    objects : bool tensor (N, H, W), or None
        The pixels of the object that the label names, where they are known.

    Raises TypeError or ValueError if a part is of another type, or the parts do not fit together.
    """

    name: str
    split: str
    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    provenance: str
    showable: bool = True
    credits: tuple[str, ...] | None = None
    original: bool = False
    objects: Tensor | None = None

    def __post_init__(self) -> None:
        images, labels, objects = self.images, self.labels, self.objects
        _check_texts("name, split and provenance", (self.name, self.split, self.provenance))
        check_flag("showable", self.showable)
        check_flag("original", self.original)
        check_tensor("images", images, "a uint8 tensor of shape (N, C, H, W)")
        fits = images.dtype == torch.uint8 and images.ndim == 4
        _check_tensor("images", images, "a uint8 tensor of shape (N, C, H, W)", fits)
        count, _, height, width = images.shape
        check_tensor("labels", labels, "an int64 tensor, one for each image")
        fits = labels.dtype == torch.int64 and labels.shape == (count,)
        expected = f"an int64 tensor of shape ({count},), one for each image"
        _check_tensor("labels", labels, expected, fits)
        if objects is not None:
            shape = (count, height, width)
            check_tensor("objects", objects, f"a bool tensor of shape {shape}")
            fits = objects.dtype == torch.bool and objects.shape == shape
            _check_tensor("objects", objects, f"a bool tensor of shape {shape}", fits)
        _check_texts("classes", self.classes)
        if self.credits is not None:
            _check_texts("credits", self.credits)
        if self.credits is not None and len(self.credits) != count:
            raise ValueError(
                f"credits must be one for each of the {count} images, got {len(self.credits)}"
            )
        if images.numel() == 0:
            raise ValueError(
                f"an image set must not be empty, got images of shape {tuple(images.shape)}"
            )
        low, high = labels.aminmax()
        if low < 0 or high >= len(self.classes):
            raise ValueError(
                f"labels must index the {len(self.classes)} classes, got {int(low)} to {int(high)}"
            )

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def checksum(self) -> str:
        """Return the SHA-256 (hex) of shape, pixels, labels and objects.

        It is the same on every device and machine.
        """
        digest = PixelDigest(self.images.shape)
        digest.add(self.images)
        return digest.finish(self.labels, self.objects)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return the channels, height and width of an image."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    @property
    def batch_length(self) -> int:
        """Return how many images go through a network at a time."""
        return images_in_batch(self.shape)

    @property
    def part_length(self) -> int:
        """Return how many images are in memory at a time: all."""
        return len(self)

    def pixels(self, indices: Tensor) -> Tensor:
        """Return the pixels of some images, (n, C, H, W) uint8."""
        return self.images[indices]

    def parts(self) -> Iterator["ImageSet"]:
        """Iterate over the images in parts that fit into memory: the set itself."""
        yield self

    def part(self, numbers: range) -> "ImageSet":
        """Return the images of a contiguous range of numbers, as views."""
        chosen = slice(numbers.start, numbers.stop)
        return replace(
            self,
            images=self.images[chosen],
            labels=self.labels[chosen],
            credits=None if self.credits is None else self.credits[chosen],
            objects=None if self.objects is None else self.objects[chosen],
        )

    def credit(self, index: int) -> str | None:
        """Return the acknowledgement to print with image `index`; None if it may not be published.

        It is empty for an image that needs none.
        """
        if self.credits is None:
            return "" if self.showable else None
        return self.credits[index] or None

    def to(self, device: str | torch.device) -> "ImageSet":
        """Return the set with its tensors on `device`."""
        objects = self.objects
        return replace(
            self,
            images=self.images.to(device),
            labels=self.labels.to(device),
            objects=None if objects is None else objects.to(device),
        )

    def first(self, n: int) -> "ImageSet":
        """Return the first `n` images as views; the provenance says so.

        Raises ValueError unless `n` is 1 to len(self).
        """
        if not 1 <= n <= len(self):
            raise ValueError(
                f"n must be 1 to {len(self)}, the {self.split} images of {self.name}, got {n}"
            )
        if n == len(self):
            return self
        text = first_images_text(n, len(self), self.split)
        return replace(self.part(range(n)), provenance=f"{self.provenance}; {text}")

    def resized(self, side: int) -> "ImageSet":
        """Return the set at `side` x `side` pixels; the provenance says so.

        Interpolation is bilinear, with antialiasing when shrinking.
        """
        if self.images.shape[-2:] == (side, side):
            return self
        width = self.images.shape[-1]
        return replace(
            self,
            images=_in_parts(self.images, lambda part: _interpolate(part, side)),
            objects=None if self.objects is None else _resize_masks(self.objects, side),
            provenance=f"{self.provenance}, resized from {width} to {side} pixels",
            original=False,
        )

    def as_rgb(self) -> "ImageSet":
        """Return the set with three channels; a single grey channel is repeated.

        Raises ValueError if the images have neither 1 nor 3 channels.
        """
        channels = self.images.shape[1]
        if channels not in (1, 3):
            raise ValueError(f"images must have 1 or 3 channels, {self.name} has {channels}")
        if channels == 3:
            return self
        return replace(self, images=self.images.repeat(1, 3, 1, 1))


class PixelDigest:
    """The SHA-256 of images that are added part by part: shape, pixels, labels and objects.

    It is the same on every device and machine. `shape` is (N, C, H, W) of all images.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        self._digest = hashlib.sha256(repr(tuple(shape)).encode())

    def add(self, images: Tensor) -> None:
        """Add the next pixels, (n, C, H, W) uint8."""
        self._digest.update(images.cpu().contiguous().numpy().data)

    def finish(self, labels: Tensor, objects: Tensor | None = None) -> str:
        """Add the labels (N,) and the objects (N, H, W) of all images; return the digits."""
        little_endian = labels.cpu().numpy().astype("<i8")  # on every machine
        self._digest.update(little_endian.data)
        if objects is not None:
            self._digest.update(objects.cpu().contiguous().numpy().data)
        return self._digest.hexdigest()


def images_in_batch(shape: Sequence[int]) -> int:
    """Return how many images of a shape (C, H, W) go through a network at a time."""
    return max(1, _BATCH_VALUES // math.prod(shape))


def first_images_text(n: int, total: int, split: str) -> str:
    """Return the words for the first `n` images of a split, as they stand in the provenance."""
    return f"the first {n:,} of {total:,} {split} images"


def _check_tensor(name: str, value: Tensor, expected: str, fits: bool) -> None:
    if not fits:
        raise ValueError(f"{name} must be {expected}, got {value.dtype} {tuple(value.shape)}")


def _check_texts(name: str, values: object) -> None:
    is_list = isinstance(values, Sequence) and not isinstance(values, str)
    if not is_list or not all(isinstance(value, str) for value in cast(Sequence, values)):
        raise TypeError(f"{name} must be a tuple of texts, got {short_repr(values)}")


def _resize_masks(masks: Tensor, side: int) -> Tensor:
    """Return boolean masks (N, H, W) at `side` x `side` pixels."""

    def resize(part: Tensor) -> Tensor:
        grey = _interpolate(255 * part[:, None].byte(), side)
        return grey[:, 0] > 127

    return _in_parts(masks, resize)


def _in_parts(images: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply a function to a few hundred images at a time, to limit memory."""
    return torch.cat([function(part) for part in images.split(500)])


def _interpolate(images: Tensor, side: int) -> Tensor:
    pixels = images.float()
    resized = functional.interpolate(pixels, size=(side, side), mode="bilinear", antialias=True)
    return resized.round().clamp(0, 255).byte()
