"""Data sets in MNIST's IDX format: four files, each verified before it is parsed."""

import gzip
import hashlib
import http.client
import os
import socket
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from pruncam._core.commands import command
from pruncam._core.leftovers import temporary_folder
from pruncam._core.store import move_into_place
from pruncam.datasets.images import DataError, ImageSet

_TRAIN_IMAGES = "train-images-idx3-ubyte"
_TRAIN_LABELS = "train-labels-idx1-ubyte"
_TEST_IMAGES = "t10k-images-idx3-ubyte"
_TEST_LABELS = "t10k-labels-idx1-ubyte"

FILES = {  # split -> images, labels
    "train": (_TRAIN_IMAGES, _TRAIN_LABELS),
    "test": (_TEST_IMAGES, _TEST_LABELS),
}

# SHA-256 of the unpacked files, computed from copies whose .gz files have the MD5 sums that
# torchvision publishes. A .gz that was packed again holds the same data under another checksum.
CHECKSUMS = {
    "MNIST": {
        _TRAIN_IMAGES: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        _TRAIN_LABELS: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        _TEST_IMAGES: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        _TEST_LABELS: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
    "FashionMNIST": {
        _TRAIN_IMAGES: "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        _TRAIN_LABELS: "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        _TEST_IMAGES: "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        _TEST_LABELS: "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
}


@dataclass(frozen=True)
class IdxSet:
    """A data set in `<folder>/<torchvision>/raw/*-ubyte`, compressed with gzip or not."""

    name: str
    title: str
    torchvision: str  # the class in torchvision.datasets, and the name of the folder
    classes: tuple[str, ...]
    package_folder: None = None

    @property
    def layout(self) -> str:
        """Return where the files belong in a data folder."""
        return f"{self.torchvision}/raw"

    def missing(self, folder: Path) -> str:
        """Return what `folder` lacks, empty if all four files exist; they are not verified."""
        if not os.path.isdir(folder):
            return "no such folder"
        raw = folder / self.layout
        if not os.path.isdir(raw):
            return f"no {self.layout} in it"
        files = [*FILES["train"], *FILES["test"]]
        absent = [file for file in files if not _copies(raw, file)]
        return f"no {', '.join(absent)} in its {self.layout}" if absent else ""

    def load(self, split: str, folder: Path) -> ImageSet:
        """Load a split. Raises DataError if one of its files is missing or not the original."""
        from torchvision.datasets import mnist  # the import takes seconds

        images_file, labels_file = FILES[split]
        images = _parse(self._content(folder, images_file), mnist.read_image_file)
        labels = _parse(self._content(folder, labels_file), mnist.read_label_file)
        return ImageSet(
            name=self.name,
            split=split,
            images=images.unsqueeze(1),
            labels=labels,
            classes=self.classes,
            provenance=f"{self.title}, original IDX files (checksums verified)",
            original=True,
        )

    def download(self, folder: Path) -> None:
        """Download missing and damaged files with torchvision.

        Raises DataError if that fails; the files in `folder` are then as before.
        """
        if self._is_intact(folder):
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with temporary_folder(".download", folder) as scratch:
                self._fetch(Path(scratch))
                raw = folder / self.layout
                raw.mkdir(parents=True, exist_ok=True)
                for path in (Path(scratch) / self.layout).iterdir():
                    move_into_place(path, raw / path.name)
        except (OSError, RuntimeError, http.client.HTTPException) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise DataError(
                f"{self.title} could not be downloaded into {folder} ({reason}): try again with "
                "a network, or get its four .gz files elsewhere, put them into "
                f"<folder>/{self.layout} and pass DATA=<folder> or PRUNCAM_DATA=<folder>"
            ) from error

    def _fetch(self, folder: Path) -> None:
        """Download all files and verify them."""
        from torchvision import datasets

        with _network_timeout(seconds=30):
            getattr(datasets, self.torchvision)(folder, download=True)
        for file in CHECKSUMS[self.torchvision]:
            self._content(folder, file)

    def _is_intact(self, folder: Path) -> bool:
        if self.missing(folder):
            return False
        try:
            return all(self._content(folder, file) for file in CHECKSUMS[self.torchvision])
        except DataError:
            return False

    def _content(self, folder: Path, file: str) -> bytes:
        """Return the verified, decompressed content of a file, from its first intact copy."""
        raw = folder / self.layout
        problems = []
        for path in _copies(raw, file) or [raw / file]:
            try:
                return _verified(path, CHECKSUMS[self.torchvision][file])
            except DataError as error:
                problems.append(str(error))
        remedy = f"delete it and get it again ({command('download', NAME=self.name)})"
        raise DataError(f"{'; '.join(problems)}: {remedy}")


def _copies(raw: Path, file: str) -> list[Path]:
    """Return the existing copies of a file; the uncompressed one first, which loads faster."""
    return [path for path in (raw / file, raw / f"{file}.gz") if os.path.isfile(path)]


def _verified(path: Path, expected: str) -> bytes:
    """Return the decompressed content of `path`. Raises DataError unless its SHA-256 matches."""
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except EOFError:
        raise DataError(f"{path} is cut off") from None
    except (OSError, zlib.error) as error:  # a damaged .gz raises either of them
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path} cannot be read ({reason})") from error
    checksum = hashlib.sha256(content).hexdigest()
    if checksum != expected:
        unpacked = f"{len(content):,} bytes, SHA-256 {checksum}"
        raise DataError(
            f"{path} is not the original file (unpacked: {unpacked}; expected SHA-256 {expected})"
        )
    return content


def _parse(content: bytes, parser: Callable[[Path], Tensor]) -> Tensor:
    """Parse the content with a function of torchvision that takes the path of a file."""
    # Not beside the source, which may be read-only.
    with temporary_folder("pruncam-idx") as scratch:
        path = Path(scratch) / "idx-ubyte"
        path.write_bytes(content)
        return parser(path)


@contextmanager
def _network_timeout(seconds: float) -> Iterator[None]:
    """Let silent connections fail after a while; torchvision itself would wait for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
