"""The images in the overlap of classes, chosen by a rule, with their nearest neighbours."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from pruncam.datasets import ImageSet
from pruncam.studies.csg.experiment import CsgExperiment

_SHOWN_IMAGES, _SHOWN_NEIGHBOURS = 4, 6


@dataclass(frozen=True)
class OverlapRow:
    """An image and its nearest neighbours, with the names of their classes."""

    images: list[np.ndarray]  # (H, W) or (H, W, 3) in [0, 1], the image itself first
    names: list[str]


def overlap_rows(experiment: CsgExperiment) -> list[OverlapRow]:
    """Return the training images with the most neighbours of other classes.

    At most one of a class, and the first of equals. All neighbours that were searched count; for
    images with as many foreign neighbours, the nearest neighbour decides.
    """
    images = experiment.train
    nearest = experiment.raw_neighbours("train").long()
    order = _most_foreign_first(images.labels, nearest)
    labels = images.labels[order].numpy()
    _, first_of_class = np.unique(labels, return_index=True)
    chosen = order[np.sort(first_of_class)[:_SHOWN_IMAGES]]
    rows = []
    for index in chosen.tolist():
        neighbours = nearest[index, :_SHOWN_NEIGHBOURS].tolist()
        rows.append(_overlap_row(images, [index, *neighbours]))
    return rows


def _most_foreign_first(labels: Tensor, nearest: Tensor) -> np.ndarray:
    """Return the order of the images by their number of foreign neighbours."""
    is_foreign = labels[nearest] != labels[:, None]
    foreign = is_foreign.int().numpy()
    position = np.arange(len(labels))
    # The last key counts first.
    return np.lexsort((position, -foreign[:, 0], -foreign.sum(1)))


def _overlap_row(images: ImageSet, indices: list[int]) -> OverlapRow:
    pixels = images.images[indices].permute(0, 2, 3, 1).numpy() / 255
    if pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    labels = images.labels[indices].tolist()
    names = [images.classes[label] for label in labels]
    return OverlapRow(list(pixels), names)
