"""The cumulative spectral gradient (CSG) of Branchaud-Charron et al. 2019: how much the classes of a set overlap."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.spatial.distance import cdist
from torch import Tensor

from pruncam import seeds
from pruncam.choices import check_number, shown
from pruncam.complexity.neighbours import nearest

_LOWEST_VOLUME = 1e-4  # spectral_metric's: it weighs a sample among its duplicates, which have no volume
_VOLUME_DIMENSIONS = 3


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
    points, (classes, codes) = _points(features), _classes(labels)
    _check(points, classes, codes, samples_per_class, k, volume, seed)
    drawn = _drawn(codes, samples_per_class, seed)
    samples = np.array([len(members) for members in drawn])
    indices = np.concatenate(drawn)
    found = nearest(points, torch.from_numpy(indices).to(points.device), k).cpu()
    own, others = codes[indices], codes[found.numpy()]
    weights = _densities(points.cpu(), indices, found, own) if volume else np.ones(len(indices))
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
        samples=samples,
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


# ------------------------------------------------------------------------------------------------ what a caller passes


def _points(features: Tensor | ArrayLike) -> Tensor:
    """Features as a finite float tensor of shape (N, D); whole numbers exactly, so that none wraps round."""
    if not isinstance(features, Tensor):
        array = np.asarray(features)
        if array.dtype.kind not in "biuf":
            raise TypeError(f"features must be numbers, got an array of {array.dtype}")
        narrow = array.dtype.itemsize <= (4 if array.dtype.kind == "f" else 2)
        # A copy where the array is read-only, strided backwards or of foreign byte order, which torch does not take.
        features = torch.from_numpy(np.require(array, np.float32 if narrow else np.float64, ["C", "W"]))
    features = features.detach()
    if features.is_complex():
        raise TypeError(f"features must be real numbers, got {features.dtype}")
    if features.ndim == 0 or features.numel() == 0:
        raise ValueError(f"features must have shape (N, ...) and not be empty, got {tuple(features.shape)}")
    if features.device.type == "mps":  # it has no float64
        features = features.cpu()
    narrow = features.dtype.itemsize <= (4 if features.is_floating_point() else 2)
    points = features.reshape(len(features), -1).to(torch.float32 if narrow else torch.float64)
    if not all(end.isfinite() for end in points.aminmax()):
        raise ValueError("features must be finite, got NaN or infinity: leave out or fill what has no value")
    return points


def _classes(labels: Tensor | ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """The sorted labels that occur, and each point's place among them."""
    labels = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    if labels.ndim != 1:
        raise ValueError(f"labels must be one per point, shape (N,), got {labels.shape}")
    try:
        classes, codes = np.unique(labels, return_inverse=True)
        missing = bool((classes != classes).any())
    except TypeError:
        raise TypeError("labels must be of one kind that can be sorted, got a mixture") from None
    if missing:
        raise ValueError("labels must not be NaN: leave out the points that have none")
    return classes, codes


def _check(
    points: Tensor,
    classes: np.ndarray,
    codes: np.ndarray,
    samples_per_class: int | None,
    k: int,
    volume: bool,
    seed: int,
) -> None:
    """Refuse what cannot be measured, each in one sentence."""
    if samples_per_class is not None:
        check_number("samples_per_class", samples_per_class, whole=True, at_least=1)
    check_number("k", k, whole=True, at_least=1)
    check_number("seed", seed, whole=True)
    if not isinstance(volume, bool):
        raise TypeError(f"volume must be True or False, got {shown(volume)}")
    if len(codes) != len(points):
        raise ValueError(f"each point needs its label, got {len(points)} points and {len(codes)} labels")
    if len(classes) < 2:
        raise ValueError(f"complexity is between classes, got only the label {shown(classes.tolist()[0])}")
    if k >= len(points):
        raise ValueError(f"k must be below the number of points, which is {len(points)}, got {k}")
    if volume and points.shape[1] > _VOLUME_DIMENSIONS:
        raise ValueError(f"volume is for at most {_VOLUME_DIMENSIONS} dimensions, got {points.shape[1]}: leave it off")
