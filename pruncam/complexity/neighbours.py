"""Exact nearest neighbours of some points of a set among all the others."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

_TREE_DIMENSIONS = 8  # beyond some ten dimensions a k-d tree visits nearly every point
_EXTRA = 8  # candidates beyond k: few points are so close to the k-th that float32 cannot order them
_GROUP = 64
_SCORES = 2**24  # of one block of the product: 64 MiB
_CHUNK = 512  # points centred at once
_PAIRS = 2**18  # numbers of one block of exact distances: 2 MiB, which stay in a processor's cache
_PAIRS_ON_DEVICE = 2**24  # there a small block is mostly waiting
_UNIT = 2.0**-24  # relative rounding of float32
_VANISHING = 2.0**-90  # far more than what float32 loses where it underflows, for numbers up to 2**30


def nearest(points: Tensor, rows: Tensor, k: int) -> Tensor:
    """The k nearest other points, by Euclidean distance in float64, of each point that `rows` names.

    A point is not its own neighbour, a duplicate of it is; equal distances are ordered by index.

    Parameters
    ----------
    points : float32 or float64 tensor of shape (N, D), finite
        In more than 8 dimensions the work is done on its device.
    rows : integer tensor of shape (Q,), in [0, N), on the same device
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
    points = _moderate(points)
    if points.shape[1] <= _TREE_DIMENSIONS:
        return _by_tree(points.cpu(), rows.cpu(), k).to(rows.device)
    return _by_products(points, rows, k)


def _moderate(points: Tensor) -> Tensor:
    """The points themselves, or times a power of two, so that no square overflows and not all of them vanish."""
    low, high = (float(end) for end in points.aminmax())
    _, exponent = math.frexp(max(-low, high))
    return points if abs(exponent) <= 30 else points.double() * 2.0 ** -max(-1000, min(exponent, 1000))


def _by_tree(points: Tensor, rows: Tensor, k: int) -> Tensor:
    """`nearest` by a k-d tree."""
    points = points.double()
    tree = cKDTree(points.numpy(), balanced_tree=False, compact_nodes=False)
    count = min(k + 2, len(points))  # the point itself, and one to see whether the k-th has an equal
    queries = points[rows].numpy()
    distances, candidates = tree.query(queries, k=count)
    found, reach = _ranked(points, rows, torch.from_numpy(candidates), k)
    radius = reach.sqrt() * (1 + 1e-9)  # the tree rounds otherwise than we do
    if count < len(points):
        for row in (torch.from_numpy(distances[:, -1]) <= radius).nonzero().flatten().tolist():
            within = torch.from_numpy(np.array(tree.query_ball_point(queries[row], float(radius[row]))))
            found[row] = _ranked(points, rows[row, None], within[None], k)[0][0]
    return found


def _by_products(points: Tensor, rows: Tensor, k: int) -> Tensor:
    """`nearest` by float32 products of all pairs, whose candidates are ranked anew in float64.

    About the centre, with a the point and b another, |b|^2 / 2 - a.b is half the squared distance less |a|^2 / 2, which
    is the same for every b. Float32 misses it by at most gamma (|b|^2 / 2 + |a| |b|), whatever the order of summation
    (Higham 2002, Section 3.1), and whoever is within the distance r has |b| <= |a| + r. So every point that could be
    among the k nearest lies below a limit that the k-th candidate's exact distance sets: where the candidates do not
    reach that limit, all points below it are ranked.
    """
    center = points.mean(0)
    centred = torch.empty(points.shape, dtype=torch.float32, device=points.device)
    for part, source in zip(centred.split(_CHUNK), points.split(_CHUNK), strict=True):
        part.copy_(source - center)
    halves = torch.linalg.vector_norm(centred, dim=1).square_().div_(2)
    size, dimensions = points.shape
    count = min(k + _EXTRA, size - 1)
    gamma = (dimensions + 16) * _UNIT / (1 - (dimensions + 16) * _UNIT)
    found, step = [], max(1, _SCORES // size)
    block = centred.new_empty(min(step, len(rows)), size)  # one for all: new memory costs more than what fills it
    for part in rows.split(step):
        scores = block[: len(part)]
        with _full_float32():
            torch.mm(centred[part], centred.T, out=scores)  # autocast leaves alone what has an `out`
        torch.sub(halves, scores, out=scores)
        scores[torch.arange(len(part), device=part.device), part] = torch.inf
        values, candidates = _smallest(scores, count)
        best, reach = _ranked(points, part, candidates, k)
        norm = (points[part].double() - center.double()).square().sum(1)
        far = norm.sqrt() + reach.sqrt()
        limit = (reach - norm) / 2 + gamma * (far.square() / 2 + norm.sqrt() * far) + dimensions * _VANISHING
        if count < size - 1:
            for row in (values[:, -1] <= limit).nonzero().flatten().tolist():
                within = (scores[row] <= limit[row]).nonzero().flatten()
                best[row] = _ranked(points, part[row, None], within[None], k)[0][0]
        found.append(best)
    return torch.cat(found)


@contextmanager
def _full_float32() -> Iterator[None]:
    """Products in float32 proper, where the user has allowed TF32 or bfloat16."""
    backends = (torch.backends.cuda.matmul, torch.backends.mkldnn.matmul)
    before = [backend.fp32_precision for backend in backends]
    for backend in backends:
        backend.fp32_precision = "ieee"
    try:
        yield
    finally:
        for backend, precision in zip(backends, before, strict=True):
            backend.fp32_precision = precision


def _smallest(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` smallest of each row in ascending order, and their columns.

    They lie in the groups of columns with the smallest minima, which are found at the speed of memory.
    """
    groups = scores.shape[1] // _GROUP
    if groups <= 2 * count:
        return scores.topk(count, largest=False)
    whole = groups * _GROUP
    minima = scores[:, :whole].view(len(scores), _GROUP, groups).amin(1)
    members = torch.arange(0, whole, groups, device=scores.device)
    columns = (minima.topk(count, largest=False).indices[:, :, None] + members).flatten(1)
    rest = torch.arange(whole, scores.shape[1], device=scores.device).expand(len(scores), -1)
    columns = torch.cat([columns, rest], dim=1)
    values, order = scores.gather(1, columns).topk(count, largest=False)
    return values, columns.gather(1, order)


def _ranked(points: Tensor, rows: Tensor, candidates: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k nearest of each row's candidates (Q, C), itself left out, and the squared distance of the k-th."""
    candidates = candidates.sort(dim=1).values
    distances = _squared_distances(points, rows.repeat_interleave(candidates.shape[1]), candidates.flatten())
    distances = distances.view(candidates.shape).masked_fill(candidates == rows[:, None], torch.inf)
    distances, order = distances.sort(dim=1, stable=True)
    return candidates.gather(1, order[:, :k]), distances[:, k - 1]


def _squared_distances(points: Tensor, rows: Tensor, others: Tensor) -> Tensor:
    """Squared distance in float64 of each pair, from differences: exact for whole numbers as pixels are."""
    step = max(1, (_PAIRS if points.device.type == "cpu" else _PAIRS_ON_DEVICE) // points.shape[1])
    pairs = zip(rows.split(step), others.split(step), strict=True)
    return torch.cat([(points[a].double() - points[b].double()).square_().sum(1) for a, b in pairs])
