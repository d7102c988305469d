"""Catalogue of the data sets: find, download and load them by name."""

import os
from pathlib import Path
from typing import Protocol

from pruncam._core import paths
from pruncam._core.commands import command
from pruncam._core.validation import check_choice, check_data_folder, check_number
from pruncam.datasets.digits import DigitsSet
from pruncam.datasets.folder_set import FolderSet
from pruncam.datasets.generated import GeneratedSet
from pruncam.datasets.idx import IdxSet
from pruncam.datasets.images import DataError, ImageSet
from pruncam.datasets.originals import FirstOf, TorchvisionSet

SPLITS = ("train", "test")


class Source(Protocol):
    """A data set of the catalogue."""

    @property
    def name(self) -> str:
        """Return the name in the catalogue."""

    @property
    def title(self) -> str:
        """Return the name for texts."""

    @property
    def layout(self) -> str:
        """Return where the files belong in a data folder."""

    @property
    def package_folder(self) -> Path | None:
        """Return the folder of the package that it comes with; None: it is in a data folder."""

    def missing(self, folder: Path) -> str:
        """Return what `folder` lacks, in words; empty if it holds the whole set."""

    def load(self, split: str, folder: Path) -> ImageSet:
        """Load a split from `folder`."""

    def download(self, folder: Path) -> None:
        """Download the set into `folder`."""


_RE_ENCODED = "re-encoded, not the original pixels"
_NOT_PUBLIC = "images that may not be published"

_FASHION_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)

_HANNOVER = (
    "H. B. Winther et al., COVID-19 Image Repository, Hannover Medical School, "
    "doi:10.6084/m9.figshare.12275009, CC BY 3.0; made grey and resized"
)
_KERMANY = (
    "D. Kermany, K. Zhang, M. Goldbaum, Chest X-Ray Images, 2018, doi:10.17632/rscbjbr9sj.2, "
    "CC BY 4.0; resized"
)

# Images of the other sources of covid19 may not be published.
_XRAY_CREDITS = {
    "hannover": _HANNOVER,
    "kermany": _KERMANY,
    "kermany-bacteria": _KERMANY,
    "kermany-virus": _KERMANY,
}

_MNIST = IdxSet("mnist", "MNIST", torchvision="MNIST", classes=tuple("0123456789"))
_FASHION_MNIST = IdxSet(
    "fashion-mnist", "Fashion-MNIST", torchvision="FashionMNIST", classes=_FASHION_CLASSES
)
_CIFAR10_FILES = TorchvisionSet("cifar10", "CIFAR-10", "CIFAR10", "cifar-10-batches-py")
_CIFAR10_IMAGES = FolderSet("cifar10", "CIFAR-10", ("cifar10.zip", "cifar10-jpeg.zip"), _RE_ENCODED)
_CIFAR100_FILES = TorchvisionSet("cifar100", "CIFAR-100", "CIFAR100", "cifar-100-python")
_CIFAR100_IMAGES = FolderSet("cifar100", "CIFAR-100", ("cifar100.zip",), _RE_ENCODED)
_STL10_FILES = TorchvisionSet("stl10", "STL-10", "STL10", "stl10_binary")
_STL10_IMAGES = FolderSet("stl10", "STL-10", ("stl10.zip",), _RE_ENCODED)
_TINY_IMAGENET_10 = FolderSet(
    "tiny-imagenet-10",
    "Tiny ImageNet, ten classes",
    ("tiny-imagenet-10.zip",),
    _NOT_PUBLIC,
    showable=False,
    boxes="boxes.csv",
)
_TINY_IMAGENET_100 = FolderSet(
    "tiny-imagenet-100",
    "Tiny ImageNet, a hundred classes",
    ("tiny-imagenet-100.zip",),
    _NOT_PUBLIC,
    showable=False,
)
_COVID19 = FolderSet(
    "covid19",
    "Chest X-rays, healthy, pneumonia and COVID-19",
    ("covid19.zip",),
    "grey",
    mode="L",
    showable=False,
    credits=_XRAY_CREDITS,
)

_ALL: tuple[Source, ...] = (
    _MNIST,
    _FASHION_MNIST,
    DigitsSet(),
    FirstOf((_CIFAR10_FILES, _CIFAR10_IMAGES)),
    FirstOf((_CIFAR100_FILES, _CIFAR100_IMAGES)),
    FirstOf((_STL10_FILES, _STL10_IMAGES)),
    _TINY_IMAGENET_10,
    _TINY_IMAGENET_100,
    _COVID19,
    GeneratedSet("generated-10", size=32),
    GeneratedSet("generated-10-easy", size=32, difficulty=0.0),
    GeneratedSet("generated-10-hard", size=32, difficulty=1.0),
    GeneratedSet("generated-10-96", size=96),
    GeneratedSet("generated-10-marked", size=32, agreement=0.95),
)
_SOURCES: dict[str, Source] = {source.name: source for source in _ALL}


def names() -> tuple[str, ...]:
    """Return the names that `load` accepts."""
    return tuple(_SOURCES)


def load(
    name: str, split: str, *, data_dir: str | os.PathLike | None = None, at_most: int | None = None
) -> ImageSet:
    """Load a split ("train" or "test") into memory, or its first `at_most` images.

    The set is searched for in `data_dir`, then PRUNCAM_DATA, then `data/`. Raises ValueError for
    an unknown name or split or `at_most` below 1, DataError if the set is missing or damaged.
    """
    source = _source(name)
    check_choice("split", split, SPLITS)
    if at_most is not None:
        check_number("at_most", at_most, whole=True, at_least=1)
    folder = find(name, data_dir)
    if folder is None:
        raise DataError(_missing_text(source, paths.data_folders(data_dir)))
    if isinstance(source, GeneratedSet):
        return source.load(split, folder, at_most)  # draws no more images than needed
    images = source.load(split, folder)
    return images if at_most is None or at_most >= len(images) else images.first(at_most)


def find(name: str, data_dir: str | os.PathLike | None = None) -> Path | None:
    """Return the folder that holds the whole set, or None.

    For a set that comes with a package it is the package's own folder.
    """
    source = _source(name)
    check_data_folder(data_dir)
    if source.package_folder is not None:
        return source.package_folder
    folders = paths.data_folders(data_dir)
    return next((folder for folder in folders if not source.missing(folder)), None)


def download(name: str, folder: str | os.PathLike | None = None) -> Path:
    """Download a set from its publisher into `folder` (default `data/`) and return the folder.

    Intact files are kept; a set that comes with a package needs no download. Raises DataError if
    the download fails.
    """
    source = _source(name)
    target = Path(folder or paths.project_root() / "data").expanduser()
    source.download(target)
    return source.package_folder or target


def ensure(name: str, data_dir: str | os.PathLike | None = None) -> Path:
    """Return the folder that holds the set, after downloading it into `data/` if necessary.

    Raises DataError if the download fails.
    """
    try:
        return find(name, data_dir) or download(name)
    except DataError as error:
        searched = _searched_text(_source(name), paths.data_folders(data_dir))
        raise DataError(f"{error}; looked in {searched}") from error


def how_to_get(name: str) -> str:
    """Return what to do if a set is missing: the command that downloads it, or its layout."""
    source = _source(name)
    bring = f"put its files into <folder>/{source.layout} and name that folder with DATA=<folder>"
    return bring if isinstance(source, FolderSet) else command("download", NAME=name)


def _source(name: str) -> Source:
    check_choice("data set", name, _SOURCES)
    return _SOURCES[name]


def _missing_text(source: Source, folders: list[Path]) -> str:
    download = "" if isinstance(source, FolderSet) else f"run {how_to_get(source.name)}, or "
    return (
        f"{source.title} is missing: {download}put its files into "
        f"<folder>/{source.layout} and name that folder with DATA=<folder> or "
        f"PRUNCAM_DATA=<folder>; looked in {_searched_text(source, folders)}"
    )


def _searched_text(source: Source, folders: list[Path]) -> str:
    """Return the folders and what each of them lacks."""
    unique = dict.fromkeys(folders)
    return "; ".join(f"{folder.absolute()} ({source.missing(folder)})" for folder in unique)
