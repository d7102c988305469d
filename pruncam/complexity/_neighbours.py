"""Exact nearest neighbours of some points of a set among all the others."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from scipy.spatial import cKDTree
from torch import Tensor

_TREE_DIMENSIONS = 8  # beyond some ten dimensions a k-d tree visits nearly every point
# Candidates beyond k: few points are so close to the k-th that float32 cannot order them.
_EXTRA = 8
_GROUP = 64
_SCORES = 2**24  # of one block of the product: 64 MiB
_CHUNK = 512  # points centred at once
_PAIRS = 2**18  # numbers in one block of exact distances: 2 MiB, which fit the CPU cache
_PAIRS_ON_DEVICE = 2**24  # a GPU is mostly idle with a small block
_UNIT = 2.0**-24  # relative rounding error of float32
# Far more than float32 loses by underflow, for numbers up to 2**30.
_VANISHING = 2.0**-90


def nearest(points: Tensor, rows: Tensor, k: int) -> Tensor:
    """Return the k nearest other points of some points, by Euclidean distance in float64.

    A point is not its own neighbour, but a duplicate of it is. Equal distances are ordered by
    index.

    Parameters
    ----------
    points : float32 or float64 tensor of shape (N, D), finite
        In more than 8 dimensions the search runs on its device.
    rows : integer tensor of shape (Q,), in [0, N), on the same device
        Indices of the points whose neighbours are searched.
    k : int, in [1, N - 1]

    Returns
    -------
    integer tensor of shape (Q, k)
        Indices into `points`, the nearest first.

    Examples
    --------
    >>> nearest(torch.tensor([[0.0], [5.0], [1.0], [-1.0], [0.0]]), torch.tensor([0, 1]), k=3)
    tensor([[4, 2, 3],
            [2, 0, 4]])
    """
    points = _rescaled(points)
    if points.shape[1] <= _TREE_DIMENSIONS:
        neighbours = _search_tree(points.cpu(), rows.cpu(), k)
        return neighbours.to(rows.device)
    return _search_products(points, rows, k)


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


def _search_tree(points: Tensor, rows: Tensor, k: int) -> Tensor:
    points = points.double()
    tree = cKDTree(points.numpy(), balanced_tree=False, compact_nodes=False)
    # The point itself, and one more to see whether the k-th distance occurs again.
    count = min(k + 2, len(points))
    queries = points[rows].numpy()
    distances, candidates = tree.query(queries, k=count)
    neighbours, squared = _rank(points, rows, torch.from_numpy(candidates), k)
    if count == len(points):
        return neighbours
    radius = squared.sqrt() * (1 + 1e-9)  # the tree rounds differently
    ambiguous = torch.from_numpy(distances[:, -1]) <= radius
    for row in ambiguous.nonzero().flatten().tolist():
        within = tree.query_ball_point(queries[row], float(radius[row]))
        candidates = torch.tensor(within)
        neighbours[row] = _rank_one(points, rows[row], candidates, k)
    return neighbours


# ---------------------------------------------------------------- many dimensions: products


def _search_products(points: Tensor, rows: Tensor, k: int) -> Tensor:
    search = _ProductSearch(points)
    step = max(1, _SCORES // len(points))
    # One buffer for all blocks: allocating memory takes longer than filling it.
    buffer = search.centred.new_empty(min(step, len(rows)), len(points))
    blocks = []
    for part in rows.split(step):
        scores = buffer[: len(part)]
        blocks.append(search.nearest(part, k, scores))
    return torch.cat(blocks)


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

    def nearest(self, rows: Tensor, k: int, scores: Tensor) -> Tensor:
        """Return the k nearest others of each row, (Q, k); `scores` is a buffer of shape (Q, N)."""
        others = len(self.points) - 1
        count = min(k + _EXTRA, others)
        self._fill_scores(rows, scores)
        values, candidates = _smallest(scores, count)
        neighbours, squared = _rank(self.points, rows, candidates, k)
        if count == others:
            return neighbours
        limits = self._limits(rows, squared)
        ambiguous = values[:, -1] <= limits
        for row in ambiguous.nonzero().flatten().tolist():
            within = (scores[row] <= limits[row]).nonzero().flatten()
            neighbours[row] = _rank_one(self.points, rows[row], within, k)
        return neighbours

    def _fill_scores(self, rows: Tensor, scores: Tensor) -> None:
        with _full_float32():
            # Autocast does not touch a product that has an `out`.
            torch.mm(self.centred[rows], self.centred.T, out=scores)
        torch.sub(self.half_squares, scores, out=scores)
        scores.scatter_(1, rows[:, None], torch.inf)  # a point is not its own neighbour

    def _limits(self, rows: Tensor, squared: Tensor) -> Tensor:
        """Return the largest score of a point within the squared distance of each row."""
        dimensions = self.points.shape[1]
        rounding = (dimensions + 16) * _UNIT
        gamma = rounding / (1 - rounding)
        offsets = self.points[rows].double() - self.centre.double()
        square = offsets.square().sum(1)
        norm = square.sqrt()
        farthest = norm + squared.sqrt()
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


def _rank(
    points: Tensor,
    rows: Tensor,
    candidates: Tensor,
    k: int,
) -> tuple[Tensor, Tensor]:
    """Return the k nearest of each row's candidates (Q, C), and the squared distance of the k-th.

    The row itself is excluded.
    """
    candidates = candidates.sort(dim=1).values
    repeated = rows.repeat_interleave(candidates.shape[1])
    distances = _squared_distances(points, repeated, candidates.flatten())
    distances = distances.view(candidates.shape)
    distances.masked_fill_(candidates == rows[:, None], torch.inf)
    distances, order = distances.sort(dim=1, stable=True)
    return candidates.gather(1, order[:, :k]), distances[:, k - 1]


def _rank_one(
    points: Tensor,
    row: Tensor,
    candidates: Tensor,
    k: int,
) -> Tensor:
    """Return the k nearest of the candidates (C,) of a single row, (k,)."""
    neighbours, _ = _rank(points, row[None], candidates[None], k)
    return neighbours[0]


def _squared_distances(points: Tensor, rows: Tensor, others: Tensor) -> Tensor:
    """Return the squared distance of each pair in float64: exact for integers such as pixels."""
    numbers = _PAIRS if points.device.type == "cpu" else _PAIRS_ON_DEVICE
    step = max(1, numbers // points.shape[1])
    squared = []
    for a, b in zip(rows.split(step), others.split(step), strict=True):
        differences = points[a].double() - points[b].double()
        squared.append(differences.square_().sum(1))
    return torch.cat(squared)
