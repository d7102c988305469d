"""The pictures in the overlap: those whose nearest neighbours are of other classes, chosen by a rule and not by eye."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from pruncam.studies.csg.collection import Collection

ROWS, BESIDE = 4, 6  # pictures shown of a data set, and neighbours of each


@dataclass(frozen=True)
class Overlap:
    """A picture and its nearest neighbours, with the names of their classes."""

    pictures: list[np.ndarray]  # (H, W) or (H, W, 3) in [0, 1], the picture itself first
    names: list[str]


def pictures(collection: Collection) -> list[Overlap]:
    """The training pictures with the most foreign neighbours, at most one of a class; of equals the first.

    All neighbours that were searched count; where as many are foreign, the nearest decides.
    """
    images, nearest = collection.train, collection.neighbours("train").long()
    foreign = (images.labels[nearest] != images.labels[:, None]).int().numpy()
    order = np.lexsort((np.arange(len(images)), -foreign[:, 0], -foreign.sum(1)))
    labels = images.labels[order].numpy()
    _, first = np.unique(labels, return_index=True)
    chosen = order[np.sort(first)[:ROWS]]
    return [_beside(collection, int(row), nearest[row, :BESIDE]) for row in chosen]


def _beside(collection: Collection, row: int, nearest: Tensor) -> Overlap:
    images, rows = collection.train, [row, *nearest.tolist()]
    shown = [images.images[r].permute(1, 2, 0).numpy() / 255 for r in rows]
    shown = [picture[..., 0] if picture.shape[-1] == 1 else picture for picture in shown]
    return Overlap(shown, [images.classes[int(images.labels[r])] for r in rows])
