"""Data sets in MNIST's IDX format: four files, each verified before torchvision parses it."""

import gzip
import hashlib
import http.client
import os
import socket
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from pruncam.datasets.images import DataError, ImageSet

FILES = {  # split -> images, labels
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}

# SHA-256 of the unpacked files, taken from copies whose .gz files have the MD5 sums that torchvision publishes. Of the
# unpacked content, because a .gz that was packed anew holds the same data under another sum.
CHECKSUMS = {
    "MNIST": {
        "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
    "FashionMNIST": {
        "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
}


@dataclass(frozen=True)
class IdxSet:
    """A data set kept as `<folder>/<torchvision>/raw/*-ubyte`, packed with gzip or not."""

    name: str
    title: str
    torchvision: str  # the class in torchvision.datasets; its name is also that of the folder
    classes: tuple[str, ...]
    home: None = None  # comes with no package: it is looked for in the data folders

    @property
    def layout(self) -> str:
        """Where the files belong, below a data folder."""
        return f"{self.torchvision}/raw"

    def lacks(self, folder: Path) -> str:
        """What `folder` lacks, in words; empty where all four files are there (loading tells if they are intact)."""
        if not os.path.isdir(folder):
            return "no such folder"
        raw = folder / self.layout
        if not os.path.isdir(raw):
            return f"no {self.layout} in it"
        absent = [file for pair in FILES.values() for file in pair if not _copies(raw, file)]
        return f"no {', '.join(absent)} in its {self.layout}" if absent else ""

    def load(self, split: str, folder: Path) -> ImageSet:
        """The split in memory, from files that are never changed; raises DataError where one of them is not intact."""
        from torchvision.datasets import mnist  # here: the import alone takes seconds

        images, labels = (self._content(folder, file) for file in FILES[split])
        return ImageSet(
            name=self.name,
            split=split,
            images=_parse(images, mnist.read_image_file).unsqueeze(1),
            labels=_parse(labels, mnist.read_label_file),
            classes=self.classes,
            provenance=f"{self.title}, original IDX files (checksums verified)",
        )

    def download(self, folder: Path) -> None:
        """Fetch what is missing or damaged in `folder` with torchvision's downloader; DataError leaves it as it was."""
        if self._is_intact(folder):
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".download-", dir=folder) as scratch:
                self._fetch(Path(scratch))
                (folder / self.layout).mkdir(parents=True, exist_ok=True)
                for path in (Path(scratch) / self.layout).iterdir():
                    os.replace(path, folder / self.layout / path.name)  # whole or not at all, also when killed here
        except (OSError, RuntimeError, http.client.HTTPException) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise DataError(
                f"{self.title} could not be downloaded into {folder} ({reason}): try again with a network, or get its "
                f"four .gz files elsewhere, put them into <folder>/{self.layout} and pass DATA=<folder> or "
                "PRUNCAM_DATA=<folder>"
            ) from error

    def _fetch(self, folder: Path) -> None:
        from torchvision import datasets

        with _network_timeout(seconds=30):
            getattr(datasets, self.torchvision)(folder, download=True)
        for file in CHECKSUMS[self.torchvision]:
            self._content(folder, file)

    def _is_intact(self, folder: Path) -> bool:
        if self.lacks(folder):
            return False
        try:
            return all(self._content(folder, file) for file in CHECKSUMS[self.torchvision])
        except DataError:
            return False

    def _content(self, folder: Path, file: str) -> bytes:
        """The unpacked, verified content of a file; a damaged copy is passed over only for an intact one beside it."""
        raw = folder / self.layout
        problems = []
        for path in _copies(raw, file) or [raw / file]:
            try:
                return _verified(path, CHECKSUMS[self.torchvision][file])
            except DataError as error:
                problems.append(str(error))
        cure = f"delete it and get it again (`make download NAME={self.name}`)"
        raise DataError(f"{'; '.join(problems)}: {cure}")


def _copies(raw: Path, file: str) -> list[Path]:
    """The unpacked file and the .gz, as far as they are there; the unpacked one first, as it loads faster."""
    return [path for path in (raw / file, raw / f"{file}.gz") if os.path.isfile(path)]


def _verified(path: Path, expected: str) -> bytes:
    """The unpacked content of `path`; raises DataError unless its SHA-256 is `expected`."""
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except EOFError:
        raise DataError(f"{path} is cut off") from None
    except (OSError, zlib.error) as error:  # a damaged .gz is either of these
        raise DataError(f"{path} cannot be read ({getattr(error, 'strerror', None) or error})") from error
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        unpacked = f"{len(content):,} bytes, SHA-256 {found}"
        raise DataError(f"{path} is not the original file (unpacked: {unpacked}; expected SHA-256 {expected})")
    return content


def _parse(content: bytes, parser: Callable[[Path], Tensor]) -> Tensor:
    """What torchvision's `parser`, which takes an unpacked file, makes of the content."""
    with tempfile.TemporaryDirectory() as scratch:  # never beside the source, which may be read-only
        path = Path(scratch) / "idx-ubyte"
        path.write_bytes(content)
        return parser(path)


@contextmanager
def _network_timeout(seconds: float) -> Iterator[None]:
    """Connections that stay silent for so long fail; torchvision sets no limit, and a blocked network would hang."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
