"""Labelled images that are decoded when they are used, in parts that fit into memory."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pruncam.datasets.decoding import Decoder, check_size, decode
from pruncam.datasets.file_tree import File
from pruncam.datasets.images import ImageSet, first_images_text, images_in_batch

# Of the images that are decoded at a time.
PART_BYTES = 2**26
_PART_IMAGES = 2**11
_CHANGED = "the file was changed since it was read first"


@dataclass(frozen=True, eq=False)
class StreamedImages:
    """Labelled images in files of one size, decoded when they are used.

    It has the facts of an `ImageSet`, but holds no more than a part of the pixels in memory.
    Iterating gives batches of (images (n, C, H, W) uint8, labels (n,) int64).

    Parameters
    ----------
    name, split, classes, provenance, labels : as of `ImageSet`
    sources : the files of the images
    decoder : Decoder
    shape : (channels, height, width)
    checksum : SHA-256 (hex), as that of an `ImageSet` of the same pixels and labels
    """

    name: str
    split: str
    classes: tuple[str, ...]
    provenance: str
    labels: Tensor
    sources: tuple[File, ...]
    decoder: Decoder
    shape: tuple[int, int, int]
    checksum: str

    def __len__(self) -> int:
        return len(self.sources)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        length = self.batch_length
        for part in self.parts():
            yield from zip(part.images.split(length), part.labels.split(length), strict=True)

    @property
    def files(self) -> tuple[str, ...]:
        """Return the names of the files."""
        return tuple(file.name for file in self.sources)

    @property
    def batch_length(self) -> int:
        """Return how many images go through a network at a time; a part holds whole batches."""
        return min(images_in_batch(self.shape), self.part_length)

    @property
    def part_length(self) -> int:
        """Return how many images are decoded at a time."""
        return part_length(self.shape)

    def pixels(self, indices: Tensor) -> Tensor:
        """Return the pixels of some images, (n, C, H, W) uint8."""
        chosen = [self.sources[index] for index in indices.tolist()]
        images = decode(chosen, self.decoder, hint=_CHANGED)
        check_size(images[0], self.shape, chosen[0], _CHANGED)
        return images

    def first(self, n: int) -> ImageSet:
        """Return the first `n` images in memory; the provenance says so."""
        images = self.part(range(min(n, len(self))))
        total = first_images_text(n, len(self), self.split)
        return replace(images, provenance=f"{self.provenance}; {total}")

    def parts(self) -> Iterator[ImageSet]:
        """Iterate over the images in parts that fit into memory."""
        numbers = range(len(self))
        for start in range(0, len(self), self.part_length):
            yield self.part(numbers[start : start + self.part_length])

    def part(self, numbers: range) -> ImageSet:
        """Return the images of a contiguous range of numbers, in memory."""
        return self.in_memory(self.pixels(torch.tensor(numbers)), numbers.start)

    def in_memory(self, pixels: Tensor, start: int = 0) -> ImageSet:
        """Return the images from number `start` on as a set in memory, given their pixels."""
        return ImageSet(
            name=self.name,
            split=self.split,
            images=pixels,
            labels=self.labels[start : start + len(pixels)],
            classes=self.classes,
            provenance=self.provenance,
        )


def part_length(shape: tuple[int, ...]) -> int:
    """Return how many images of a shape (C, H, W) are decoded at a time: whole batches of them.

    Unless a batch alone holds more images than are decoded at a time.
    """
    length = max(1, min(_PART_IMAGES, PART_BYTES // math.prod(shape)))
    batch = images_in_batch(shape)
    return length - length % batch if length >= batch else length
