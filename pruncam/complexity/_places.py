"""The k places next to each sample, and the classes that fill them: tied neighbours share."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from pruncam.complexity._neighbours import Neighbours


@dataclass(frozen=True, eq=False)
class Places:
    """By whom the k places next to each of S samples are filled.

    Neighbours that are equally far share the places that nearer ones leave: if two neighbours are
    nearer than all others and four more are equally far, each of these has 3/4 of a place of five.
    So the order of the points has no effect.

    Attributes
    ----------
    codes : integer array of shape (S, L)
        The class of each neighbour.
    weights : array of shape (S, L), in [0, 1]
        Its share of a place.
    rows, further_codes : integer arrays of shape (T,)
        The classes of further neighbours that share the last places: the sample, and the class.
    further_weights : array of shape (T,)
        Number of the places of this sample that they fill.
    quarters : array of shape (S, D), or None
        A quarter of the box along each dimension that is centred on the sample and holds all its
        neighbours.
    """

    codes: np.ndarray
    weights: np.ndarray
    rows: np.ndarray
    further_codes: np.ndarray
    further_weights: np.ndarray
    quarters: np.ndarray | None

    def shares(self, sample_codes: np.ndarray, densities: np.ndarray, classes: int) -> np.ndarray:
        """Return the weighted share of each class among the neighbours of each class, (K, K)."""
        pairs = sample_codes[:, None] * classes + self.codes
        further_pairs = sample_codes[self.rows] * classes + self.further_codes
        weights = self.weights * densities[:, None]
        further_weights = self.further_weights * densities[self.rows]
        counts = np.bincount(
            np.concatenate([pairs.ravel(), further_pairs]),
            np.concatenate([weights.ravel(), further_weights]),
            classes**2,
        )
        counts = counts.reshape(classes, classes)
        return counts / counts.sum(axis=1, keepdims=True)

    def foreign(self, sample_codes: np.ndarray, k: int) -> np.ndarray:
        """Return the share of other classes among the neighbours of each sample, (S,)."""
        is_other = self.codes != sample_codes[:, None]
        is_other_further = self.further_codes != sample_codes[self.rows]
        filled = (self.weights * is_other).sum(axis=1)
        further = np.bincount(
            self.rows,
            self.further_weights * is_other_further,
            len(self.codes),
        )
        return (filled + further) / k


def fill_places(
    neighbours: Neighbours,
    codes: np.ndarray,
    k: int,
    halves: np.ndarray | None = None,
) -> Places:
    """Return who fills the k places next to each sample; k is at most the number searched.

    `codes` are the classes of all points, (N,). With the halves of all points, (N, D), there are
    boxes: the difference of two points may overflow, that of their halves does not.
    """
    rows, further = neighbours.rows.numpy(), neighbours.further.numpy()
    tied_beyond = np.bincount(rows, minlength=len(neighbours.indices))
    weights, further_weights = _weights(neighbours.tied.numpy(), tied_beyond, k)
    is_used = further_weights[rows] > 0
    rows, further = rows[is_used], further[is_used]
    # Many duplicates can be of one class: only their number matters.
    classes = int(codes.max()) + 1
    pairs, counts = np.unique(rows * classes + codes[further], return_counts=True)
    counted_rows, further_codes = np.divmod(pairs, classes)
    indices = neighbours.indices[:, : weights.shape[1]].numpy()
    quarters = None
    if halves is not None:
        centres = halves[neighbours.points.numpy()]
        reach = np.abs(halves[indices.T] - centres)  # (L, S, D): the maximum is the faster
        reach[weights.T == 0] = 0
        quarters = reach.max(axis=0)
        np.maximum.at(quarters, rows, np.abs(halves[further] - centres[rows]))
    return Places(
        codes=codes[indices],
        weights=weights,
        rows=counted_rows,
        further_codes=further_codes,
        further_weights=counts * further_weights[counted_rows],
        quarters=quarters,
    )


def join_places(blocks: Iterable[Places]) -> Places:
    """Return the places of the samples of all blocks, of which there must be one or more."""
    parts = list(blocks)
    lengths = [len(part.codes) for part in parts]
    starts = np.cumsum([0, *lengths[:-1]])
    rows = [part.rows + start for part, start in zip(parts, starts, strict=True)]
    quarters = [part.quarters for part in parts if part.quarters is not None]
    return Places(
        codes=np.concatenate([part.codes for part in parts]),
        weights=np.concatenate([part.weights for part in parts]),
        rows=np.concatenate(rows),
        further_codes=np.concatenate([part.further_codes for part in parts]),
        further_weights=np.concatenate([part.further_weights for part in parts]),
        quarters=np.concatenate(quarters) if quarters else None,
    )


def _weights(
    tied: np.ndarray,
    tied_beyond: np.ndarray,
    k: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return each neighbour's share of a place, (S, L), and that of those beyond the list, (S,).

    `tied_beyond` is the number of neighbours beyond the list that are as far as its last, (S,). L
    is k if no places are shared.
    """
    samples, listed = tied.shape
    is_shared = tied[:, k] if k < listed else tied_beyond > 0
    shared = np.flatnonzero(is_shared)
    further_weights = np.zeros(samples)
    if len(shared) == 0:
        return np.ones((samples, k)), further_weights
    tied = tied[shared]
    place = np.arange(listed)
    # The neighbours from `start` to `stop` are as far as the k-th.
    start = np.where(tied[:, :k], 0, place[:k]).max(axis=1)
    stop = np.where(tied[:, k:], listed, place[k:]).min(axis=1, initial=listed)
    reaches_beyond = stop == listed
    sharing = stop - start + np.where(reaches_beyond, tied_beyond[shared], 0)
    share = (k - start) / sharing
    further_weights[shared] = np.where(reaches_beyond, share, 0)
    place = place[: max(k, stop.max())]
    is_sharing = (place >= start[:, None]) & (place < stop[:, None])
    weights = np.zeros((samples, len(place)))
    weights[:, :k] = 1
    weights[shared] = np.where(is_sharing, share[:, None], place < start[:, None])
    return weights, further_weights
