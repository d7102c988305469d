"""The cumulative spectral gradient (CSG) of Branchaud-Charron et al. 2019: how much the classes of a set overlap."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.spatial.distance import cdist
from torch import Tensor

from pruncam import seeds
from pruncam.choices import check_number
from pruncam.complexity.checks import (
    VOLUME_DIMENSIONS,
    as_classes,
    as_points,
    check_sampling,
    check_set,
    check_volume,
)
from pruncam.complexity.neighbours import nearest

_LOWEST_VOLUME = 1e-4  # spectral_metric's: it weighs a sample among its duplicates, which have no volume
_ROWS = 4096  # of a search, between two reports of its progress


@dataclass(frozen=True, eq=False)
class CSG:
    """The complexity of a data set of K classes, and what it was computed from.

    Attributes
    ----------
    value : float, in [0, K - 1], higher is harder to tell apart
    eigenvalues : array of shape (K,), ascending, the first 0
        Of the Laplacian of `similarity`.
    similarity : array of shape (K, K), in [0, 1], symmetric, 1 on the diagonal
        How alike the neighbourhoods of two classes are.
    neighbours : array of shape (K, K), in [0, 1], rows sum to 1
        Share of each class (column) among the neighbours of a class (row).
    classes : array of shape (K,)
        The labels that occur, sorted: what rows and columns stand for.
    samples : integer array of shape (K,)
        How many samples each class gave; fewer than asked for where it has no more.
    indices : integer array of shape (S,), S the sum of `samples`
        The samples' places in the data set, class by class.
    foreign : array of shape (S,), in [0, 1]
        Share of other classes among each sample's neighbours: 1 in the midst of others.
    """

    value: float
    eigenvalues: np.ndarray
    similarity: np.ndarray
    neighbours: np.ndarray
    classes: np.ndarray
    samples: np.ndarray
    indices: np.ndarray
    foreign: np.ndarray

    @property
    def relative(self) -> float:
        """CSG / (K - 1), in [0, 1]: comparable between sets with different numbers of classes."""
        return self.value / (len(self.classes) - 1)

    @property
    def difference(self) -> np.ndarray:
        """1 - similarity: distances between classes, to draw them in a plane."""
        return 1 - self.similarity


def csg(
    features: Tensor | ArrayLike,
    labels: Tensor | ArrayLike,
    *,
    samples_per_class: int | None = 250,
    k: int = 5,
    volume: bool = False,
    seed: int = 0,
) -> CSG:
    """The cumulative spectral gradient of a labelled set (Branchaud-Charron et al. 2019).

    The classes of the k nearest neighbours of some samples of each class tell how the classes overlap. The numbers are
    those of `spectral_metric` 0.6.1 for the same samples: with `volume` in up to three dimensions, without in spaces
    where its Parzen volume is at the floor, as it is for pictures with pixels in [0, 1]. Unlike there, a sample is left
    out of its own neighbours by index, equal distances are ordered by index, and no global state is touched.

    Parameters
    ----------
    features : numbers of shape (N, ...), finite
        Taken as they are, each point flattened; without `volume` their unit does not matter. A tensor is worked on
        where it is, in 8 dimensions or fewer on the CPU.
    labels : shape (N,), of any kind that can be sorted
        Two classes or more.
    samples_per_class : int, at least 1, or None
        Samples drawn of each class, without replacement; None takes all, and then `seed` does not matter.
    k : int, in [1, N - 1]
        Neighbours of each sample.
    volume : bool
        Weigh each sample with the density of its neighbourhood: 1 over the volume of the box about it that holds its
        neighbours, at least 1e-4, in at most 3 dimensions. It depends on the features' unit.
    seed : int

    Raises
    ------
    TypeError, ValueError
        If a value is not finite, the lengths differ, there is only one class, k leaves a point without k others, or
        `volume` is asked for in more than 3 dimensions.

    Examples
    --------
    >>> apart, touching = [0, 1, 2, 10, 11, 12], [0, 1, 2, 3, 4, 5]
    >>> labels = ["cat", "cat", "cat", "dog", "dog", "dog"]
    >>> csg(apart, labels, k=2).value
    0.0
    >>> result = csg(touching, labels, k=2)  # of each class, one of six neighbours is of the other
    >>> result.value, result.foreign
    (0.333..., array([0. , 0. , 0.5, 0.5, 0. , 0. ]))
    """
    points, (classes, codes) = as_points(features), as_classes(labels)
    check_sampling(samples_per_class, volume, seed)
    check_set(points, classes, codes, k)
    if volume:
        check_volume(points.shape[1])
    drawn = _drawn(codes, samples_per_class, seed)
    rows = torch.from_numpy(np.concatenate(drawn)).to(points.device)
    found = nearest(points, rows, k).cpu()
    return _measured(classes, codes, drawn, found, points.cpu() if volume else None)


@dataclass(frozen=True, eq=False)
class Neighbourhoods:
    """The nearest others of every point of a labelled set: one search for many CSGs, of any samples and smaller k.

    Attributes
    ----------
    labels : array of shape (N,)
    nearest : integer tensor of shape (N, k)
        Each point's neighbours by their places in the set, the nearest first.
    points : tensor of shape (N, D), D at most 3, or None
        The features, which volumes need.
    """

    labels: np.ndarray
    nearest: Tensor
    points: Tensor | None = None

    @cached_property
    def _classes(self) -> tuple[np.ndarray, np.ndarray]:
        return as_classes(self.labels)

    def csg(self, *, samples_per_class: int | None = 250, k: int = 5, volume: bool = False, seed: int = 0) -> CSG:
        """What the function `csg` gives for the same set and settings, without another search.

        Raises TypeError or ValueError as it does, and where more than the k that were searched are asked for.
        """
        check_sampling(samples_per_class, volume, seed)
        check_number("k", k, whole=True, at_least=1)
        if k > self.nearest.shape[1]:
            raise ValueError(f"k must be at most {self.nearest.shape[1]}, the neighbours that were searched, got {k}")
        if volume and self.points is None:
            raise ValueError(f"volume is for at most {VOLUME_DIMENSIONS} dimensions: leave it off")
        classes, codes = self._classes
        drawn = _drawn(codes, samples_per_class, seed)
        found = self.nearest[torch.from_numpy(np.concatenate(drawn)), :k].long()
        return _measured(classes, codes, drawn, found, self.points if volume else None)


def neighbourhoods(
    features: Tensor | ArrayLike,
    labels: Tensor | ArrayLike,
    *,
    k: int,
    after_rows: Callable[[int], None] = lambda count: None,
) -> Neighbourhoods:
    """Search the k nearest others of every point: worth it where CSG is asked for more than some ten times.

    `features`, `labels` and `k` are those of `csg`, which tells what is refused. `after_rows` is called with the number
    of points that were done; what it raises ends the search.

    Examples
    --------
    >>> found = neighbourhoods([0, 1, 2, 3, 4, 5], ["cat", "cat", "cat", "dog", "dog", "dog"], k=4)
    >>> [found.csg(k=k).value for k in (2, 4)]
    [0.333..., 1.0]
    """
    points, (classes, codes) = as_points(features), as_classes(labels)
    check_set(points, classes, codes, k)
    parts = []
    for rows in torch.arange(len(points), device=points.device).split(_ROWS):
        parts.append(nearest(points, rows, k).cpu())
        after_rows(len(rows))
    low = points.shape[1] <= VOLUME_DIMENSIONS
    return Neighbourhoods(classes[codes], torch.cat(parts), points.cpu() if low else None)


def _measured(
    classes: np.ndarray, codes: np.ndarray, drawn: list[np.ndarray], found: Tensor, points: Tensor | None
) -> CSG:
    """CSG from the neighbours `found` (S, k) of the samples `drawn`; weighed by density where `points` are given."""
    indices = np.concatenate(drawn)
    own, others = codes[indices], codes[found.numpy()]
    weights = np.ones(len(indices)) if points is None else _densities(points, indices, found, own)
    neighbours = _shares(own, others, weights, len(classes))
    # Rows that sum to 1 differ by Bray-Curtis' measure by half of what they differ in all.
    similarity = 1 - cdist(neighbours, neighbours, "cityblock") / 2
    eigenvalues = _spectrum(similarity)
    return CSG(
        value=_cumulated(eigenvalues),
        eigenvalues=eigenvalues,
        similarity=similarity,
        neighbours=neighbours,
        classes=classes,
        samples=np.array([len(members) for members in drawn]),
        indices=indices,
        foreign=(others != own[:, None]).mean(axis=1),
    )


def _drawn(codes: np.ndarray, samples_per_class: int | None, seed: int) -> list[np.ndarray]:
    """Ascending indices of each class's samples; a class's draw does not depend on the other classes."""
    drawn = []
    for code, members in enumerate(np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])):
        if samples_per_class is not None and samples_per_class < len(members):
            order = torch.randperm(len(members), generator=seeds.generator(seed, "csg", code))
            members = np.sort(members[order[:samples_per_class].numpy()])
        drawn.append(members)
    return drawn


def _densities(points: Tensor, indices: np.ndarray, found: Tensor, own: np.ndarray) -> np.ndarray:
    """1 over the Parzen volume of each sample, relative to the densest of its class, so that none is infinite or all 0.

    The volume is that of the smallest box, centred at the sample, that holds its neighbours.
    """
    points = points.double() / 2  # halved: a difference of two float64 may be too large for one
    quarters = (points[found] - points[torch.from_numpy(indices)][:, None]).abs().amax(1).numpy()
    with np.errstate(divide="ignore"):
        volumes = np.log(quarters).sum(1) + quarters.shape[1] * math.log(4)
    volumes = np.maximum(volumes, math.log(_LOWEST_VOLUME))
    lowest = np.full(own.max() + 1, np.inf)
    np.minimum.at(lowest, own, volumes)
    return np.exp(lowest[own] - volumes)


def _shares(own: np.ndarray, others: np.ndarray, weights: np.ndarray, classes: int) -> np.ndarray:
    """Weighted share of each class among the neighbours of each class, shape (classes, classes)."""
    pairs = own[:, None] * classes + others
    counts = np.bincount(pairs.ravel(), np.repeat(weights, others.shape[1]), classes**2).reshape(classes, classes)
    return counts / counts.sum(axis=1, keepdims=True)


def _spectrum(similarity: np.ndarray) -> np.ndarray:
    """Ascending eigenvalues of the graph Laplacian: degrees on the diagonal, less the weights."""
    return np.linalg.eigvalsh(np.diag(similarity.sum(axis=1)) - similarity).clip(min=0)


def _cumulated(eigenvalues: np.ndarray) -> float:
    """Sum of the cumulated maximum of the gaps, each over the most that it could be."""
    gaps = np.diff(eigenvalues) / np.arange(len(eigenvalues), 1, -1)
    return float(np.maximum.accumulate(gaps).sum())
