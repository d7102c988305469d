"""Masks of the objects in labelled images: a grey picture for each image, light on the object."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from pruncam._core.progress import Progress
from pruncam.datasets import image_folder
from pruncam.datasets.decoding import Decoder, decode_file, image_size, size_text
from pruncam.datasets.file_tree import File, FileTree, keep_open
from pruncam.datasets.images import DataError
from pruncam.datasets.object_boxes import masks_of_boxes

_HALF = 127  # of the range of 8 bits; pixels above it are the object
_NAMED = 3  # files that a sentence names


@dataclass(frozen=True, eq=False)
class ObjectMasks:
    """The pixels of the objects in N images, decoded when they are used.

    Parameters
    ----------
    shape : (N, H, W)
    numbers : int64 tensor (n,)
        The images with a mask that marks some pixel.
    pixels : function from numbers (m,) to a bool tensor (m, H, W)
    missing, blank : names of the images without a mask, and of those whose mask marks no pixel
    """

    shape: tuple[int, int, int]
    numbers: Tensor
    pixels: Callable[[Tensor], Tensor]
    missing: tuple[str, ...] = ()
    blank: tuple[str, ...] = ()

    def left_out(self) -> str:
        """Return how many images have no usable mask, and which, in words; "" if there are none."""
        texts = []
        if self.missing:
            texts.append(f"{len(self.missing):,} without a mask ({_named(self.missing)})")
        if self.blank:
            texts.append(f"{len(self.blank):,} whose mask marks no pixel ({_named(self.blank)})")
        return " and ".join(texts)


def in_memory(masks: Tensor) -> ObjectMasks:
    """Return the masks of a bool tensor (N, H, W), True on the object.

    Raises TypeError or ValueError if it is none, or if it marks no pixel.
    """
    if not isinstance(masks, Tensor) or masks.dtype != torch.bool:
        kind = masks.dtype if isinstance(masks, Tensor) else type(masks).__name__
        raise TypeError(f"masks must be a bool tensor, got {kind}")
    if masks.ndim != 3:
        raise ValueError(f"masks must have the shape (N, H, W), got {tuple(masks.shape)}")
    marks = masks.flatten(1).any(1).cpu()
    if not marks.any():
        raise ValueError("masks must be True on the objects, but they mark no pixel")
    blank = tuple(f"image {number}" for number in torch.nonzero(~marks)[:, 0].tolist())
    numbers = torch.nonzero(marks)[:, 0]
    count, height, width = masks.shape
    return ObjectMasks((count, height, width), numbers, masks.__getitem__, blank=blank)


def read(
    path: str | os.PathLike,
    names: Sequence[str],
    images: str | os.PathLike,
    decoder: Decoder,
    *,
    progress: bool = False,
) -> ObjectMasks:
    """Read the masks of images; each is decoded once, so that every damaged one is named now.

    Parameters
    ----------
    path : folder, zip or tar
        Each mask has the path of its image, apart from the suffix, and its size. Pixels above half
        of the range are the object. Folders that hold everything else are skipped. Or a CSV file of
        boxes, see `object_boxes`.
    names : the files of the images, as `image_folder.read` gives them
    images, decoder : the folder, zip or tar of the images, and what decodes them
        Masks are resized and cropped as the images are, by the nearest pixel.
    progress : whether to show a progress bar

    Raises
    ------
    DataError
        If the path is missing, no image has a mask, an image has several, a mask is damaged, in
        colour or of another size than its image, or no mask marks a pixel.
    """
    files = _images(images)
    if Path(path).suffix.lower() == ".csv":
        masks = masks_of_boxes(Path(path).expanduser(), files)
        found = {number: masks[name] for number, name in enumerate(names) if name in masks}
        if not found:
            raise DataError(f"{path} has no box of the images, such as {names[0]}")
    else:
        found = _find(keep_open(path), names)
    decoder = replace(decoder, channels=3, interpolation="nearest")
    blank = []
    bar = Progress("read", "mask", progress)
    bar.expect(len(found))
    try:
        _check_sizes(found, [files[names[number]] for number in found])
        for number, file in found.items():
            pixels = _object(file, decoder)
            height, width = pixels.shape
            if not pixels.any():
                blank.append(number)
            bar.advance()
    finally:
        bar.close()
    if len(blank) == len(found):
        raise DataError(
            f"no mask of {path} marks a pixel: those of the object must lie above half of "
            "the range, such as 255"
        )
    numbers = sorted(found.keys() - set(blank))
    return ObjectMasks(
        shape=(len(names), height, width),
        numbers=torch.tensor(numbers),
        pixels=lambda chosen: torch.stack([_object(found[n], decoder) for n in chosen.tolist()]),
        missing=tuple(name for number, name in enumerate(names) if number not in found),
        blank=tuple(names[number] for number in sorted(blank)),
    )


def _find(tree: FileTree, names: Sequence[str]) -> dict[int, File]:
    """Return the masks by the number of their image. Raises DataError if there is none."""
    numbers = {stem: number for number, stem in enumerate(_stems(names, "images"))}
    below = tree
    while below.images:
        masks = dict(
            zip(_stems([m.name for m in below.images], "masks"), below.images, strict=True)
        )
        found = {number: masks[stem] for stem, number in numbers.items() if stem in masks}
        if found:
            return found
        folders = {file.path[0] for file in below.images}
        if len(folders) > 1:
            break
        below = below.below(folders.pop())
    raise DataError(
        f"{tree.source} holds no mask of the images: that of {names[0]} must be named as it, "
        f"such as {_stems(names[:1], 'images')[0]}.png"
    )


def _stems(names: Sequence[str], kind: str) -> list[str]:
    """Return names without suffixes. Raises DataError if two are equal."""
    stems = [name.rpartition(".")[0] for name in names]
    stem, count = Counter(stems).most_common(1)[0]
    if count > 1:
        raise DataError(
            f"{count} {kind} are named {stem}, apart from the suffix: each image needs a name, and "
            "a mask, of its own"
        )
    return stems


def _images(path: str | os.PathLike) -> dict[str, File]:
    """Return the images of a folder, zip or tar by their names."""
    classes = image_folder.images_by_class(keep_open(path)).values()
    return {file.name: file for files in classes for file in files}


def _check_sizes(found: dict[int, File], images: Sequence[File]) -> None:
    """Raise DataError, with the first example, if masks have another size than their images."""
    wrong = []
    for mask, image in zip(found.values(), images, strict=True):
        sizes = size_text(image_size(mask)), size_text(image_size(image))
        if len(set(sizes)) > 1:
            wrong.append(f"{mask.location} is {sizes[0]}, its image {sizes[1]}")
    if wrong:
        raise DataError(
            f"{len(wrong):,} of {len(found):,} masks have another size than their image "
            f"({wrong[0]}): a mask must have the size of the image's file"
        )


def _object(file: File, decoder: Decoder) -> Tensor:
    """Return the pixels of the object, bool (H, W)."""
    red, green, blue = decode_file(file, decoder).pixels
    if not (torch.equal(red, green) and torch.equal(red, blue)):
        raise DataError(f"{file.location} is in colour: a mask must be grey, light on the object")
    return red > _HALF


def _named(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
