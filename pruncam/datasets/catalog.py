"""The data sets by name: find them, download them, load them into memory."""

import os
from pathlib import Path
from typing import Protocol

from pruncam import places
from pruncam.choices import check_choice, check_number
from pruncam.datasets.digits import Digits
from pruncam.datasets.folders import FolderSet
from pruncam.datasets.generated import Generated
from pruncam.datasets.idx import IdxSet
from pruncam.datasets.images import DataError, ImageSet
from pruncam.datasets.originals import FirstOf, TorchvisionSet

SPLITS = ("train", "test")


class Source(Protocol):
    """What a kind of data set must offer to stand in the catalogue."""

    name: str
    title: str
    layout: str  # where the files belong, below a data folder
    home: Path | None  # the folder it comes in with a package; None: it is looked for in the data folders

    def lacks(self, folder: Path) -> str: ...  # in words; empty where the folder holds the whole set
    def load(self, split: str, folder: Path) -> ImageSet: ...
    def download(self, folder: Path) -> None: ...


_COPIED = "encoded anew, not the original pixels"
_HANNOVER = (
    "H. B. Winther et al., COVID-19 Image Repository, Hannover Medical School, doi:10.6084/m9.figshare.12275009, "
    "CC BY 3.0; made grey and resized"
)
_KERMANY = "D. Kermany, K. Zhang, M. Goldbaum, Chest X-Ray Images, 2018, doi:10.17632/rscbjbr9sj.2, CC BY 4.0; resized"
# The sources of covid19 whose licence lets pictures be shown; those of the others are not.
_XRAYS = {"hannover": _HANNOVER} | dict.fromkeys(("kermany", "kermany-bacteria", "kermany-virus"), _KERMANY)

_SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        IdxSet("mnist", "MNIST", torchvision="MNIST", classes=tuple("0123456789")),
        IdxSet(
            "fashion-mnist",
            "Fashion-MNIST",
            torchvision="FashionMNIST",
            classes=(
                *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
                *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
            ),
        ),
        Digits(),
        FirstOf(
            (
                TorchvisionSet("cifar10", "CIFAR-10", "CIFAR10", "cifar-10-batches-py"),
                FolderSet("cifar10", "CIFAR-10", ("cifar10.zip", "cifar10-jpeg.zip"), _COPIED),
            )
        ),
        FirstOf(
            (
                TorchvisionSet("cifar100", "CIFAR-100", "CIFAR100", "cifar-100-python"),
                FolderSet("cifar100", "CIFAR-100", ("cifar100.zip",), _COPIED),
            )
        ),
        FirstOf(
            (
                TorchvisionSet("stl10", "STL-10", "STL10", "stl10_binary"),
                FolderSet("stl10", "STL-10", ("stl10.zip",), _COPIED),
            )
        ),
        FolderSet(
            "tiny-imagenet-10",
            "Tiny ImageNet, ten classes",
            ("tiny-imagenet-10.zip",),
            "pictures that may not be published",
            showable=False,
            boxes="boxes.csv",
        ),
        FolderSet(
            "tiny-imagenet-100",
            "Tiny ImageNet, a hundred classes",
            ("tiny-imagenet-100.zip",),
            "pictures that may not be published",
            showable=False,
        ),
        FolderSet(
            "covid19",
            "Chest X-rays, healthy, pneumonia and COVID-19",
            ("covid19.zip",),
            "grey",
            mode="L",
            showable=False,
            credits=_XRAYS,
        ),
        Generated("generated-10", size=32),
        Generated("generated-10-easy", size=32, difficulty=0.0),
        Generated("generated-10-hard", size=32, difficulty=1.0),
        Generated("generated-10-96", size=96),
        Generated("generated-10-marked", size=32, agreement=0.95),
    )
}


def names() -> tuple[str, ...]:
    """The names that `load` knows."""
    return tuple(_SOURCES)


def load(name: str, split: str, *, data_dir: str | os.PathLike | None = None, at_most: int | None = None) -> ImageSet:
    """A split ("train" or "test") in memory; looked for in `data_dir`, then PRUNCAM_DATA, then `data/`.

    Of a split with more than `at_most` images the first so many. Raises ValueError for an unknown name or split or a
    number below 1, DataError where the set is missing or one of its files is damaged.
    """
    source = _source(name)
    check_choice("split", split, SPLITS)
    if at_most is not None:
        check_number("at_most", at_most, whole=True, at_least=1)
    folder = find(name, data_dir)
    if folder is None:
        raise DataError(_missing(source, places.data_folders(data_dir)))
    if isinstance(source, Generated):
        return source.load(split, folder, at_most)  # those that nobody asks for are not even drawn
    found = source.load(split, folder)
    return found if at_most is None or at_most >= len(found) else found.first(at_most)


def find(name: str, data_dir: str | os.PathLike | None = None) -> Path | None:
    """The folder that holds the whole set, or None; for a set that comes with a package, the package's own folder."""
    source = _source(name)
    if source.home:
        return source.home
    return next((folder for folder in places.data_folders(data_dir) if not source.lacks(folder)), None)


def download(name: str, folder: str | os.PathLike | None = None) -> Path:
    """Get the set from its publisher into `folder`, default `data/`; returns where it is. Raises DataError.

    What is there and intact is kept, and a set that comes with a package needs nothing.
    """
    source = _source(name)
    target = Path(folder or places.project_root() / "data").expanduser()
    source.download(target)
    return source.home or target


def ensure(name: str, data_dir: str | os.PathLike | None = None) -> Path:
    """Where the set is found, else it is downloaded into `data/`. Raises DataError where that fails too."""
    try:
        return find(name, data_dir) or download(name)
    except DataError as error:
        raise DataError(f"{error}; looked in {_looked(_source(name), places.data_folders(data_dir))}") from error


def _source(name: str) -> Source:
    check_choice("data set", name, _SOURCES)
    return _SOURCES[name]


def _missing(source: Source, folders: list[Path]) -> str:
    return (
        f"{source.title} is missing: run `make download NAME={source.name}`, or put its files into "
        f"<folder>/{source.layout} and name that folder with DATA=<folder> or PRUNCAM_DATA=<folder>; "
        f"looked in {_looked(source, folders)}"
    )


def _looked(source: Source, folders: list[Path]) -> str:
    return "; ".join(f"{folder.absolute()} ({source.lacks(folder)})" for folder in dict.fromkeys(folders))
