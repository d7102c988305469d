"""Data sets kept as picture files, `<name>/<split>/<class>/*`, in a folder or in a zip."""

import csv
import hashlib
import io
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pruncam.datasets.images import DataError, ImageSet
from pruncam.store import Step, Store

_DECODED = 1  # version of the step, raised by hand
_PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".webp")


# Whatever Pillow and zipfile meet in a damaged, encrypted or monstrous file.
_UNREADABLE = (OSError, zipfile.BadZipFile, SyntaxError, ValueError, RuntimeError, Image.DecompressionBombError)


@dataclass(frozen=True)
class _File:
    """A picture: its class, its place below the set's folder, what identifies its content, and how to read it."""

    group: str
    place: str
    identity: str
    read: Callable[[], bytes]


@dataclass(frozen=True)
class FolderSet:
    """A data set of picture files, all of one size, in `<folder>/<name>` or in one of the zips named.

    Images are ordered by their number within the class and then by class: the first n of them are balanced. Decoding
    happens once; the pixels are kept in the store under the hash of the files.
    """

    name: str
    title: str
    zips: tuple[str, ...]
    about: str  # for the provenance: what these files are
    mode: str = "RGB"  # Pillow's: "L" is grey
    showable: bool = True  # whether its pictures may be published
    boxes: str | None = None  # a CSV beside the splits with the objects' bounding boxes, in pixels
    credits: Mapping[str, str] = field(default_factory=dict)  # by source in manifest.csv; other pictures are not shown
    home: None = None

    @property
    def layout(self) -> str:
        """Where the files belong, below a data folder."""
        return " or ".join((f"{self.name}/<split>/<class>/*", *self.zips))

    def lacks(self, folder: Path) -> str:
        """What `folder` lacks, in words; empty where a folder or zip of the set is there (loading tells if intact)."""
        if not folder.is_dir():
            return "no such folder"
        return "" if self._form(folder) else f"no {' or '.join((self.name, *self.zips))} in it"

    def load(self, split: str, folder: Path) -> ImageSet:
        """The split in memory; raises DataError where a file is damaged, missing, or of another size."""
        form = self._form(folder)
        contents = _contents(form, self.name)
        # Of every split: a class without pictures in one of them keeps its number.
        classes = sorted({file.group for file in self._files(contents, "*")})
        files = self._files(contents, split)
        if not files:
            raise DataError(f"{form} holds no pictures in {self.name}/{split}/<class>/: put them there or remove it")
        in_turn = zip_longest(*([file for file in files if file.group == group] for group in classes))
        files = [file for file in chain(*in_turn) if file]
        identity = hashlib.sha256("\n".join(f"{file.place} {file.identity}" for file in files).encode()).hexdigest()
        step = Step("decoded-images", _DECODED, {"files": identity, "mode": self.mode})
        images = Store().get(step, lambda: self._decoded(files)).value
        kinds = sorted({Path(file.place).suffix.lower() for file in files})
        return ImageSet(
            name=self.name,
            split=split,
            images=images,
            labels=torch.tensor([classes.index(file.group) for file in files]),
            classes=tuple(classes),
            provenance=f"{self.title}: {self.about} ({', '.join(kinds)} files of {form.name})",
            showable=self.showable,
            credits=self._credits(contents, files) if self.credits else None,
            objects=None if self.boxes is None else self._objects(contents, files, images.shape[-2:]),
        )

    def download(self, folder: Path) -> None:
        """These files have no address of their own: DataError unless they are there."""
        if self.lacks(folder):
            raise DataError(
                f"{self.title} cannot be downloaded: put {self.layout} into a folder and pass DATA=<folder>"
            )

    def _form(self, folder: Path) -> Path | None:
        """The folder or zip that holds the set."""
        paths = [folder / self.name, *(folder / name for name in self.zips)]
        return next((path for path in paths if path.is_dir() or (path.suffix == ".zip" and path.is_file())), None)

    def _files(self, contents: list[tuple], split: str) -> list[_File]:
        """The pictures of a split, or of all of them ("*"), sorted."""
        found = []
        for place, identity, read in contents:
            parts = place.split("/")
            if len(parts) == 4 and parts[0] == self.name and split in (parts[1], "*") and _is_picture(place):
                found.append(_File(parts[2], "/".join(parts[1:]), identity, read))
        return sorted(found, key=lambda file: file.place)

    def _decoded(self, files: list[_File]) -> Tensor:
        """All pictures as one uint8 tensor (N, C, H, W)."""
        whole = None
        for number, file in enumerate(files):
            try:
                with Image.open(io.BytesIO(file.read())) as picture:
                    pixels = np.asarray(picture.convert(self.mode))
            except _UNREADABLE as error:
                raise DataError(f"{self.name}/{file.place} is damaged ({error}): get the set again") from error
            pixels = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
            if whole is None:
                whole = np.empty((len(files), *pixels.shape), np.uint8)
            if pixels.shape != whole.shape[1:]:
                sizes = " and ".join("x".join(map(str, shape[1:])) for shape in (whole.shape[1:], pixels.shape))
                raise DataError(f"{self.name}: pictures of one size are needed, got {sizes} ({file.place})")
            whole[number] = pixels
        return torch.from_numpy(whole)

    def _credits(self, contents: list[tuple], files: list[_File]) -> tuple[str, ...] | None:
        """Whom to name for each picture, by its source in manifest.csv; None where there is no such file."""
        rows = _rows(contents, f"{self.name}/manifest.csv")
        if rows is None:
            return None
        return tuple(self.credits.get(rows.get(file.place, {}).get("source", ""), "") for file in files)

    def _objects(self, contents: list[tuple], files: list[_File], size: tuple[int, int]) -> Tensor:
        """Which pixels lie in the object's box, (N, H, W) bool."""
        wanted = f"{self.name}/{self.boxes}"
        rows = _rows(contents, wanted)
        if rows is None:
            raise DataError(f"{self.title} lacks {wanted}: get the set again")
        objects = torch.zeros(len(files), *size, dtype=torch.bool)
        for mask, file in zip(objects, files, strict=True):
            try:
                left, top, right, bottom = (int(rows[file.place][end]) for end in ("xmin", "ymin", "xmax", "ymax"))
            except (KeyError, ValueError, TypeError):
                raise DataError(f"{wanted} has no box for {file.place}: get the set again") from None
            if not (0 <= left <= right < size[1] and 0 <= top <= bottom < size[0]):
                raise DataError(f"{wanted}: the box of {file.place} lies outside its picture: get the set again")
            mask[top : bottom + 1, left : right + 1] = True
        return objects


def _contents(form: Path, name: str) -> list[tuple[str, str, Callable[[], bytes]]]:
    """Place (from the set's own folder on), identity and reader of every file in a folder or zip."""
    if form.is_dir():
        paths = [path for path in form.rglob("*") if path.is_file()]
        return [(f"{name}/{p.relative_to(form).as_posix()}", _stamp(p), p.read_bytes) for p in paths]
    try:
        archive = zipfile.ZipFile(form)
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError(f"{form} cannot be read ({error}): get it again") from error
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    return [(e.filename, f"{e.CRC:08x} {e.file_size}", lambda e=e: archive.read(e)) for e in entries]


def _rows(contents: list[tuple], place: str) -> dict[str, dict[str, str]] | None:
    """The rows of a CSV by their column "file"; None where there is no such CSV."""
    content = next((read() for name, _, read in contents if name == place), None)
    if content is None:
        return None
    return {row.get("file"): row for row in csv.DictReader(io.StringIO(content.decode(errors="replace")))}


def _is_picture(place: str) -> bool:
    return place.lower().endswith(_PICTURES)


def _stamp(path: Path) -> str:
    state = path.stat()
    return f"{state.st_mtime_ns} {state.st_size}"
