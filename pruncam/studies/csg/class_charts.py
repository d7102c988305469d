"""Figures of classes: their similarity as a matrix and as a graph, and its spectrum."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from pruncam.report import labels
from pruncam.report.plots import BLUE, GREY, ORANGE, legend_below, style
from pruncam.studies.csg.charts import COLOURS, MARKERS

_MAX_NAMED = 20  # classes whose names are legible beside each other
_MIN_SHARE = 0.2  # of the largest similarity, for two classes to be joined
_NAMED_PAIRS = 8  # of more classes, the most similar pairs are joined and named
_PANEL = "#F5F5F5"  # background of the graph


def similarity_of_classes(similarity: np.ndarray, names: Sequence[str]) -> Figure:
    """Draw the similarity of classes, (K, K) in [0, 1], as a matrix and as a graph in a plane.

    In the graph, the distances between classes are 1 - similarity, as well as a plane can show them
    (classical scaling), and a line is the wider, the more similar its two classes. Up to 20 classes
    are named; each is joined to the two most similar ones, unless the similarity is below a fifth
    of that of the most similar pair. Of more classes, only the most similar pairs are joined and
    named.
    """
    is_named = len(names) <= _MAX_NAMED
    pairs = _joined_pairs(similarity) if is_named else most_similar_pairs(similarity, _NAMED_PAIRS)
    classes = (
        list(range(len(names))) if is_named else sorted({c for a, b, _ in pairs for c in (a, b)})
    )
    points = scaled_to_plane(1 - similarity)
    with style():
        layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1)
        figure = Figure(figsize=(9.6, 4.1), layout=layout)
        left, right = figure.subplots(1, 2, width_ratios=(1, 1.25))
        _draw_matrix(left, similarity, names if is_named else [])
        if not is_named:
            _frame_pairs(left, pairs)
        _draw_graph(right, points, pairs, classes)
        lines = [points[[a, b]] for a, b, _ in pairs]
        labels.write(right, points[classes], [names[c] for c in classes], around=lines)
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
    count = "" if names else f" of {len(similarity)}"
    axes.set_title(f"similarity of two{count} classes")


def _frame_pairs(axes: Axes, pairs: Sequence[tuple[int, int, float]]) -> None:
    """Mark the cells of some pairs in the matrix, which are too small to be named."""
    cells = [(a, b) for a, b, _ in pairs] + [(b, a) for a, b, _ in pairs]
    x, y = np.transpose(cells)
    axes.scatter(x, y, s=30, facecolors="none", edgecolors=ORANGE, linewidths=1.2)


def _draw_graph(
    axes: Axes,
    points: np.ndarray,
    pairs: Sequence[tuple[int, int, float]],
    named: Sequence[int],
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
    axes.scatter(*points.T, s=8, color=GREY, zorder=2)
    axes.scatter(*points[named].T, s=26, color=ORANGE, zorder=2)
    # Room for names, which an equal aspect does not take away, unlike margins.
    room = 0.12 * np.ptp(points, axis=0).max()
    axes.update_datalim([points.min(0) - room, points.max(0) + room])
    axes.margins(0)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set(xticks=[], yticks=[], facecolor=_PANEL, title="similar classes are close")
    axes.spines[:].set_visible(False)


def most_similar_pairs(similarity: np.ndarray, count: int) -> list[tuple[int, int, float]]:
    """Return the most similar pairs of classes, with their share of the largest similarity."""
    first, second = np.triu_indices(len(similarity), 1)
    values = similarity[first, second]
    order = np.argsort(-values, kind="stable")[:count]
    shares = values[order] / max(values.max(), 1e-12)
    return list(zip(first[order].tolist(), second[order].tolist(), shares.tolist(), strict=True))


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
        styles = zip(COLOURS, MARKERS, strict=True)
        for (name, values), (colour, marker) in zip(eigenvalues.items(), styles, strict=False):
            _draw_spectrum(left, right, values, name=name, colour=colour, marker=marker)
        left.set_xlabel("place of the eigenvalue, 0 first, 1 last")
        left.set_ylabel("eigenvalue / K")
        right.set_xlabel("gaps summed up so far, share")
        right.set_ylabel("cumulated maximum of the gaps / (K-1)")
        for axes in (left, right):
            axes.grid(alpha=0.25, linewidth=0.6)
        handles, names = left.get_legend_handles_labels()
        legend_below(figure, handles=handles, labels=names, columns=len(eigenvalues))
    return figure


def _draw_spectrum(
    left: Axes,
    right: Axes,
    eigenvalues: np.ndarray,
    *,
    name: str,
    colour: str,
    marker: str,
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
            marker=marker,
            markersize=4,
            markevery=max(1, count // _MAX_NAMED),
        )


def cumulated(eigenvalues: np.ndarray) -> np.ndarray:
    """Return the sum of CSG after each gap of the eigenvalues, (K - 1,); the last is CSG itself."""
    largest_gaps = np.arange(len(eigenvalues), 1, -1)
    gaps = np.diff(eigenvalues) / largest_gaps
    return np.cumsum(np.maximum.accumulate(gaps))
