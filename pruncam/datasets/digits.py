"""scikit-learn's handwritten digits, enlarged to look like MNIST: real data without a download."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from pruncam._core.extras import MissingExtra
from pruncam.datasets.images import ImageSet

CLASSES = tuple("0123456789")

_PROVENANCE = (
    "scikit-learn's handwritten digits (test part of UCI optdigits), 8x8 enlarged to 20x20 with "
    "more contrast in a black 28x28 frame, every fifth of a class held out for testing: "
    "a stand-in for MNIST"
)


@dataclass(frozen=True)
class DigitsSet:
    """The 1,797 digits that come with scikit-learn."""

    name: str = "digits"
    title: str = "scikit-learn's handwritten digits"
    layout: str = ""

    @property
    def package_folder(self) -> Path:
        """Return the folder of scikit-learn that holds them, without importing scikit-learn.

        Raises MissingExtra if it is not installed.
        """
        spec = find_spec("sklearn")
        if spec is None or spec.origin is None:
            raise MissingExtra("the set of handwritten digits", "scikit-learn", "studies")
        return Path(spec.origin).parent / "datasets" / "data"

    def missing(self, folder: Path) -> str:
        """Return an empty text: the files come with scikit-learn."""
        return ""

    def download(self, folder: Path) -> None:
        """Do nothing: the files come with scikit-learn."""

    def load(self, split: str, folder: Path) -> ImageSet:
        """Load a split as images (N, 1, 28, 28); `folder` is not used."""
        # Not by scikit-learn's own function, whose import takes seconds.
        rows = np.loadtxt(self.package_folder / "digits.csv.gz", delimiter=",", dtype=np.int64)
        counts, labels = rows[:, :-1], rows[:, -1]
        selected = held_out(labels) == (split == "test")
        images = enlarge(counts[selected].reshape(-1, 8, 8))
        return ImageSet(
            name=self.name,
            split=split,
            images=torch.from_numpy(images).unsqueeze(1),
            labels=torch.from_numpy(labels[selected]),
            classes=CLASSES,
            provenance=_PROVENANCE,
        )


def held_out(labels: np.ndarray) -> np.ndarray:
    """Return which images are in the test split, (N,) bool: every fifth of each class."""
    selected = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        selected[np.flatnonzero(labels == label)[4::5]] = True
    return selected


def enlarge(counts: np.ndarray) -> np.ndarray:
    """Enlarge ink counts (N, 8, 8) of 0 to 16 to uint8 images (N, 28, 28) as in MNIST.

    Digits are white on exactly black, interpolated bilinearly to MNIST's box of 20x20 pixels.
    Integer arithmetic makes the result the same on every machine. Up to a quarter of full ink
    becomes background, seven eighths and more become white. As a result, 77 % of the pixels are
    exactly zero (MNIST: 81 %), which matters because the studies add noise to those pixels;
    without the stretch in contrast, strokes are blurs on a grey halo.
    """
    ink = np.pad(counts.astype(np.int64), ((0, 0), (1, 1), (1, 1)))
    tenths = _row_weights()
    enlarged = tenths @ ink @ tenths.T  # 0 to 1600
    stretched = ((enlarged - 400).clip(0, 1000) * 255 + 500) // 1000
    return np.pad(stretched.astype(np.uint8), ((0, 0), (4, 4), (4, 4)))


def _row_weights() -> np.ndarray:
    """Return the weights in tenths of the 10 padded rows for each of the 20 new rows."""
    tenths = np.zeros((20, 10), dtype=np.int64)
    for row in range(20):
        # The centre of the new row is (row + 1/2) * 8/20 - 1/2, here in tenths of an old row.
        below, offset = divmod(4 * row - 3, 10)
        tenths[row, below + 1] = 10 - offset
        tenths[row, below + 2] = offset
    return tenths
