"""The first decoding of labelled images: all are checked before anything is computed with them."""

import dataclasses
import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from pruncam._core.memory import available_memory, gibibytes
from pruncam._core.progress import Progress
from pruncam._core.store import Step, Store
from pruncam.datasets.decoding import Decoder, check_size, decode_file, decode_files, size_text
from pruncam.datasets.file_tree import File
from pruncam.datasets.images import DataError, PixelDigest
from pruncam.datasets.streamed_images import part_length

# Convolutional classifiers hold about 64 numbers of 4 bytes for each pixel of an image.
_NETWORK_BYTES = 256
_VERSION = 1  # raise when the code changes what is stored
_MEMORY_SHARE = 0.5  # of the available memory, for images that are held in it


@dataclass(frozen=True)
class Examined:
    """What the first decoding of N images gives.

    `shape` is (C, H, W), `checksum` that of an `ImageSet` of these images, and `remarks` counts
    the images by what was done to them. `images` are the pixels (N, C, H, W); None if they take
    more than the given memory.
    """

    shape: tuple[int, int, int]
    checksum: str
    remarks: Counter[str]
    images: Tensor | None


def examine(
    files: Sequence[File],
    labels: Tensor,
    decoder: Decoder,
    *,
    hint: str,
    memory: int | None = None,
    progress: bool = False,
) -> Examined:
    """Decode all files, and keep the pixels if they take at most `memory` bytes.

    With `memory` None they are kept in any case. What is known of files whose pixels are not kept
    is stored: they are examined again when one of them has changed.

    Raises DataError if a file cannot be decoded (it names several), or if one image or all that are
    kept do not fit into the memory there is; SizeMismatch, with the hint, if sizes differ.
    """
    shape = find_shape(files, decoder)
    pixel_bytes = len(files) * math.prod(shape)
    decode_all = partial(_decode_all, files, labels, decoder, shape, hint, progress)
    if memory is None or pixel_bytes <= memory:
        _check_fit(len(files), pixel_bytes)
        return decode_all(torch.empty((len(files), *shape), dtype=torch.uint8))
    step = Step("examined-images", _VERSION, _identity(files, labels, decoder))
    stored = Store().get(step, lambda: _without_pixels(decode_all(None))).value
    return Examined(shape, stored["checksum"], Counter(stored["remarks"]), None)


def _decode_all(
    files: Sequence[File],
    labels: Tensor,
    decoder: Decoder,
    shape: tuple[int, int, int],
    hint: str,
    progress: bool,
    images: Tensor | None,
) -> Examined:
    """Decode all files, into `images` if it is a tensor."""
    digest = PixelDigest((len(files), *shape))
    remarks: Counter[str] = Counter()
    errors: list[DataError] = []
    for start, part in _parts(files, shape, progress):
        decoded = decode_files(part, decoder, hint=hint)
        if len(decoded.errors) < len(part):
            check_size(decoded.images[0], shape, part[0], hint)
        if images is not None and not decoded.errors:
            images[start : start + len(part)] = decoded.images
        digest.add(decoded.images)
        remarks += decoded.remarks
        errors += [decoded.errors[index] for index in sorted(decoded.errors)]
    if errors:
        raise _joined(errors)
    return Examined(shape, digest.finish(labels), remarks, images)


def _identity(files: Sequence[File], labels: Tensor, decoder: Decoder) -> dict[str, Any]:
    """Return what the examination depends on: dates and sizes stand for the contents of files."""
    lines = [
        f"{file.name} {file.fingerprint()} {label}"
        for file, label in zip(files, labels.tolist(), strict=True)
    ]
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    return {"files": digest, "decoder": dataclasses.asdict(decoder)}


def _without_pixels(examined: Examined) -> dict[str, Any]:
    return {"checksum": examined.checksum, "remarks": dict(examined.remarks)}


def _parts(
    files: Sequence[File], shape: tuple[int, int, int], progress: bool
) -> Iterator[tuple[int, Sequence[File]]]:
    """Iterate over parts of the files that fit into memory, each with the number of its first."""
    bar = Progress("examine", "image", progress)
    bar.expect(len(files))
    length = part_length(shape)
    try:
        for start in range(0, len(files), length):
            part = files[start : start + length]
            yield start, part
            bar.advance(len(part))
    finally:
        bar.close()


def find_shape(files: Sequence[File], decoder: Decoder) -> tuple[int, int, int]:
    """Return the shape (C, H, W) of the first image that can be decoded.

    Raises DataError if a network could not process an image of that size.
    """
    if decoder.size is not None:
        _check_side(decoder.size, decoder.size)
    first_error: DataError | None = None
    for file in files:
        try:
            channels, height, width = decode_file(file, decoder).pixels.shape
        except DataError as error:
            first_error = first_error or error
            continue
        _check_side(height, width)
        return channels, height, width
    if first_error is None:
        raise ValueError("there are no files to examine")
    raise first_error


def _check_side(height: int, width: int) -> None:
    needed, available = _NETWORK_BYTES * height * width, available_memory()
    if available is not None and needed > available:
        raise DataError(
            f"a network needs about {gibibytes(needed)} of memory for an image of "
            f"{size_text((height, width))} pixels, {gibibytes(available)} are available: "
            "use a smaller size"
        )


def _check_fit(count: int, pixel_bytes: int) -> None:
    available = available_memory()
    if available is not None and pixel_bytes > _MEMORY_SHARE * available:
        raise DataError(
            f"{count:,} images need {gibibytes(pixel_bytes)} of memory, {gibibytes(available)} are "
            "available: use fewer images or a smaller size"
        )


def _joined(errors: Sequence[DataError]) -> DataError:
    """Return the first of several errors, with the number of the others."""
    first, *others = errors
    if not others:
        return first
    return DataError(f"{first} ({len(others):,} more images cannot be read)")
