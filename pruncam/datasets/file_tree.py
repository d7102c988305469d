"""Reading the files of a folder, a zip or a tar; archives are never unpacked to disk."""

import os
import stat
import tarfile
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PureWindowsPath
from typing import IO, cast

from pruncam._core.text import printable
from pruncam._core.validation import check_path
from pruncam.datasets.images import DataError
from pruncam.datasets.zip_directory import check_directory

IMAGE_SUFFIXES = (
    ".bmp",
    ".gif",
    ".jpeg",
    ".jpg",
    ".pgm",
    ".png",
    ".ppm",
    ".tif",
    ".tiff",
    ".webp",
)

_MAX_BYTES = 2**28  # of an archive member; a larger one is taken for a decompression bomb
# Folders of operating systems and network drives, some with small copies of the images.
_SYSTEM_FOLDERS = frozenset(
    {"__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found"}
)
_BLOCK = 2**20  # bytes read at a time
_DAMAGED_ARCHIVE = (
    zipfile.BadZipFile,
    NotImplementedError,  # Python's answer to a zip of a later version, or a damaged version
    UnicodeDecodeError,  # a name of a zip that is no UTF-8
    tarfile.TarError,
    zlib.error,
    OSError,
    EOFError,
)

Parts = tuple[str, ...]  # a path below the root of a tree


@dataclass(frozen=True)
class File(ABC):
    """A file of a tree."""

    path: Parts  # as UTF-8 text
    location: str  # the path together with the folder or archive, for messages
    position: int  # files are read fastest in the order of their positions

    @abstractmethod
    def read(self) -> bytes:
        """Return the content of the file. Raises OSError unless it is a regular file."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Return a text that changes when the content changes, without reading the content."""

    @property
    def name(self) -> str:
        """Return the path as text, with slashes."""
        return "/".join(self.path)

    @property
    def is_image(self) -> bool:
        """Return whether the file has the suffix of an image format."""
        return self.path[-1].lower().endswith(IMAGE_SUFFIXES)


@dataclass(frozen=True)
class FileTree:
    """Files and folders below a root."""

    source: Path  # the folder or archive
    files: tuple[File, ...]
    folders: frozenset[Parts]

    @property
    def images(self) -> list[File]:
        """Return the image files, sorted by folder and then by file name."""
        images = [file for file in self.files if file.is_image]
        return sorted(images, key=lambda file: ("/".join(file.path[:-1]), file.path[-1]))

    def find(self, name: str) -> File | None:
        """Return the file with this name, or None."""
        return next((file for file in self.files if file.name == name), None)

    def below(self, folder: str) -> "FileTree":
        """Return the part of the tree below a folder that lies in the root."""
        files = [replace(file, path=file.path[1:]) for file in self.files if file.path[0] == folder]
        folders = [path[1:] for path in self.folders if path[0] == folder]
        return _tree(self.source, files, folders)


@contextmanager
def open_tree(path: str | os.PathLike) -> Iterator[FileTree]:
    """Open a folder, zip or tar; its files can be read until the context ends.

    Hidden files and folders are left out, and so are those of operating systems (`__MACOSX`,
    `@eaDir`). Links are followed.

    Raises DataError if there is no such folder or archive, if a folder cannot be read or contains a
    link to itself, or if an archive is damaged or holds a link or another special file, a member
    outside its root, two members of one name, or a member of more than 256 MiB.
    """
    with ExitStack() as stack:
        yield _open(path, stack)


def keep_open(path: str | os.PathLike) -> FileTree:
    """Open a folder, zip or tar as `open_tree` does; its files can be read as long as they exist.

    An archive is closed when no file of it is in use any more.
    """
    stack = ExitStack()
    try:
        return _open(path, stack)
    except BaseException:
        stack.close()
        raise


def _open(path: str | os.PathLike, stack: ExitStack) -> FileTree:
    try:
        check_path("the folder, zip or tar of images", path)
    except ValueError as error:
        raise DataError(str(error)) from None
    source = Path(path).expanduser()
    if source.is_dir():
        return _folder_tree(source)
    if source.is_file():
        tree = _archive_tree(source, stack)
        _reject_doubled(tree)
        return tree
    fault = "is no regular file" if source.exists() else "does not exist"
    raise DataError(f"{source} {fault}: give a folder, zip or tar of images")


def _tree(source: Path, files: Iterable[File], folders: Iterable[Parts]) -> FileTree:
    visible_files = tuple(file for file in files if _is_visible(file.path))
    visible_folders = frozenset(path for path in folders if _is_visible(path))
    return FileTree(source, visible_files, visible_folders)


def _is_visible(path: Parts) -> bool:
    """Return whether a path is neither empty nor hidden."""
    hidden = any(part.startswith(".") or part in _SYSTEM_FOLDERS for part in path)
    return bool(path) and not hidden


def _folder_tree(source: Path) -> FileTree:
    files: list[File] = []
    folders = []
    for folder, names in _walk(source, (), frozenset()):
        folders.append(folder)
        for name in names:
            path = tuple(printable(part) for part in (*folder, name))
            location = os.path.join(source, *folder, name)
            files.append(_DiskFile(path, location, len(files)))
    return _tree(source, files, [tuple(map(printable, folder)) for folder in folders])


def _walk(source: Path, folder: Parts, above: frozenset) -> Iterator[tuple[Parts, list[str]]]:
    """Iterate over a folder and those below it: path and sorted names of files.

    `above` are the identities of the folders that contain it.
    """
    location = os.path.join(source, *folder)
    try:
        entries = sorted(os.scandir(location), key=lambda entry: entry.name)
        identity = _identity(location)
    except OSError as error:
        raise DataError(f"{location} cannot be read ({error.strerror})") from error
    if identity in above:
        raise DataError(f"{location} is a link to a folder that contains it: remove the link")
    subfolders = [entry.name for entry in entries if entry.is_dir()]
    yield folder, [entry.name for entry in entries if not entry.is_dir()]
    for name in subfolders:
        if _is_visible((name,)):
            yield from _walk(source, (*folder, name), above | {identity})


def _identity(location: str) -> tuple[int, int]:
    """Return what distinguishes a folder from all others, by whatever path it is reached."""
    state = os.stat(location)
    return state.st_dev, state.st_ino


@dataclass(frozen=True)
class _DiskFile(File):
    def read(self) -> bytes:
        state = os.stat(self.location)
        if not stat.S_ISREG(state.st_mode):
            raise OSError("it is no regular file")  # a pipe would wait, a device may be endless
        if state.st_size > _MAX_BYTES:
            raise OSError(f"{state.st_size / 2**20:,.0f} MiB, too large for an image")
        return Path(self.location).read_bytes()

    def fingerprint(self) -> str:
        try:
            state = os.stat(self.location)
        except OSError as error:
            raise DataError(f"{self.location} cannot be read ({error.strerror})") from error
        return f"{state.st_mtime_ns} {state.st_size}"


def _archive_tree(source: Path, stack: ExitStack) -> FileTree:
    is_zip = zipfile.is_zipfile(source)
    if not (is_zip or tarfile.is_tarfile(source)):
        raise DataError(
            f"{source} cannot be read as a zip or tar: give a folder, zip or tar of images"
        )
    try:
        if is_zip:
            return _zip_tree(source, stack.enter_context(zipfile.ZipFile(source)))
        return _tar_tree(source, stack.enter_context(tarfile.open(source)))
    except _DAMAGED_ARCHIVE as error:
        raise DataError(f"{source} cannot be read ({error}): pack or download it again") from error


def _reject_doubled(tree: FileTree) -> None:
    """Raise DataError if an archive holds two files of one name, of which unpacking keeps one."""
    counts = Counter(file.path for file in tree.files)
    doubled = [path for path, count in counts.items() if count > 1]
    if doubled:
        name = "/".join(doubled[0])
        raise DataError(f"{tree.source} holds {name!r} more than once: pack the images anew")


def _zip_tree(source: Path, archive: zipfile.ZipFile) -> FileTree:
    check_directory(source, archive)
    files: list[File] = []
    folders = []
    for position, member in enumerate(archive.infolist()):
        path = _member_path(source, member.filename, member.file_size)
        if member.is_dir():
            folders.append(path)
        else:
            location = f"{source}/{'/'.join(path)}"
            files.append(_ZipMember(path, location, position, archive, member))
    return _tree(source, files, folders)


@dataclass(frozen=True)
class _ZipMember(File):
    archive: zipfile.ZipFile
    member: zipfile.ZipInfo

    def read(self) -> bytes:
        return self.archive.read(self.member)

    def fingerprint(self) -> str:
        return f"{self.member.CRC:08x} {self.member.file_size}"


def _tar_tree(source: Path, archive: tarfile.TarFile) -> FileTree:
    files: list[File] = []
    folders = []
    for position, member in enumerate(archive.getmembers()):
        if not (member.isfile() or member.isdir()):
            raise DataError(
                f"{source} holds {member.name}, which is neither a file nor a folder: "
                "pack the images alone"
            )
        path = _member_path(source, member.name, member.size)
        if member.isdir():
            folders.append(path)
        else:
            location = f"{source}/{'/'.join(path)}"
            files.append(_TarMember(path, location, position, archive, member))
    _read_to_end(archive)
    return _tree(source, files, folders)


def _read_to_end(archive: tarfile.TarFile) -> None:
    """Read what follows the members: only at its end does a compressed tar test its checksum."""
    stream = cast(IO[bytes], archive.fileobj)
    while stream.read(_BLOCK):
        pass


@dataclass(frozen=True)
class _TarMember(File):
    archive: tarfile.TarFile
    member: tarfile.TarInfo

    def read(self) -> bytes:
        content = cast(IO[bytes], self.archive.extractfile(self.member))  # None for folders only
        return content.read()

    def fingerprint(self) -> str:
        return f"{self.member.mtime} {self.member.size}"


def _member_path(source: Path, name: str, size: int) -> Parts:
    """Return the path of an archive member; reject one outside the archive or too large."""
    path = PureWindowsPath(name)  # knows drives and both kinds of slashes
    if path.anchor or ".." in path.parts:
        raise DataError(
            f"{source} holds {name!r}, which lies outside its own folder: do not trust this archive"
        )
    if size > _MAX_BYTES:
        raise DataError(
            f"{source} holds {name!r} of {size / 2**20:,.0f} MiB, too large for an image: "
            "pack the images alone"
        )
    return tuple(map(printable, path.parts))
