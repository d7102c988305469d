"""Figures of classes: their similarity as a matrix and as a graph, and its spectrum."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pruncam.report import labels
from pruncam.report.plots import BLUE, ORANGE, style
from pruncam.studies.csg.charts import COLOURS

_MAX_NAMED = 20  # classes whose names are legible beside each other
_MIN_SHARE = 0.2  # of the largest similarity, for two classes to be joined


def similarity_of_classes(similarity: np.ndarray, names: Sequence[str]) -> Figure:
    """Draw the similarity of classes, (K, K) in [0, 1], as a matrix and as a graph in a plane.

    In the graph, the distances between classes are 1 - similarity, as well as a plane can show them
    (classical scaling), and a line is the wider, the more similar its two classes. Each class is
    joined to the two most similar ones, unless the similarity is below a fifth of that of the most
    similar pair. Up to 20 classes are named.
    """
    is_named = len(names) <= _MAX_NAMED
    with style():
        figure = Figure(figsize=(8.4, 3.9), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(1, 1.1))
        _draw_matrix(left, similarity, names if is_named else [])
        points = scaled_to_plane(1 - similarity)
        pairs = _joined_pairs(similarity)
        _draw_graph(right, points, pairs)
        if is_named:
            lines = [points[[a, b]] for a, b, _ in pairs]
            labels.write(right, points, names, around=lines)
    return figure


def _draw_matrix(
    axes: Axes,
    similarity: np.ndarray,
    names: Sequence[str],
) -> None:
    diagonal = np.eye(len(similarity), dtype=bool)
    values = np.where(diagonal, np.nan, similarity)
    image = axes.imshow(values, cmap="viridis", vmin=0)
    axes.figure.colorbar(image, ax=axes, shrink=0.8, label="similarity")
    axes.spines[:].set_visible(False)
    ticks = range(len(names))
    axes.set_xticks(ticks, names, rotation=90)
    axes.set_yticks(ticks, names)


def _draw_graph(
    axes: Axes,
    points: np.ndarray,
    pairs: Sequence[tuple[int, int, float]],
) -> None:
    for a, b, share in pairs:
        x, y = points[[a, b]].T
        width, alpha = 3 * share, 0.75 * share
        axes.plot(
            x,
            y,
            color=BLUE,
            alpha=alpha,
            linewidth=width,
            zorder=1,
        )
    x, y = points.T
    size = 26 if len(points) <= _MAX_NAMED else 10
    axes.scatter(x, y, s=size, color=ORANGE, zorder=2)
    axes.margins(0.16)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_axis_off()


def _joined_pairs(similarity: np.ndarray) -> list[tuple[int, int, float]]:
    """Return the pairs of classes that a line joins, with their share of the largest similarity."""
    diagonal = np.eye(len(similarity), dtype=bool)
    others = np.where(diagonal, -np.inf, similarity)
    second_largest = np.sort(others, axis=1)[:, [-2]]
    is_nearest = others >= second_largest
    is_neighbour = is_nearest | is_nearest.T
    shares = others / max(others.max(), 1e-12)
    is_joined = np.triu(is_neighbour & (shares > _MIN_SHARE))
    return [(a, b, shares[a, b]) for a, b in np.argwhere(is_joined)]


def scaled_to_plane(distances: np.ndarray) -> np.ndarray:
    """Return points (K, 2) with distances close to `distances` (K, K), by classical scaling.

    A circle if all distances are equal. The coordinate with the largest absolute value is positive,
    so that the figure is the same on every machine.
    """
    count = len(distances)
    diagonal = np.eye(count, dtype=bool)
    if np.ptp(distances[~diagonal]) < 1e-9:
        return _circle(count)
    centring = np.eye(count) - 1 / count
    products = -0.5 * centring @ distances**2 @ centring
    values, vectors = np.linalg.eigh(products)
    lengths = np.sqrt(values[:-3:-1].clip(min=0))
    points = vectors[:, :-3:-1] * lengths
    farthest = np.abs(points).argmax(0)
    is_negative = points[farthest, [0, 1]] < 0
    return points * np.where(is_negative, -1, 1)


def _circle(count: int) -> np.ndarray:
    angles = 2 * np.pi * np.arange(count) / count
    x, y = np.cos(angles), np.sin(angles)
    return np.stack([x, y], axis=1)


def spectra(eigenvalues: Mapping[str, np.ndarray]) -> Figure:
    """Draw the eigenvalues of several data sets, and what CSG/(K-1) sums up from them."""
    with style():
        figure = Figure(figsize=(8.4, 3.5), layout="constrained")
        left, right = figure.subplots(1, 2)
        for (name, values), colour in zip(eigenvalues.items(), COLOURS, strict=False):
            _draw_spectrum(left, right, name, values, colour)
        left.set_xlabel("place of the eigenvalue, 0 first, 1 last")
        left.set_ylabel("eigenvalue / K")
        right.set_xlabel("gaps summed up so far, share")
        right.set_ylabel("cumulated maximum of the gaps / (K-1)")
        for axes in (left, right):
            axes.grid(alpha=0.25, linewidth=0.6)
        handles, names = left.get_legend_handles_labels()
        columns = len(eigenvalues)
        figure.legend(handles, names, loc="outside lower center", ncols=columns)
    return figure


def _draw_spectrum(
    left: Axes,
    right: Axes,
    name: str,
    eigenvalues: np.ndarray,
    colour: str,
) -> None:
    count = len(eigenvalues)
    x = np.arange(count) / (count - 1)
    sums = np.concatenate([[0], cumulated(eigenvalues)])
    relative = {left: eigenvalues / count, right: sums / (count - 1)}
    for axes, y in relative.items():
        axes.plot(
            x,
            y,
            color=colour,
            label=name,
            marker="o",
            markersize=3 if count <= _MAX_NAMED else 0,
        )


def cumulated(eigenvalues: np.ndarray) -> np.ndarray:
    """Return the sum of CSG after each gap of the eigenvalues, (K - 1,); the last is CSG itself."""
    largest_gaps = np.arange(len(eigenvalues), 1, -1)
    gaps = np.diff(eigenvalues) / largest_gaps
    return np.cumsum(np.maximum.accumulate(gaps))
