"""Labelled images of a folder, a zip or a tar with one sub-folder for each class."""

import io
import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pruncam._core.validation import check_number
from pruncam.datasets.file_tree import File, FileTree, open_tree
from pruncam.datasets.images import DataError, ImageSet

_MODES = {1: "L", 3: "RGB"}  # Pillow's names, by number of channels
_UNREADABLE = (  # what Pillow and the archives raise for damaged, encrypted and oversized files
    Image.DecompressionBombError,
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    EOFError,
    OSError,
    RuntimeError,
    SyntaxError,
    ValueError,
)


class SizeMismatch(DataError):
    """An error: images of several sizes."""


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """An image set, and the file that each image was read from."""

    images: ImageSet
    files: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.files) != len(self.images):
            raise ValueError(
                "there must be one file name for each image, "
                f"got {len(self.images)} images and {len(self.files)} names"
            )


def read(
    path: str | os.PathLike,
    *,
    channels: int = 3,
    size: int | None = None,
    limit: int | None = None,
    split: str = "test",
) -> LabelledImages:
    """Read a folder, zip or tar of images into memory.

    Classes are numbered in the order of their names, as in torchvision's ImageFolder. Images are
    taken from each class in turn, so that the first n are balanced.

    Parameters
    ----------
    path : folder, zip or tar
        With one sub-folder for each class; if a single folder holds all of them, it is skipped.
    channels : 3, or 1 for grey
    size : int or None
        The shorter side is resized to `size` pixels and the centre cropped to size x size. None:
        images stay as they are and must have one size.
    limit : int or None
        Maximum number of images.
    split : "test" or "train"

    Raises
    ------
    DataError
        If the path is missing or holds no classes of images, a class has no image, an image is in
        no class, damaged or of another size, or an archive is damaged or unsafe (see `open_tree`).
    """
    for name, value in (("size", size), ("limit", limit)):
        if value is not None:
            check_number(name, value, whole=True, at_least=1)
    if channels not in _MODES:
        raise DataError(
            f"images have 1 or 3 channels, the network's first layer expects {channels}"
        )
    with open_tree(path) as tree:
        _reject_loose_images(tree)
        classes = images_by_class(tree)
        files = in_turn(classes.values())[:limit]
        pixels = decode(files, _MODES[channels], size, hint="pass the size to resize them to")
    images = ImageSet(
        name=tree.source.name,
        split=split,
        images=pixels,
        labels=_labels(files, list(classes)),
        classes=tuple(classes),
        provenance=f"images of {tree.source.name}",
    )
    return LabelledImages(images, tuple(file.name for file in files))


def count_images(path: str | os.PathLike) -> int:
    """Return the number of images that `iterate` yields. Raises DataError as `read` does."""
    with open_tree(path) as tree:
        return sum(len(files) for files in images_by_class(tree).values())


def iterate(path: str | os.PathLike, batch_size: int = 64) -> Iterator[tuple[Tensor, Tensor]]:
    """Iterate over RGB images class by class, with one batch in memory at a time.

    Yields (images (n, 3, H, W) uint8, labels (n,) int64). Images outside the class folders are
    ignored. Raises DataError as `read` does, and SizeMismatch if the sizes within a batch differ.
    """
    hint = "pass DataLoader(ImageFolder(folder, transform)) with a transform that resizes them"
    with open_tree(path) as tree:
        classes = images_by_class(tree)
        names = list(classes)
        files = list(chain.from_iterable(classes.values()))
        for start in range(0, len(files), batch_size):
            batch = files[start : start + batch_size]
            yield decode(batch, "RGB", hint=hint), _labels(batch, names)


def images_by_class(tree: FileTree) -> dict[str, list[File]]:
    """Return the images of each class, classes and images in the order of their names.

    Each folder is a class, with all images below it; if a single folder holds all classes, it is
    skipped. Raises DataError if there are no classes, or if a class has no image, because the
    numbers of the other classes would be wrong.
    """
    tree = _below_single_folder(tree)
    classes = group_by_folder(tree.images)
    if not classes:
        raise DataError(
            f"{tree.source} holds no images: it must have one sub-folder for each class, "
            "as in cat/0001.jpg"
        )
    empty = sorted({path[0] for path in tree.folders} - classes.keys())
    if empty:
        raise DataError(
            f"{tree.source}: the class {empty[0]!r} has no image: add some, or remove its folder"
        )
    return classes


def group_by_folder(files: Iterable[File], level: int = 0) -> dict[str, list[File]]:
    """Group files by the folder at this level of their path, sorted by the folder's name.

    The files of a group keep their order; files that lie above the level are left out.
    """
    groups: dict[str, list[File]] = {}
    for file in files:
        if len(file.path) > level + 1:
            groups.setdefault(file.path[level], []).append(file)
    return dict(sorted(groups.items()))


def in_turn(groups: Iterable[Sequence[File]]) -> list[File]:
    """Return the first file of each group, then the second of each, and so on."""
    rounds = zip_longest(*groups)
    return [file for file in chain.from_iterable(rounds) if file is not None]


def _labels(files: Sequence[File], classes: list[str]) -> Tensor:
    return torch.tensor([classes.index(file.path[0]) for file in files])


def decode(files: Sequence[File], mode: str, size: int | None = None, *, hint: str) -> Tensor:
    """Decode image files, at least one, to a uint8 tensor (N, C, H, W) in the order of `files`.

    `mode` is Pillow's ("RGB", "L"). With a `size`, images are resized and cropped to size x size.
    Raises DataError if a file cannot be decoded, and SizeMismatch, with the hint, if sizes differ.
    """
    images: Tensor | None = None
    reading_order = sorted(range(len(files)), key=lambda index: files[index].position)
    for index in reading_order:
        pixels = _decode_file(files[index], mode, size)
        if images is None:
            images = torch.empty((len(files), *pixels.shape), dtype=torch.uint8)
        if pixels.shape != images.shape[1:]:
            sizes = f"{_size_text(images)} and {_size_text(pixels)}"
            raise SizeMismatch(
                f"images must have one size, got {sizes} ({files[index].location}): {hint}"
            )
        images[index] = pixels
    if images is None:
        raise ValueError("there are no files to decode")
    return images


def _decode_file(file: File, mode: str, size: int | None) -> Tensor:
    """Return the pixels (C, H, W) of an image file."""
    try:
        with Image.open(io.BytesIO(file.read())) as image:
            pixels = np.array(_resize_and_crop(image.convert(mode), size))
    except _UNREADABLE as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"{file.location} cannot be read as an image ({reason}): repair, replace or remove it"
        ) from error
    height, width = pixels.shape[:2]
    return torch.from_numpy(pixels).view(height, width, -1).permute(2, 0, 1)


def _resize_and_crop(image: Image.Image, size: int | None) -> Image.Image:
    """Resize the shorter side to `size` and return the centre; without a size, the image."""
    if size is None or image.size == (size, size):
        return image
    scale = size / min(image.size)
    width = max(size, round(image.width * scale))
    height = max(size, round(image.height * scale))
    left = (width - size) // 2
    top = (height - size) // 2
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    return resized.crop((left, top, left + size, top + size))


def _size_text(pixels: Tensor) -> str:
    height, width = pixels.shape[-2:]
    return f"{height}x{width}"


def _reject_loose_images(tree: FileTree) -> None:
    for file in tree.images:
        if len(file.path) == 1:
            raise DataError(
                f"{tree.source} holds {file.name} outside of the class folders: "
                "put every image into the folder of its class"
            )


def _below_single_folder(tree: FileTree) -> FileTree:
    """Skip folders that hold all classes; a folder that holds images itself is a class."""
    images = tree.images
    while len({file.path[0] for file in images}) == 1:
        if min(len(file.path) for file in images) < 3:
            break
        tree = tree.below(images[0].path[0])
        images = tree.images
    return tree
