"""scikit-learn's handwritten digits, enlarged until they look like MNIST: real data without a download."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from pruncam.datasets.images import ImageSet

CLASSES = tuple("0123456789")


@dataclass(frozen=True)
class Digits:
    """The 1,797 digits that come with scikit-learn."""

    name: str = "digits"
    title: str = "scikit-learn's handwritten digits"
    layout: str = ""

    @property
    def home(self) -> Path:
        """The folder of the installed package that holds them (found without importing it)."""
        return Path(find_spec("sklearn").origin).parent / "datasets" / "data"

    def lacks(self, folder: Path) -> str:
        """Nothing: they come with the package."""
        return ""

    def download(self, folder: Path) -> None:
        """Nothing to do: they come with the package."""

    def load(self, split: str, folder: Path) -> ImageSet:
        """The split in memory as (N, 1, 28, 28); `folder` is not needed, scikit-learn knows the place."""
        from sklearn.datasets import load_digits  # here: the import alone takes seconds

        counts, labels = load_digits(return_X_y=True)
        chosen = in_test(labels) == (split == "test")
        return ImageSet(
            name=self.name,
            split=split,
            images=torch.from_numpy(enlarge(counts[chosen].reshape(-1, 8, 8))).unsqueeze(1),
            labels=torch.from_numpy(labels[chosen].astype(np.int64)),
            classes=CLASSES,
            provenance="scikit-learn's handwritten digits (test part of UCI optdigits), 8x8 enlarged to 20x20 with "
            "more contrast in a black 28x28 frame, every fifth of a class held out for testing: a stand-in for MNIST",
            stand_in_for="MNIST",
        )


def in_test(labels: np.ndarray) -> np.ndarray:
    """Which images are held out, as (N,) bool: every fifth of each class, the same on every machine without a seed."""
    chosen = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        chosen[np.flatnonzero(labels == label)[4::5]] = True
    return chosen


def enlarge(counts: np.ndarray) -> np.ndarray:
    """Ink counts (N, 8, 8) of 0 to 16 as uint8 (N, 28, 28) in the manner of MNIST: white on exactly black.

    Bilinear to MNIST's own box of 20x20 pixels, in integers, so that no machine rounds otherwise. A quarter of full ink
    and less becomes background, seven eighths and more white: 77 % of the pixels are exactly zero then (MNIST: 81 %),
    which matters because the studies' noise goes on those; without it the strokes are blurs on a grey halo.
    """
    ink = np.pad(counts.astype(np.int64), ((0, 0), (1, 1), (1, 1)))
    tenths = np.zeros((20, 10), dtype=np.int64)  # weights of the padded rows for each new row; a new row sums to ten
    for row in range(20):
        below, offset = divmod(4 * row - 3, 10)  # the centre (row + 1/2) * 8/20 - 1/2 in tenths of an old row
        tenths[row, below + 1 : below + 3] = 10 - offset, offset
    enlarged = tenths @ ink @ tenths.T  # 0 to 1600
    stretched = ((enlarged - 400).clip(0, 1000) * 255 + 500) // 1000
    return np.pad(stretched.astype(np.uint8), ((0, 0), (4, 4), (4, 4)))
