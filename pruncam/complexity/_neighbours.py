"""Exact nearest neighbours of some points of a set among all the others, with all ties."""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

_TREE_DIMENSIONS = 8  # beyond some ten dimensions a k-d tree visits nearly every point
# Candidates beyond k: few points are so close to the k-th that float32 cannot order them.
_EXTRA = 8
_GROUP = 64
_SCORES = 2**24  # of one block of the product: 64 MiB
_TIES = 2**27  # of one block of the tree if all points are equal: 2 GiB
_ANEW = 64  # points ranked anew at once
_CHUNK = 512  # points centred at once
_PAIRS = 2**18  # numbers in one block of exact distances: 2 MiB, which fit the CPU cache
_PAIRS_ON_DEVICE = 2**24  # a GPU is mostly idle with a small block
_UNIT = 2.0**-24  # relative rounding error of float32
# Far more than float32 loses by underflow, for numbers up to 2**30.
_VANISHING = 2.0**-90
# By this share equal squared distances may differ in float64, which sums up to 2**13 squares.
_ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The k nearest others of some points, and all that are as far as the k-th.

    Squared distances that differ by a share of 1e-12 or less count as equal: that is rounding. All
    tensors are on the CPU.

    Attributes
    ----------
    points : integer tensor of shape (Q,)
        Indices of the points whose neighbours these are.
    indices : integer tensor of shape (Q, k)
        The nearest first; those at equal distances by index.
    tied : boolean tensor of shape (Q, k)
        Whether a neighbour is as far as the one before it.
    rows, further : integer tensors of shape (T,)
        The other points that are as far as the k-th neighbour of a row: the row, in [0, Q), and
        the index of the other point.
    """

    points: Tensor
    indices: Tensor
    tied: Tensor
    rows: Tensor
    further: Tensor

    def select(self, rows: Tensor) -> "Neighbours":
        """Return the neighbours of some rows, which must be different ones."""
        # Rows that are not selected get -1.
        position = torch.full((len(self.indices),), -1)
        position[rows] = torch.arange(len(rows))
        new_rows = position[self.rows]
        is_selected = new_rows >= 0
        return Neighbours(
            points=self.points[rows],
            indices=self.indices[rows],
            tied=self.tied[rows],
            rows=new_rows[is_selected],
            further=self.further[is_selected],
        )


def search(points: Tensor, rows: Tensor, k: int) -> Iterator[Neighbours]:
    """Search the k nearest other points of some points, by Euclidean distance in float64.

    A point is not its own neighbour, but a duplicate of it is. Where many points are duplicates,
    all their ties are returned: the results come block by block, which bounds the memory.

    Parameters
    ----------
    points : float32 or float64 tensor of shape (N, D), finite
        In more than 8 dimensions the search runs on its device.
    rows : integer tensor of shape (Q,), in [0, N)
        Indices of the points whose neighbours are searched.
    k : int, in [1, N - 1]

    Yields
    ------
    Neighbours of the next rows

    Examples
    --------
    >>> line = torch.tensor([[0.0], [5.0], [1.0], [-1.0], [0.0]])
    >>> found = join(search(line, torch.tensor([0, 1]), k=2))
    >>> found.indices
    tensor([[4, 2],
            [2, 0]])
    >>> found.rows, found.further  # -1 is as far from 0 as 1 is, the second 0 as far from 5
    (tensor([0, 1]), tensor([3, 4]))
    """
    points = _rescaled(points)
    method: _TreeSearch | _ProductSearch
    if points.shape[1] <= _TREE_DIMENSIONS:
        method, pairs = _TreeSearch(points), _TIES
    else:
        method, pairs = _ProductSearch(points), _SCORES
    for block in rows.split(max(1, pairs // len(points))):
        yield method.neighbours(block, k)


def join(blocks: Iterable[Neighbours]) -> Neighbours:
    """Return the neighbours of all blocks, of which there must be one or more."""
    parts = list(blocks)
    starts = [0]
    for part in parts[:-1]:
        starts.append(starts[-1] + len(part.indices))
    return Neighbours(
        points=torch.cat([part.points for part in parts]),
        indices=torch.cat([part.indices for part in parts]),
        tied=torch.cat([part.tied for part in parts]),
        rows=torch.cat([part.rows + start for part, start in zip(parts, starts, strict=True)]),
        further=torch.cat([part.further for part in parts]),
    )


def _rescaled(points: Tensor) -> Tensor:
    """Return the points, multiplied by a power of two if their squares could over- or underflow."""
    low, high = points.aminmax()
    largest = max(-float(low), float(high))
    _, exponent = math.frexp(largest)
    if abs(exponent) <= 30:
        return points
    exponent = max(-1000, min(exponent, 1000))
    return points.double() * 2.0**-exponent


# ---------------------------------------------------------------- few dimensions: a k-d tree


class _TreeSearch:
    """Search by a k-d tree; the candidates are ranked in float64."""

    def __init__(self, points: Tensor):
        self.points = points.cpu().double()
        self.tree = cKDTree(self.points.numpy(), balanced_tree=False, compact_nodes=False)

    def neighbours(self, rows: Tensor, k: int) -> Neighbours:
        """Return the k nearest others of each row, with all ties."""
        # The point itself, and one more to see whether the k-th distance occurs again.
        count = min(k + 2, len(self.points))
        queries = self.points[rows].numpy()
        distances, candidates = self.tree.query(queries, k=count)
        ranking = _rank(self.points, rows, torch.from_numpy(candidates))
        found = ranking.first(k)
        if count == len(self.points):
            return found
        squared = ranking.squared[:, k - 1].numpy()
        radius = np.sqrt(squared) * (1 + 1e-9)  # the tree rounds differently

        def within(row: int) -> Tensor:
            return torch.tensor(self.tree.query_ball_point(queries[row], radius[row]))

        ambiguous = torch.from_numpy(distances[:, -1] <= radius)
        return _completed(found, self.points, ambiguous, within)


# ---------------------------------------------------------------- many dimensions: products


class _ProductSearch:
    """Search by float32 products of all pairs; the candidates are ranked in float64.

    Let a and b be two points, relative to the centre. The score |b|^2 / 2 - a.b is half the squared
    distance minus |a|^2 / 2, which is the same for every b. The error of float32 is at most
    gamma (|b|^2 / 2 + |a| |b|), whatever the order of summation (Higham 2002, Section 3.1), and a
    point b within the distance r has |b| <= |a| + r. So every point that may be among the k nearest
    has a score below a limit, which follows from the exact distance of the k-th candidate. If the
    candidates do not reach that limit, all points below it are ranked.
    """

    def __init__(self, points: Tensor):
        self.points = points
        self.centre = points.mean(0)
        self.centred = torch.empty_like(
            points, dtype=torch.float32, memory_format=torch.contiguous_format
        )
        chunks = zip(self.centred.split(_CHUNK), points.split(_CHUNK), strict=True)
        for target, source in chunks:
            target.copy_(source - self.centre)
        norms = torch.linalg.vector_norm(self.centred, dim=1)
        self.half_squares = norms.square_().div_(2)
        self._buffer: Tensor | None = None

    def neighbours(self, rows: Tensor, k: int) -> Neighbours:
        """Return the k nearest others of each row, with all ties."""
        rows = rows.to(self.points.device)
        others = len(self.points) - 1
        count = min(k + _EXTRA, others)
        scores = self._scores(rows)
        values, candidates = _smallest(scores, count)
        ranking = _rank(self.points, rows, candidates)
        found = ranking.first(k)
        if count == others:
            return found
        limits = self._limits(rows, ranking.squared[:, k - 1])

        def within(row: int) -> Tensor:
            return (scores[row] <= limits[row]).nonzero().flatten()

        ambiguous = values[:, -1] <= limits
        return _completed(found, self.points, ambiguous, within)

    def _scores(self, rows: Tensor) -> Tensor:
        """Return the scores of all points for some rows, (Q, N), until the next call."""
        # One buffer for all blocks: allocating memory takes longer than filling it.
        if self._buffer is None:
            self._buffer = self.centred.new_empty(len(rows), len(self.points))
        scores = self._buffer[: len(rows)]
        with _full_float32():
            # Autocast does not touch a product that has an `out`.
            torch.mm(self.centred[rows], self.centred.T, out=scores)
        torch.sub(self.half_squares, scores, out=scores)
        return scores.scatter_(1, rows[:, None], torch.inf)  # a point is not its own neighbour

    def _limits(self, rows: Tensor, squared: Tensor) -> Tensor:
        """Return the largest score of a point within the squared distance of each row."""
        dimensions = self.points.shape[1]
        rounding = (dimensions + 16) * _UNIT
        gamma = rounding / (1 - rounding)
        offsets = self.points[rows].double() - self.centre.double()
        square = offsets.square().sum(1)
        norm = square.sqrt()
        farthest = norm + squared.sqrt()
        # The error is far more than the rounding of float64, so ties are within it.
        error = gamma * (farthest.square() / 2 + norm * farthest)
        return (squared - square) / 2 + error + dimensions * _VANISHING


@contextmanager
def _full_float32() -> Iterator[None]:
    """Compute products in full float32, even if the user has allowed TF32 or bfloat16."""
    backends = (
        torch.backends.cuda.matmul,
        torch.backends.mkldnn.matmul,  # type: ignore[attr-defined]  # created by torch at run time
    )
    previous = [backend.fp32_precision for backend in backends]
    for backend in backends:
        backend.fp32_precision = "ieee"
    try:
        yield
    finally:
        for backend, precision in zip(backends, previous, strict=True):
            backend.fp32_precision = precision


def _smallest(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the `count` smallest scores of each row in ascending order, and their columns.

    They lie in the groups of columns with the smallest minima, and finding those takes a single
    pass over memory.
    """
    groups = scores.shape[1] // _GROUP
    if groups <= 2 * count:
        return scores.topk(count, largest=False)
    grouped = groups * _GROUP
    by_group = scores[:, :grouped].view(len(scores), _GROUP, groups)
    chosen = by_group.amin(1).topk(count, largest=False).indices
    members = torch.arange(0, grouped, groups, device=scores.device)
    columns = (chosen[:, :, None] + members).flatten(1)
    rest = torch.arange(grouped, scores.shape[1], device=scores.device)
    columns = torch.cat([columns, rest.expand(len(scores), -1)], dim=1)
    values, order = scores.gather(1, columns).topk(count, largest=False)
    return values, columns.gather(1, order)


# ---------------------------------------------------------------- exact distances


@dataclass(frozen=True, eq=False)
class _Ranking:
    """Candidates of some points in the order of their squared distance, (Q, C) each."""

    points: Tensor
    candidates: Tensor
    squared: Tensor

    def first(self, k: int) -> Neighbours:
        """Return the first k of each row, and the further candidates that are as far."""
        reach = self.squared[:, :-1] * (1 + _ROUNDING)
        tied = torch.zeros_like(self.candidates, dtype=torch.bool)
        tied[:, 1:] = self.squared[:, 1:] <= reach
        as_far = tied[:, k:].cumprod(1)
        rows, columns = as_far.nonzero(as_tuple=True)
        return Neighbours(
            points=self.points.cpu(),
            indices=self.candidates[:, :k].cpu(),
            tied=tied[:, :k].cpu(),
            rows=rows.cpu(),
            further=self.candidates[rows, columns + k].cpu(),
        )


def _rank(points: Tensor, rows: Tensor, candidates: Tensor) -> _Ranking:
    """Return the candidates (Q, C) of each row by distance, then by index; the row itself last."""
    candidates = candidates.sort(dim=1).values
    repeated = rows.repeat_interleave(candidates.shape[1])
    squared = _squared_distances(points, repeated, candidates.flatten())
    squared = squared.view(candidates.shape)
    squared.masked_fill_(candidates == rows[:, None], torch.inf)
    squared, order = squared.sort(dim=1, stable=True)
    return _Ranking(rows, candidates.gather(1, order), squared)


def _completed(
    found: Neighbours,
    points: Tensor,
    ambiguous: Tensor,
    within: Callable[[int], Tensor],
) -> Neighbours:
    """Return the neighbours with the ambiguous rows ranked anew.

    `ambiguous` (Q,) marks the rows; `within` returns all candidates of a row, (C,).
    """
    if not ambiguous.any():
        return found
    ambiguous = ambiguous.cpu()
    is_kept = ~ambiguous[found.rows]
    rows, further = [found.rows[is_kept]], [found.further[is_kept]]
    for part in ambiguous.nonzero().flatten().split(_ANEW):
        own = found.points[part].to(points.device)
        candidates = [within(row) for row in part.tolist()]
        padded = pad_sequence(candidates, batch_first=True, padding_value=-1)
        # A point is not its own neighbour, so its index can fill the gaps.
        padded = torch.where(padded < 0, own[:, None], padded)
        anew = _rank(points, own, padded).first(found.indices.shape[1])
        found.indices[part], found.tied[part] = anew.indices, anew.tied
        rows.append(part[anew.rows])
        further.append(anew.further)
    return replace(found, rows=torch.cat(rows), further=torch.cat(further))


def _squared_distances(points: Tensor, rows: Tensor, others: Tensor) -> Tensor:
    """Return the squared distance of each pair in float64: exact for integers such as pixels."""
    numbers = _PAIRS if points.device.type == "cpu" else _PAIRS_ON_DEVICE
    step = max(1, numbers // points.shape[1])
    squared = []
    for a, b in zip(rows.split(step), others.split(step), strict=True):
        differences = points[a].double() - points[b].double()
        squared.append(differences.square_().sum(1))
    return torch.cat(squared)
