"""An image set in memory: uint8 pixels, labels, and where they came from."""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional


class DataError(RuntimeError):
    """A data set is missing, damaged or could not be downloaded; the message says what to do."""


def the_first(n: int, of: int, split: str) -> str:
    """What the provenance says of a part."""
    return f"the first {n:,} of {of:,} {split} images"


@dataclass(frozen=True, eq=False)  # eq: tensors have no single truth value; compare `checksum`
class ImageSet:
    """One split of a data set; raises ValueError in one sentence when its parts do not fit together."""

    name: str
    split: str
    images: Tensor  # (N, C, H, W) uint8
    labels: Tensor  # (N,) int64, indices into `classes`
    classes: tuple[str, ...]
    provenance: str  # one sentence, for the manifest and the tables
    stand_in_for: str | None = None  # the data set whose place this one takes, for the words of the verdicts
    showable: bool = True  # whether its pictures may be published
    credits: tuple[str, ...] | None = None  # whom to name where a picture is published, for each; "": it may not be
    original: bool = False  # whether these are the publisher's own pixels, verified
    objects: Tensor | None = None  # (N, H, W) bool: which pixels show what the label names, where that is known

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        if images.dtype != torch.uint8 or images.ndim != 4:
            expected = "a uint8 tensor of shape (N, C, H, W)"
            raise ValueError(f"images must be {expected}, got {images.dtype} {tuple(images.shape)}")
        if labels.dtype != torch.int64 or labels.shape != images.shape[:1]:
            expected = f"an int64 tensor of shape ({len(images)},), one for each image"
            raise ValueError(f"labels must be {expected}, got {labels.dtype} {tuple(labels.shape)}")
        if self.objects is not None and (
            self.objects.dtype != torch.bool or self.objects.shape != (len(images), *images.shape[2:])
        ):
            expected = f"a bool tensor of shape {(len(images), *images.shape[2:])}"
            raise ValueError(f"objects must be {expected}, got {self.objects.dtype} {tuple(self.objects.shape)}")
        if self.credits is not None and len(self.credits) != len(images):
            raise ValueError(f"credits must be one for each of the {len(images)} images, got {len(self.credits)}")
        if images.numel() == 0:
            raise ValueError(f"an image set must not be empty, got images of shape {tuple(images.shape)}")
        low, high = labels.aminmax()
        if low < 0 or high >= len(self.classes):
            raise ValueError(f"labels must index the {len(self.classes)} classes, got {int(low)} to {int(high)}")

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def checksum(self) -> str:
        """SHA-256 (hex) over shape, pixels, labels and objects; the same on every device and machine."""
        digest = hashlib.sha256(repr(tuple(self.images.shape)).encode())
        digest.update(self.images.cpu().contiguous().numpy())
        digest.update(self.labels.cpu().numpy().astype("<i8"))  # the byte order of the machine must not matter
        if self.objects is not None:
            digest.update(self.objects.cpu().contiguous().numpy())
        return digest.hexdigest()

    def credit(self, index: int) -> str | None:
        """Whom to name where image `index` is published ("": nobody); None where it may not be."""
        if self.credits is None:
            return "" if self.showable else None
        return self.credits[index] or None

    def to(self, device: str | torch.device) -> "ImageSet":
        """The same set with its tensors on `device`."""
        objects = None if self.objects is None else self.objects.to(device)
        return replace(self, images=self.images.to(device), labels=self.labels.to(device), objects=objects)

    def first(self, n: int) -> "ImageSet":
        """The first `n` images, 1 to len(self), as views; the provenance says so. Raises ValueError for another `n`."""
        if not 1 <= n <= len(self):
            raise ValueError(f"n must be 1 to {len(self)}, the {self.split} images of {self.name}, got {n}")
        if n == len(self):
            return self
        provenance = f"{self.provenance}; {the_first(n, len(self), self.split)}"
        objects, credits = (None if part is None else part[:n] for part in (self.objects, self.credits))
        parts = {"images": self.images[:n], "labels": self.labels[:n], "objects": objects, "credits": credits}
        return replace(self, provenance=provenance, **parts)

    def resized(self, side: int) -> "ImageSet":
        """The set at `side` x `side` pixels: bilinear, antialiased where it shrinks; the provenance says so."""
        if self.images.shape[-2:] == (side, side):
            return self
        pixels = torch.cat([_interpolated(part, side) for part in self.images.split(500)])
        objects = self.objects
        if objects is not None:
            parts = [_interpolated(255 * part[:, None].byte(), side)[:, 0] > 127 for part in objects.split(500)]
            objects = torch.cat(parts)
        provenance = f"{self.provenance}, resized from {self.images.shape[-1]} to {side} pixels"
        return replace(self, images=pixels, objects=objects, provenance=provenance, original=False)

    def coloured(self) -> "ImageSet":
        """The set with three channels: grey pictures repeat theirs. Raises ValueError for another number of them."""
        channels = self.images.shape[1]
        if channels not in (1, 3):
            raise ValueError(f"pictures have 1 channel or 3, {self.name} has {channels}")
        return self if channels == 3 else replace(self, images=self.images.repeat(1, 3, 1, 1))


def _interpolated(images: Tensor, side: int) -> Tensor:
    enlarged = functional.interpolate(images.float(), size=(side, side), mode="bilinear", antialias=True)
    return enlarged.round().clamp(0, 255).byte()
