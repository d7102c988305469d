"""The cumulative spectral gradient (CSG) of Branchaud-Charron et al. 2019: overlap of classes."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.spatial.distance import cdist
from torch import Tensor

from pruncam._core import seeds
from pruncam.complexity._neighbours import search
from pruncam.complexity._places import Places, fill_places, join_places
from pruncam.complexity._validation import (
    as_classes,
    as_points,
    check_sampling,
    check_set,
    check_volume,
)

# That of spectral_metric, which weighs a sample among its duplicates, whose volume is 0.
_MIN_VOLUME = 1e-4


@dataclass(frozen=True, eq=False)
class CSG:
    """The complexity of a data set of K classes, and the matrices it was computed from.

    Attributes
    ----------
    value : float, in [0, K - 1]; higher is harder to tell apart
    eigenvalues : array of shape (K,), ascending, the first 0
        Eigenvalues of the Laplacian of `similarity`.
    similarity : array of shape (K, K), in [0, 1], symmetric, 1 on the diagonal
        Similarity of the neighbourhoods of two classes.
    neighbours : array of shape (K, K), in [0, 1], rows sum to 1
        Share of each class (column) among the neighbours of a class (row).
    classes : array of shape (K,)
        The distinct labels, sorted, in the order of rows and columns.
    samples : integer array of shape (K,)
        Number of samples of each class; less than requested if the class is smaller.
    indices : integer array of shape (S,), S the sum of `samples`
        Positions of the samples in the data set, class by class.
    foreign : array of shape (S,), in [0, 1]
        Share of other classes among the neighbours of each sample.
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
        """CSG / (K - 1), in [0, 1]: comparable across data sets with different K."""
        return self.value / (len(self.classes) - 1)

    @property
    def difference(self) -> np.ndarray:
        """1 - similarity, (K, K): distances between classes, to draw them in a plane."""
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
    """Return the cumulative spectral gradient of a labelled set (Branchaud-Charron et al. 2019).

    The classes of the k nearest neighbours of some samples of each class show how the classes
    overlap. The values equal those of `spectral_metric` 0.6.1 for the same samples: with `volume`
    in up to three dimensions, and without it wherever the Parzen volume there is at its minimum, as
    it is for images with pixels in [0, 1]. Unlike `spectral_metric`, this excludes a sample from
    its own neighbours by index, and uses no global random state. Neighbours at equal distances
    share the places that nearer ones leave, so the order of the points has no effect.

    Parameters
    ----------
    features : finite numbers of shape (N, ...)
        Used without scaling, each point flattened; without `volume` their unit does not matter. A
        tensor is processed on its device, in 8 dimensions or fewer on the CPU.
    labels : shape (N,), of any type that can be sorted
        Two classes or more.
    samples_per_class : int, at least 1, or None
        Samples drawn from each class, without replacement. None takes all points; the seed then
        has no effect.
    k : int, in [1, N - 1]
        Number of neighbours of each sample.
    volume : bool
        Weigh each sample by the density of its neighbourhood: 1 over the volume of the centred box
        that holds its neighbours and their ties, which is taken as at least 1e-4. It depends on the
        unit of the features, and needs at most 3 dimensions.
    seed : int

    Returns
    -------
    CSG

    Raises
    ------
    TypeError, ValueError
        If a value is not finite, the lengths differ, there is only one class, k is not below N, or
        `volume` is set in more than 3 dimensions.

    Examples
    --------
    >>> apart, touching = [0, 1, 2, 10, 11, 12], [0, 1, 2, 3, 4, 5]
    >>> labels = ["cat", "cat", "cat", "dog", "dog", "dog"]
    >>> csg(apart, labels, k=2).value
    0.0
    >>> result = csg(touching, labels, k=2)  # in each class, one of six neighbours is of the other
    >>> result.value, result.foreign
    (0.333..., array([0. , 0. , 0.5, 0.5, 0. , 0. ]))
    """
    points = as_points(features)
    classes, codes = as_classes(labels)
    seed = check_sampling(samples_per_class, volume, seed)
    check_set(points, classes, codes, k)
    if volume:
        check_volume(points.shape[1])
    drawn = draw_samples(members_of(codes), samples_per_class, seed)
    rows = torch.from_numpy(np.concatenate(drawn))
    halves = points.cpu().double().numpy() / 2 if volume else None
    blocks = search(points, rows, k)
    places = join_places(fill_places(block, codes, k, halves) for block in blocks)
    return csg_of_places(classes, codes, drawn, places, k)


def csg_of_places(
    classes: np.ndarray,
    codes: np.ndarray,
    drawn: list[np.ndarray],
    places: Places,
    k: int,
) -> CSG:
    """Return the CSG from the samples of each class and who fills the k places next to each.

    The samples are weighed by density if the places have boxes.
    """
    indices = np.concatenate(drawn)
    sample_codes = codes[indices]
    densities = np.ones(len(indices))
    if places.quarters is not None:
        densities = _densities(places.quarters, sample_codes)
    shares = places.shares(sample_codes, densities, len(classes))
    # Between rows that sum to 1, the Bray-Curtis dissimilarity is half the city-block distance.
    similarity = 1 - cdist(shares, shares, "cityblock") / 2
    eigenvalues = _laplacian_spectrum(similarity)
    return CSG(
        value=_cumulative_gradient(eigenvalues),
        eigenvalues=eigenvalues,
        similarity=similarity,
        neighbours=shares,
        classes=classes,
        samples=np.array([len(members) for members in drawn]),
        indices=indices,
        foreign=places.foreign(sample_codes, k),
    )


def members_of(codes: np.ndarray) -> list[np.ndarray]:
    """Return the ascending indices of the points of each class."""
    small = codes.astype(np.min_scalar_type(int(codes.max())))  # NumPy sorts 16 bits in linear time
    by_class = np.argsort(small, kind="stable")
    boundaries = np.cumsum(np.bincount(codes))[:-1]
    return np.split(by_class, boundaries)


def draw_samples(
    members: list[np.ndarray],
    samples_per_class: int | None,
    seed: int,
) -> list[np.ndarray]:
    """Return the ascending indices of the samples of each class, from those of all its points.

    The draw of one class does not depend on the other classes.
    """
    drawn = []
    for code, points in enumerate(members):
        if samples_per_class is not None and samples_per_class < len(points):
            generator = seeds.generator(seed, "csg", code)
            order = torch.randperm(len(points), generator=generator).numpy()
            points = np.sort(points[order[:samples_per_class]])
        drawn.append(points)
    return drawn


def _densities(quarters: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Return 1 over the Parzen volume of each sample, relative to the maximum of its class.

    The volume is that of the smallest box, centred on the sample, that holds its neighbours;
    `quarters` are a quarter of the box along each dimension, (S, D). Relative values stay finite
    and do not all vanish.
    """
    dimensions = quarters.shape[1]
    with np.errstate(divide="ignore"):
        log_quarters = np.log(quarters)
    log_volumes = log_quarters.sum(1) + dimensions * math.log(4)
    log_volumes = np.maximum(log_volumes, math.log(_MIN_VOLUME))
    minima = np.full(codes.max() + 1, np.inf)
    np.minimum.at(minima, codes, log_volumes)
    return np.exp(minima[codes] - log_volumes)


def _laplacian_spectrum(similarity: np.ndarray) -> np.ndarray:
    """Return the ascending eigenvalues of the graph Laplacian, degrees minus weights."""
    degrees = np.diag(similarity.sum(axis=1))
    return np.linalg.eigvalsh(degrees - similarity).clip(min=0)


def _cumulative_gradient(eigenvalues: np.ndarray) -> float:
    """Return the sum of the cumulative maxima of the eigengaps, each divided by its maximum."""
    largest = np.arange(len(eigenvalues), 1, -1)
    gaps = np.diff(eigenvalues) / largest
    return float(np.maximum.accumulate(gaps).sum())
