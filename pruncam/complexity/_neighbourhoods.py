"""The neighbours of all points of a labelled set, from one search, for many CSGs."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from pruncam._core.validation import calling, check_function, check_number
from pruncam.complexity._csg import CSG, csg_of_places, draw_samples, members_of
from pruncam.complexity._neighbours import Neighbours, join, search
from pruncam.complexity._places import fill_places
from pruncam.complexity._validation import (
    VOLUME_DIMENSIONS,
    as_classes,
    as_points,
    check_sampling,
    check_set,
)


@dataclass(frozen=True, eq=False)
class Neighbourhoods:
    """The nearest neighbours of every point of a labelled set.

    One search serves many CSGs, with any samples, any smaller k, and any other labels.

    Attributes
    ----------
    labels : array of shape (N,)
    neighbours : Neighbours
        Those of all points, with all ties.
    points : tensor of shape (N, D), D at most 3, or None
        The features, which volumes need.
    """

    labels: np.ndarray
    neighbours: Neighbours
    points: Tensor | None = None

    @cached_property
    def _classes(self) -> tuple[np.ndarray, np.ndarray]:
        return as_classes(self.labels)

    @cached_property
    def _members(self) -> list[np.ndarray]:
        _, codes = self._classes
        return members_of(codes)

    @cached_property
    def _halves(self) -> np.ndarray | None:
        """The points divided by 2, (N, D)."""
        return None if self.points is None else self.points.double().numpy() / 2

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
        seed = check_sampling(samples_per_class, volume, seed)
        check_number("k", k, whole=True, at_least=1)
        searched = self.neighbours.indices.shape[1]
        if k > searched:
            raise ValueError(
                f"k must be at most {searched}, the number of neighbours searched, got {k}"
            )
        if volume and self.points is None:
            raise ValueError(f"volume is for at most {VOLUME_DIMENSIONS} dimensions: leave it off")
        classes, codes = self._classes
        drawn = draw_samples(self._members, samples_per_class, seed)
        rows = torch.from_numpy(np.concatenate(drawn))
        halves = self._halves if volume else None
        places = fill_places(self.neighbours.select(rows), codes, k, halves)
        return csg_of_places(classes, codes, drawn, places, k)


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
    check_function("after_rows", after_rows, ["a number of points"])
    points = as_points(features)
    classes, codes = as_classes(labels)
    check_set(points, classes, codes, k)
    blocks = []
    for block in search(points, torch.arange(len(points)), k):
        blocks.append(block)
        with calling("after_rows", "a number of points", TypeError):
            after_rows(len(block.indices))
    has_volume = points.shape[1] <= VOLUME_DIMENSIONS
    return Neighbourhoods(
        labels=classes[codes],
        neighbours=join(blocks),
        points=points.cpu() if has_volume else None,
    )
