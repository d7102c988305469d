"""Data sets of the catalogue that are kept as image files, `<name>/<split>/<class>/*`."""

import csv
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from pruncam._core.store import Step, Store
from pruncam.datasets.decoding import Decoder, decode
from pruncam.datasets.file_tree import File, FileTree, open_tree
from pruncam.datasets.image_folder import group_by_folder, in_turn
from pruncam.datasets.images import DataError, ImageSet

_DECODING_VERSION = 2
_CHANNELS = {"L": 1, "RGB": 3}


@dataclass(frozen=True)
class FolderSet:
    """A data set of image files, all of one size, in `<folder>/<name>` or in one of the zips.

    Images are taken from each class in turn, so that the first n are balanced. They are decoded
    once; the pixels are stored under the hash of the files.

    Parameters
    ----------
    name, title : str
    zips : names of zips that may hold the set instead of a folder
    about : str
        Description of the files, for the provenance.
    mode : Pillow's image mode, "RGB" or "L"
    showable : whether the images may be published
    boxes : str or None
        A CSV beside the splits with the bounding boxes of the objects, in pixels.
    credits : dict
        Acknowledgements by source, the source of each image as in `manifest.csv`. If there are
        any, images of other sources are not published.
    """

    name: str
    title: str
    zips: tuple[str, ...]
    about: str
    mode: str = "RGB"
    showable: bool = True
    boxes: str | None = None
    credits: Mapping[str, str] = field(default_factory=dict)
    package_folder: None = None

    @property
    def layout(self) -> str:
        """Return where the files belong in a data folder."""
        return " or ".join((f"{self.name}/<split>/<class>/*", *self.zips))

    def missing(self, folder: Path) -> str:
        """Return what `folder` lacks, empty if it holds the set; the files are not verified."""
        if not folder.is_dir():
            return "no such folder"
        if self._source(folder) is not None:
            return ""
        return f"no {' or '.join((self.name, *self.zips))} in it"

    def load(self, split: str, folder: Path) -> ImageSet:
        """Load a split. Raises DataError if a file is damaged, missing or of another size."""
        source = self._source(folder)
        if source is None:
            raise DataError(f"{folder}: {self.missing(folder)}")
        with open_tree(source) as tree:
            if source.is_file():
                tree = tree.below(self.name)
            return self._load(split, tree)

    def download(self, folder: Path) -> None:
        """Raise DataError unless the files are in `folder`: there is no address for them."""
        if self.missing(folder):
            raise DataError(
                f"{self.title} cannot be downloaded: "
                f"put {self.layout} into a folder and pass DATA=<folder>"
            )

    def _source(self, folder: Path) -> Path | None:
        """Return the folder or zip that holds the set."""
        if (folder / self.name).is_dir():
            return folder / self.name
        zips = [folder / name for name in self.zips]
        return next((path for path in zips if path.is_file()), None)

    def _load(self, split: str, tree: FileTree) -> ImageSet:
        images = [file for file in tree.images if len(file.path) == 3]
        by_class = group_by_folder(images, level=1)  # over all splits, so that numbers agree
        of_split = [
            [file for file in group if file.path[0] == split] for group in by_class.values()
        ]
        files = in_turn(of_split)
        if not files:
            raise DataError(
                f"{tree.source} holds no images in {self.name}/{split}/<class>/: "
                "put them there or remove it"
            )
        pixels = self._decode(files)
        classes = list(by_class)
        labels = [classes.index(file.path[1]) for file in files]
        suffixes = sorted({Path(file.name).suffix.lower() for file in files})
        origin = f"{', '.join(suffixes)} files of {tree.source.name}"
        return ImageSet(
            name=self.name,
            split=split,
            images=pixels,
            labels=torch.tensor(labels),
            classes=tuple(classes),
            provenance=f"{self.title}: {self.about} ({origin})",
            showable=self.showable,
            credits=self._credits(tree, files),
            objects=self._objects(tree, files, pixels.shape[-2:]),
        )

    def _decode(self, files: list[File]) -> Tensor:
        """Return the pixels (N, C, H, W) of the files, from the store where they are in it."""
        fingerprints = "\n".join(f"{file.name} {file.fingerprint()}" for file in files)
        identity = hashlib.sha256(fingerprints.encode()).hexdigest()
        inputs = {"files": identity, "mode": self.mode}
        step = Step("decoded-images", _DECODING_VERSION, inputs)
        decoder = Decoder(channels=_CHANNELS[self.mode])
        result = Store().get(step, lambda: decode(files, decoder, hint="get the set again"))
        return result.value

    def _credits(self, tree: FileTree, files: list[File]) -> tuple[str, ...] | None:
        """Return the acknowledgement for each image; None without credits or a manifest."""
        if not self.credits:
            return None
        rows = _read_rows(tree, "manifest.csv")
        if rows is None:
            return None
        sources = [rows.get(file.name, {}).get("source", "") for file in files]
        return tuple(self.credits.get(source, "") for source in sources)

    def _objects(self, tree: FileTree, files: list[File], size: Sequence[int]) -> Tensor | None:
        """Return which pixels lie in the box of the object, (N, H, W); None without boxes."""
        if self.boxes is None:
            return None
        table = f"{self.name}/{self.boxes}"
        rows = _read_rows(tree, self.boxes)
        if rows is None:
            raise DataError(f"{self.title} lacks {table}: get the set again")
        height, width = size
        objects = torch.zeros(len(files), height, width, dtype=torch.bool)
        for mask, file in zip(objects, files, strict=True):
            box = _box(rows.get(file.name, {}))
            if box is None:
                raise DataError(f"{table} has no box for {file.name}: get the set again")
            left, top, right, bottom = box
            if not (0 <= left <= right < width and 0 <= top <= bottom < height):
                raise DataError(
                    f"{table}: the box of {file.name} lies outside its image: get the set again"
                )
            mask[top : bottom + 1, left : right + 1] = True
        return objects


def _read_rows(tree: FileTree, name: str) -> dict[str, dict[str, str]] | None:
    """Return the rows of a CSV of the tree by their column "file"; None without the CSV."""
    file = tree.find(name)
    if file is None:
        return None
    text = file.read().decode(errors="replace")
    table = csv.DictReader(io.StringIO(text))
    return {row.get("file", ""): row for row in table}


def _box(row: Mapping[str, str]) -> tuple[int, int, int, int] | None:
    """Return left, top, right and bottom of a box; None if one of them is missing or no number."""
    try:
        left = int(row["xmin"])
        top = int(row["ymin"])
        right = int(row["xmax"])
        bottom = int(row["ymax"])
    except (KeyError, ValueError, TypeError):
        return None
    return left, top, right, bottom
