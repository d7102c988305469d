"""CIFAR-10, CIFAR-100 and STL-10 in their original files, verified and read by torchvision."""

import http.client
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pruncam._core.commands import command
from pruncam.datasets.images import DataError, ImageSet


@dataclass(frozen=True)
class TorchvisionSet:
    """A data set that torchvision downloads, verifies and reads."""

    name: str
    title: str
    torchvision: str  # the class in torchvision.datasets
    base: str  # the folder of its files
    package_folder: None = None

    @property
    def layout(self) -> str:
        """Return where the files belong in a data folder."""
        return self.base

    def missing(self, folder: Path) -> str:
        """Return what `folder` lacks, empty if the files' folder exists; no file is verified."""
        if not folder.is_dir():
            return "no such folder"
        return "" if (folder / self.base).is_dir() else f"no {self.base} in it"

    def load(self, split: str, folder: Path) -> ImageSet:
        """Load a split. Raises DataError, naming the files, if one is missing or damaged."""
        try:
            dataset = self._open(folder, split, download=False)
        except (RuntimeError, OSError, ValueError, EOFError) as error:
            files = ", ".join(self._damaged_files(folder)) or str(error)
            raise DataError(
                f"{self.title} in {folder / self.base} is not intact ({files}): delete that "
                f"folder and get it again ({command('download', NAME=self.name)})"
            ) from error
        images = np.asarray(dataset.data)
        if self.torchvision != "STL10":  # channels come last
            images = images.transpose(0, 3, 1, 2)
        labels = getattr(dataset, "targets", None) or dataset.labels
        return ImageSet(
            name=self.name,
            split=split,
            images=torch.from_numpy(np.ascontiguousarray(images)),
            labels=torch.as_tensor(np.asarray(labels)).long(),
            classes=tuple(dataset.classes),
            provenance=f"{self.title}, original binary files (checksums verified)",
            original=True,
        )

    def download(self, folder: Path) -> None:
        """Download missing and damaged files with torchvision. Raises DataError if that fails."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for split in ("train", "test"):
                self._open(folder, split, download=True)
        except (OSError, RuntimeError, http.client.HTTPException) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise DataError(
                f"{self.title} could not be downloaded into {folder} ({reason}): try again with "
                f"a network, or put its files into <folder>/{self.base} and pass DATA=<folder> "
                "or PRUNCAM_DATA=<folder>"
            ) from error

    def _open(self, folder: Path, split: str, download: bool) -> Any:
        from torchvision import datasets  # the import takes seconds

        dataset_class = getattr(datasets, self.torchvision)
        if self.torchvision == "STL10":
            return dataset_class(str(folder), split=split, download=download)
        return dataset_class(str(folder), train=split == "train", download=download)

    def _damaged_files(self, folder: Path) -> list[str]:
        """Return the files that are missing or do not match their checksum."""
        from torchvision import datasets
        from torchvision.datasets.utils import check_integrity

        dataset_class = getattr(datasets, self.torchvision)
        checksums = dict(dataset_class.train_list + dataset_class.test_list)
        base = folder / self.base
        return [name for name, md5 in checksums.items() if not check_integrity(base / name, md5)]


@dataclass(frozen=True)
class FirstOf:
    """A data set in several forms; the first form in a folder is used, the first downloaded."""

    forms: tuple[Any, ...]  # of type `catalog.Source`
    package_folder: None = None

    @property
    def name(self) -> str:
        """Return the name of the data set."""
        return self.forms[0].name

    @property
    def title(self) -> str:
        """Return the title of the data set."""
        return self.forms[0].title

    @property
    def layout(self) -> str:
        """Return where the files of each form belong in a data folder."""
        return " or ".join(form.layout for form in self.forms)

    def missing(self, folder: Path) -> str:
        """Return what `folder` lacks, empty if it holds one of the forms."""
        reasons = [form.missing(folder) for form in self.forms]
        return "" if "" in reasons else ", ".join(dict.fromkeys(reasons))

    def load(self, split: str, folder: Path) -> ImageSet:
        """Load a split from the first form that is in `folder`."""
        form = next(form for form in self.forms if not form.missing(folder))
        return form.load(split, folder)

    def download(self, folder: Path) -> None:
        """Download the first form, unless `folder` holds one of them."""
        if self.missing(folder):
            self.forms[0].download(folder)
