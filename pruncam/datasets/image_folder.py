"""Labelled images of a folder, a zip or a tar with one sub-folder for each class."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest

import torch
from torch import Tensor

from pruncam._core.text import printable
from pruncam._core.validation import check_number
from pruncam.datasets.class_map import ClassMap
from pruncam.datasets.decoding import Decoder, decode
from pruncam.datasets.examination import examine, find_shape
from pruncam.datasets.file_tree import IMAGE_SUFFIXES, File, FileTree, keep_open, open_tree
from pruncam.datasets.images import DataError, ImageSet
from pruncam.datasets.streamed_images import StreamedImages

_SPLITS = frozenset({"train", "training", "val", "valid", "validation", "test", "testing"})


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """A set of images, in memory or streamed, and the file that each image was read from."""

    images: ImageSet | StreamedImages
    files: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.files) != len(self.images):
            raise ValueError(
                "there must be one file name for each image, "
                f"got {len(self.images)} images and {len(self.files)} names"
            )


@dataclass(frozen=True)
class Selection:
    """Which images of a folder are read, how they are labelled, and how errors name the remedy.

    Parameters
    ----------
    class_map : ClassMap, optional
        The network's classes, of which the folders are some. By default classes are numbered in
        the order of their folders' names, as in torchvision's ImageFolder.
    limit : int, optional
        Maximum number of images. They are taken from each class in turn, so that the first n are
        balanced.
    split : "test" or "train"
    hint : what to do about images of several sizes
    """

    class_map: ClassMap | None = None
    limit: int | None = None
    split: str = "test"
    hint: str = "pass the size to resize them to"

    def __post_init__(self) -> None:
        if self.limit is not None:
            check_number("limit", self.limit, whole=True, at_least=1)


def read(
    path: str | os.PathLike,
    decoder: Decoder | None = None,
    selection: Selection | None = None,
    *,
    memory: int | None = None,
    progress: bool = False,
) -> LabelledImages:
    """Read a folder, zip or tar of images.

    Parameters
    ----------
    path : folder, zip or tar
        With one sub-folder for each class, which may have sub-folders itself; if a single folder
        holds all classes, it is skipped. Hidden files and folders are left out.
    decoder : the form that images are brought into
        By default RGB at their own size, which must then be one.
    selection : see `Selection`
    memory : int, optional
        Bytes that the pixels may take. A larger set is a `StreamedImages`: it is decoded once, so
        that every damaged file is named at once, and again when its images are used. The first
        decoding is left out as long as the files keep their dates and sizes. By default all sets
        are held in memory.
    progress : whether to show a progress bar

    Raises
    ------
    DataError
        If the path is missing or holds no classes of images, a class has no image or is not in the
        class map, an image is in no class, damaged or of another size, an archive is damaged or
        unsafe (see `open_tree`), or the images do not fit into the memory there is.
    """
    decoder = decoder or Decoder()
    selection = selection or Selection()
    tree = keep_open(path)
    classes = images_by_class(tree)
    files = in_turn(classes.values())[: selection.limit]
    labels = _labels(files, list(classes), selection.class_map)
    examined = examine(
        files, labels, decoder, hint=selection.hint, memory=memory, progress=progress
    )
    name = printable(tree.source.name)
    streamed = StreamedImages(
        name=name,
        split=selection.split,
        classes=_class_names(classes, selection.class_map),
        provenance=_provenance(name, examined.remarks),
        labels=labels,
        sources=tuple(files),
        decoder=decoder,
        shape=examined.shape,
        checksum=examined.checksum,
    )
    images = streamed if examined.images is None else streamed.in_memory(examined.images)
    return LabelledImages(images, streamed.files)


def first_shape(path: str | os.PathLike, decoder: Decoder) -> tuple[int, int, int]:
    """Return the channels, height and width of the first image. Raises DataError as `read` does."""
    with open_tree(path) as tree:
        files = in_turn(images_by_class(tree).values())
        return find_shape(files, decoder)


def count_images(path: str | os.PathLike) -> int:
    """Return the number of images that `iterate` yields. Raises DataError as `read` does."""
    with open_tree(path) as tree:
        return sum(len(files) for files in images_by_class(tree).values())


def iterate(path: str | os.PathLike, batch_size: int = 64) -> Iterator[tuple[Tensor, Tensor]]:
    """Iterate over RGB images class by class, with one batch in memory at a time.

    Yields (images (n, 3, H, W) uint8, labels (n,) int64). Raises DataError as `read` does, and
    SizeMismatch if the sizes within a batch differ.
    """
    hint = "pass DataLoader(ImageFolder(folder, transform)) with a transform that resizes them"
    with open_tree(path) as tree:
        classes = images_by_class(tree)
        files = list(chain.from_iterable(classes.values()))
        for start in range(0, len(files), batch_size):
            batch = files[start : start + batch_size]
            yield decode(batch, Decoder(), hint=hint), _labels(batch, list(classes), None)


def images_by_class(tree: FileTree) -> dict[str, list[File]]:
    """Return the images of each class, classes and images in the order of their names.

    Each folder is a class, with all images below it; if a single folder holds all classes, it is
    skipped. Raises DataError if there are no classes, if an image is in none, or if a class has no
    image, because the numbers of the other classes would be wrong.
    """
    tree = _below_single_folder(tree)
    _reject_loose_images(tree)
    classes = group_by_folder(tree.images)
    formats = ", ".join(IMAGE_SUFFIXES)
    if not classes:
        raise DataError(
            f"{tree.source} holds no images ({formats}): it must have one sub-folder for each "
            "class, as in cat/0001.jpg"
        )
    empty = sorted({path[0] for path in tree.folders} - classes.keys())
    if empty:
        raise DataError(
            f"{tree.source}: the class {empty[0]!r} has no image ({formats}): "
            "add some, or remove its folder"
        )
    if len(classes) > 1 and {name.lower() for name in classes} <= _SPLITS:
        raise DataError(
            f"{tree.source} holds splits ({', '.join(classes)}) instead of classes: "
            f"pass one of them, such as {tree.source / min(classes)}"
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


def _labels(files: Sequence[File], folders: Sequence[str], class_map: ClassMap | None) -> Tensor:
    """Return the number of each file's class, by its folder."""
    numbers = {
        folder: position if class_map is None else class_map.number(folder)
        for position, folder in enumerate(folders)
    }
    return torch.tensor([numbers[file.path[0]] for file in files])


def _class_names(folders: Iterable[str], class_map: ClassMap | None) -> tuple[str, ...]:
    return tuple(folders) if class_map is None else class_map.class_names(class_map.count)


def _provenance(name: str, remarks: Counter[str]) -> str:
    """Return the origin of images, and what was done to how many of them."""
    changes = [f"{count:,} {remark}" for remark, count in sorted(remarks.items())]
    return "; ".join([f"images of {name}", *changes])


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
