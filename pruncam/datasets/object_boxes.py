"""Boxes around objects, in a CSV file, as masks that are drawn when they are read."""

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from pruncam._core.text import printable
from pruncam.datasets.decoding import image_size
from pruncam.datasets.file_tree import File
from pruncam.datasets.images import DataError

COLUMNS = ("file", "left", "top", "right", "bottom")

Box = tuple[float, ...]  # left, top, right, bottom


@dataclass(frozen=True)
class _DrawnMask(File):
    """The mask of an image, white in its boxes: where the centre of a pixel lies in one."""

    image: File
    boxes: tuple[Box, ...]

    def read(self) -> bytes:
        height, width = image_size(self.image)
        y, x = np.mgrid[:height, :width] + 0.5
        mask = np.zeros((height, width), bool)
        for left, top, right, bottom in self.boxes:
            if min(left, top) < 0 or right > width or bottom > height:
                raise ValueError(
                    f"the box {left:g}, {top:g}, {right:g}, {bottom:g} reaches beyond the "
                    f"{height}x{width} pixels of its image"
                )
            mask |= (x > left) & (x < right) & (y > top) & (y < bottom)
        content = io.BytesIO()
        Image.fromarray(mask).save(content, "PNG")
        return content.getvalue()

    def fingerprint(self) -> str:
        return f"{self.image.fingerprint()} {self.boxes}"


def masks_of_boxes(path: Path, images: Mapping[str, File]) -> dict[str, File]:
    """Return the masks of the images in a CSV file, by the names of the images.

    The columns are those of `COLUMNS`: a row for each box, in pixels of the image's file from its
    upper left corner. Images without a box have no mask. Raises DataError if the file is damaged.
    """
    boxes: dict[str, list[Box]] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for number, row in enumerate(csv.DictReader(file), start=1):
                boxes.setdefault(printable(row["file"]), []).append(_box(row, number))
    except (OSError, UnicodeError, csv.Error, KeyError, TypeError, ValueError) as error:
        reason = f"there is no column {error}" if isinstance(error, KeyError) else str(error)
        raise DataError(
            f"{path} cannot be read as boxes ({reason}): its first line must be {','.join(COLUMNS)}"
        ) from error
    return {
        name: _DrawnMask(image.path, f"{path}: {name}", image.position, image, tuple(boxes[name]))
        for name, image in images.items()
        if name in boxes
    }


def _box(row: Mapping[str, str], number: int) -> Box:
    """Return the box of a row. Raises ValueError unless it has some area."""
    left, top, right, bottom = box = tuple(float(row[name]) for name in COLUMNS[1:])
    if not (all(map(math.isfinite, box)) and left < right and top < bottom):
        raise ValueError(f"box {number} has no area: {left:g}, {top:g}, {right:g}, {bottom:g}")
    return box
