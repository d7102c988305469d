"""CIFAR-10, CIFAR-100 and STL-10 in their original files, verified and read by torchvision."""

import http.client
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pruncam.datasets.images import DataError, ImageSet


@dataclass(frozen=True)
class TorchvisionSet:
    """A data set that torchvision downloads, verifies and reads."""

    name: str
    title: str
    torchvision: str  # the class in torchvision.datasets
    base: str  # the folder that its files come in
    home: None = None

    @property
    def layout(self) -> str:
        """Where the files belong, below a data folder."""
        return self.base

    def lacks(self, folder: Path) -> str:
        """What `folder` lacks, in words; empty where the files' folder is there (loading tells if they are intact)."""
        if not folder.is_dir():
            return "no such folder"
        return "" if (folder / self.base).is_dir() else f"no {self.base} in it"

    def load(self, split: str, folder: Path) -> ImageSet:
        """The split in memory; raises DataError, naming the files, where one is missing or damaged."""
        try:
            found = self._opened(folder, split, download=False)
        except (RuntimeError, OSError, ValueError, EOFError) as error:
            bad = ", ".join(self._damaged(folder)) or str(error)
            raise DataError(
                f"{self.title} in {folder / self.base} is not intact ({bad}): delete that folder and get it again "
                f"(`make download NAME={self.name}`)"
            ) from error
        images = np.asarray(found.data)
        images = images if self.torchvision == "STL10" else images.transpose(0, 3, 1, 2)
        return ImageSet(
            name=self.name,
            split=split,
            images=torch.from_numpy(np.ascontiguousarray(images)),
            labels=torch.as_tensor(np.asarray(getattr(found, "targets", None) or found.labels)).long(),
            classes=tuple(found.classes),
            provenance=f"{self.title}, original binary files (checksums verified)",
            original=True,
        )

    def download(self, folder: Path) -> None:
        """Fetch what is missing with torchvision's downloader; what is there and intact is kept."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for split in ("train", "test"):
                self._opened(folder, split, download=True)
        except (OSError, RuntimeError, http.client.HTTPException) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise DataError(
                f"{self.title} could not be downloaded into {folder} ({reason}): try again with a network, or put its "
                f"files into <folder>/{self.base} and pass DATA=<folder> or PRUNCAM_DATA=<folder>"
            ) from error

    def _opened(self, folder: Path, split: str, download: bool) -> Any:
        from torchvision import datasets  # here: the import alone takes seconds

        which = {"split": split} if self.torchvision == "STL10" else {"train": split == "train"}
        return getattr(datasets, self.torchvision)(str(folder), download=download, **which)

    def _damaged(self, folder: Path) -> list[str]:
        """The files that are missing or have another checksum."""
        from torchvision import datasets
        from torchvision.datasets.utils import check_integrity

        kind = getattr(datasets, self.torchvision)
        return [
            name
            for name, md5 in kind.train_list + kind.test_list
            if not check_integrity(folder / self.base / name, md5)
        ]


@dataclass(frozen=True)
class FirstOf:
    """One data set in several forms: the first form that a folder holds is taken, the first one is downloaded."""

    forms: tuple[Any, ...]  # of `catalog.Source`
    home: None = None

    @property
    def name(self) -> str:
        return self.forms[0].name

    @property
    def title(self) -> str:
        return self.forms[0].title

    @property
    def layout(self) -> str:
        """Where the files belong, below a data folder."""
        return " or ".join(form.layout for form in self.forms)

    def lacks(self, folder: Path) -> str:
        """What `folder` lacks, in words; empty where it holds one of the forms."""
        reasons = [form.lacks(folder) for form in self.forms]
        return "" if "" in reasons else ", ".join(dict.fromkeys(reasons))

    def load(self, split: str, folder: Path) -> ImageSet:
        """The split from the first form that is there."""
        return next(form for form in self.forms if not form.lacks(folder)).load(split, folder)

    def download(self, folder: Path) -> None:
        """The first form, unless the folder has one already."""
        if self.lacks(folder):
            self.forms[0].download(folder)
