"""The neighbours of all points of a labelled set, from one search, for many CSGs."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from pruncam._core.validation import check_number
from pruncam.complexity._csg import CSG, csg_of_neighbours, draw_samples
from pruncam.complexity._neighbours import nearest
from pruncam.complexity._validation import (
    VOLUME_DIMENSIONS,
    as_classes,
    as_points,
    check_sampling,
    check_set,
)

_ROWS = 4096  # of a search, between two reports of its progress


@dataclass(frozen=True, eq=False)
class Neighbourhoods:
    """The nearest neighbours of every point of a labelled set.

    One search serves many CSGs, with any samples and any smaller k.

    Attributes
    ----------
    labels : array of shape (N,)
    nearest : integer tensor of shape (N, k)
        Indices of each point's neighbours, the nearest first.
    points : tensor of shape (N, D), D at most 3, or None
        The features, which volumes need.
    """

    labels: np.ndarray
    nearest: Tensor
    points: Tensor | None = None

    @cached_property
    def _classes(self) -> tuple[np.ndarray, np.ndarray]:
        return as_classes(self.labels)

    def csg(
        self,
        *,
        samples_per_class: int | None = 250,
        k: int = 5,
        volume: bool = False,
        seed: int = 0,
    ) -> CSG:
        """Return the same as the function `csg` for this set, without another search.

        Raises TypeError or ValueError as `csg` does, and if k is larger than in the search.
        """
        check_sampling(samples_per_class, volume, seed)
        check_number("k", k, whole=True, at_least=1)
        searched = self.nearest.shape[1]
        if k > searched:
            raise ValueError(
                f"k must be at most {searched}, the number of neighbours searched, got {k}"
            )
        if volume and self.points is None:
            raise ValueError(f"volume is for at most {VOLUME_DIMENSIONS} dimensions: leave it off")
        classes, codes = self._classes
        drawn = draw_samples(codes, samples_per_class, seed)
        rows = torch.from_numpy(np.concatenate(drawn))
        neighbours = self.nearest[rows, :k].long()
        points = self.points if volume else None
        return csg_of_neighbours(classes, codes, drawn, neighbours, points)


def neighbourhoods(
    features: Tensor | ArrayLike,
    labels: Tensor | ArrayLike,
    *,
    k: int,
    after_rows: Callable[[int], None] = lambda count: None,
) -> Neighbourhoods:
    """Search the k nearest neighbours of every point; pays off from some ten CSGs of one set.

    Parameters
    ----------
    features, labels, k : as in `csg`
    after_rows : function of a number of points
        Called whenever that many more points are done; an exception it raises ends the search.

    Raises
    ------
    TypeError, ValueError
        As `csg` does.

    Examples
    --------
    >>> labels = ["cat", "cat", "cat", "dog", "dog", "dog"]
    >>> neighbours = neighbourhoods([0, 1, 2, 3, 4, 5], labels, k=4)
    >>> [neighbours.csg(k=k).value for k in (2, 4)]
    [0.333..., 1.0]
    """
    points = as_points(features)
    classes, codes = as_classes(labels)
    check_set(points, classes, codes, k)
    parts = []
    indices = torch.arange(len(points), device=points.device)
    for rows in indices.split(_ROWS):
        neighbours = nearest(points, rows, k)
        parts.append(neighbours.cpu())
        after_rows(len(rows))
    has_volume = points.shape[1] <= VOLUME_DIMENSIONS
    return Neighbourhoods(
        labels=classes[codes],
        nearest=torch.cat(parts),
        points=points.cpu() if has_volume else None,
    )
