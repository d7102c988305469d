"""The user's pictures, `<class>/*` in a folder, a zip or a tar: read into memory, never unpacked to a disk."""

import io
import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path, PureWindowsPath

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pruncam.choices import check_number
from pruncam.datasets import DataError, ImageSet

_LARGEST = 2**28  # bytes of a packed picture: more is no picture but a bomb
# Whatever Pillow and the archives meet in a damaged, encrypted or monstrous file.
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, RuntimeError, Image.DecompressionBombError)
_UNREADABLE = (*_DAMAGED, zipfile.BadZipFile, tarfile.TarError, zlib.error)
_MODES = {1: "L", 3: "RGB"}  # Pillow's names, by channels


@dataclass(frozen=True, eq=False)
class Pictures:
    """An image set, and the file that each image came from."""

    images: ImageSet
    files: tuple[str, ...]

    def __post_init__(self):
        if len(self.files) != len(self.images):
            raise ValueError(f"every image needs its file's name, got {len(self.images)} and {len(self.files)}")


@dataclass(frozen=True)
class _Entry:
    """A file or folder: its place in parts, and how to read it (None: a folder)."""

    parts: tuple[str, ...]
    read: Callable[[], bytes] | None

    @property
    def is_picture(self) -> bool:
        from torchvision.datasets.folder import IMG_EXTENSIONS  # here: the import alone takes seconds

        return self.read is not None and self.parts[-1].lower().endswith(IMG_EXTENSIONS)


def read(
    place: str | os.PathLike, *, channels: int = 3, size: int | None = None, limit: int | None = None, split="test"
) -> Pictures:
    """The pictures below a folder, in a zip or in a tar: one sub-folder for each class.

    Classes are numbered in the order of their names, as torchvision's ImageFolder does. Images come in turn from every
    class, so that the first n are balanced.

    Parameters
    ----------
    place : the folder, zip or tar; what lies in a single folder at its top is taken as if it lay at the top
    channels : 3, or 1 for grey
    size : the shorter side is resized to so many pixels and the middle cut out, size x size; None: as they are, which
        must be one size for all
    limit : at most so many pictures
    split : "test" or "train"

    Raises
    ------
    DataError
        If the folder is missing or has no classes of pictures, a picture is damaged or of another size, or an archive
        is damaged, holds links, or has members outside its own folder.
    """
    place = Path(place).expanduser()
    for name, value in (("size", size), ("limit", limit)):
        if value is not None:
            check_number(name, value, whole=True, at_least=1)
    if channels not in _MODES:
        raise DataError(f"pictures have 1 channel or 3, the network's first layer reads {channels}")
    with _opened(place) as entries:
        entries = _below_the_top(entries)
        classes = _classes(place, entries)
        groups = ([entry for entry in entries if entry.is_picture and entry.parts[0] == name] for name in classes)
        in_turn = zip_longest(*(sorted(group, key=lambda entry: entry.parts) for group in groups))
        chosen = [entry for entry in chain(*in_turn) if entry][:limit]
        pixels = _decoded(place, entries, chosen, _MODES[channels], size)
    return Pictures(
        ImageSet(
            name=place.name,
            split=split,
            images=pixels,
            labels=torch.tensor([classes.index(entry.parts[0]) for entry in chosen]),
            classes=classes,
            provenance=f"pictures of {place.name}",
        ),
        tuple("/".join(entry.parts) for entry in chosen),
    )


@contextmanager
def _opened(place: Path) -> Iterator[list[_Entry]]:
    """Everything in a folder or archive, in the order in which it is read fastest."""
    if place.is_dir():
        yield [
            _Entry(path.relative_to(place).parts, None if path.is_dir() else path.read_bytes)
            for path in sorted(place.rglob("*"))
        ]
        return
    if not place.is_file():
        raise DataError(f"there is no folder or archive {place}: give one with a sub-folder of pictures for each class")
    is_zip = zipfile.is_zipfile(place)
    if not (is_zip or tarfile.is_tarfile(place)):
        raise DataError(f"{place} is no folder, zip or tar: give one with a sub-folder of pictures for each class")
    with ExitStack() as stack:
        try:
            kind, listed = (zipfile.ZipFile, _zipped) if is_zip else (tarfile.TarFile.open, _tarred)
            entries = listed(place, stack.enter_context(kind(place)))
        except (zipfile.BadZipFile, tarfile.TarError, OSError, EOFError, zlib.error) as error:
            raise DataError(f"{place} cannot be read ({error}): pack it again") from error
        yield entries


def _zipped(place: Path, archive: zipfile.ZipFile) -> list[_Entry]:
    found = []
    for member in archive.infolist():
        parts = _parts(place, member.filename, member.file_size)
        found.append(_Entry(parts, None if member.is_dir() else lambda member=member: archive.read(member)))
    return [entry for entry in found if entry.parts]


def _tarred(place: Path, archive: tarfile.TarFile) -> list[_Entry]:
    found = []
    for member in archive.getmembers():
        if not (member.isfile() or member.isdir()):
            raise DataError(f"{place} holds {member.name}, which is neither file nor folder: pack the pictures alone")
        parts = _parts(place, member.name, member.size)
        read = None if member.isdir() else lambda member=member: archive.extractfile(member).read()
        found.append(_Entry(parts, read))
    return [entry for entry in found if entry.parts]


def _parts(place: Path, name: str, size: int) -> tuple[str, ...]:
    """The place of an archive's member in parts, refused where it lies outside the archive or cannot be a picture."""
    path = PureWindowsPath(name)  # which knows both kinds of slashes, and drives
    if path.anchor or ".." in path.parts:
        raise DataError(f"{place} holds {name!r}, which lies outside its own folder: do not trust this archive")
    if size > _LARGEST:
        raise DataError(f"{place} holds {name!r} of {size / 2**20:,.0f} MiB, which is no picture: pack it again")
    return path.parts


def _below_the_top(entries: list[_Entry]) -> list[_Entry]:
    """The entries from the folder on that holds the classes; what is hidden, or a Mac put there, is left out."""
    shown = [e for e in entries if not any(part.startswith(".") or part == "__MACOSX" for part in e.parts)]
    while True:
        pictures = [entry.parts for entry in shown if entry.is_picture]
        if len({parts[0] for parts in pictures}) != 1 or min(map(len, pictures)) < 3:
            return shown
        top = pictures[0][0]
        shown = [_Entry(e.parts[1:], e.read) for e in shown if e.parts[0] == top and len(e.parts) > 1]


def _classes(place: Path, entries: list[_Entry]) -> tuple[str, ...]:
    """The classes' names in order; each must have a picture, or the numbers of the others would be wrong."""
    pictures = [entry for entry in entries if entry.is_picture]
    if not pictures:
        raise DataError(f"{place} holds no pictures: it must have a sub-folder for each class, as in cat/0001.jpg")
    loose = next((entry for entry in pictures if len(entry.parts) == 1), None)
    if loose:
        raise DataError(f"{place} holds {loose.parts[0]} in no class: put pictures into a sub-folder for each class")
    names = {entry.parts[0] for entry in entries if entry.read is None or len(entry.parts) > 1}
    empty = sorted(names - {entry.parts[0] for entry in pictures})
    if empty:
        raise DataError(f"{place}: the class {empty[0]!r} has no picture: add some, or remove its folder")
    return tuple(sorted(names))


def _decoded(place: Path, entries: list[_Entry], chosen: list[_Entry], mode: str, size: int | None) -> Tensor:
    """The pictures as one uint8 tensor (N, C, H, W), in the order of `chosen`, read in that of `entries`."""
    rows, whole = {id(entry): row for row, entry in enumerate(chosen)}, None
    for entry in (entry for entry in entries if id(entry) in rows):
        where = f"{place.name}/{'/'.join(entry.parts)}"
        try:
            with Image.open(io.BytesIO(entry.read())) as picture:
                pixels = np.asarray(_fitted(picture.convert(mode), size))
        except _UNREADABLE as error:
            reason = " ".join(str(error).split())
            raise DataError(f"{where} cannot be read as a picture ({reason}): repair or remove it") from error
        pixels = torch.from_numpy(pixels.copy()).view(*pixels.shape[:2], -1).permute(2, 0, 1)
        if whole is None:
            whole = torch.empty((len(chosen), *pixels.shape), dtype=torch.uint8)
        if pixels.shape != whole.shape[1:]:
            sizes = " and ".join("x".join(map(str, shape[1:])) for shape in (whole.shape[1:], pixels.shape))
            raise DataError(
                f"{place} has pictures of several sizes, {sizes} ({where}): give the size to resize them to"
            )
        whole[rows[id(entry)]] = pixels
    return whole


def _fitted(picture: Image.Image, size: int | None) -> Image.Image:
    """The picture with its shorter side resized to `size`, and the middle of it."""
    if size is None or picture.size == (size, size):
        return picture
    scale = size / min(picture.size)
    width, height = (max(size, round(side * scale)) for side in picture.size)
    left, top = (width - size) // 2, (height - size) // 2
    return picture.resize((width, height), Image.Resampling.BILINEAR).crop((left, top, left + size, top + size))
