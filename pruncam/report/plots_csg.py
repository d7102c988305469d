"""Figures of data sets and their complexity: classes as matrix and graph, spectra, pictures in the overlap."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from pruncam.report import labels
from pruncam.report.plots import BLUE, GREEN, GREY, ORANGE, PURPLE, style

COLOURS = (BLUE, ORANGE, GREEN, PURPLE, GREY, "#56B4E9", "#E69F00")  # of data sets, in their order
_NAMED = 20  # classes whose names can be read beside each other


def classes(similarity: np.ndarray, names: Sequence[str]) -> Figure:
    """How alike classes are, (K, K) in [0, 1]: as a matrix, and as a graph in a plane.

    In the graph, classes lie at distances of 1 - similarity as well as a plane can show them (classical scaling), and
    the wider a line the more alike its two ends; each is joined to the two that are most like it, unless they have less
    than a fifth of the similarity of the most similar pair. Up to 20 classes are named.
    """
    with style():
        figure = Figure(figsize=(8.4, 3.9), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(1, 1.1))
        apart = np.where(np.eye(len(similarity), dtype=bool), np.nan, similarity)
        shown = left.imshow(apart, cmap="viridis", vmin=0)
        figure.colorbar(shown, ax=left, shrink=0.8, label="similarity")
        left.spines[:].set_visible(False)
        places = range(len(names)) if len(names) <= _NAMED else []
        left.set_xticks(places, [names[k] for k in places], rotation=90)
        left.set_yticks(places, [names[k] for k in places])
        _graph(right, similarity)
        if len(names) <= _NAMED:
            points = plane(1 - similarity)
            labels.write(right, points, names, around=[points[[a, b]] for a, b, _ in _joined(similarity)])
    return figure


def _graph(axes: Axes, similarity: np.ndarray) -> None:
    points = plane(1 - similarity)
    for a, b, share in _joined(similarity):
        axes.plot(*points[[a, b]].T, color=BLUE, alpha=0.75 * share, linewidth=3 * share, zorder=1)
    axes.scatter(*points.T, s=26 if len(points) <= _NAMED else 10, color=ORANGE, zorder=2)
    axes.margins(0.16)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_axis_off()


def _joined(similarity: np.ndarray) -> list[tuple[int, int, float]]:
    """Pairs of classes that a line joins, with their share of the greatest similarity.

    One of the two is among the two that the other is most like, and they are not hardly alike.
    """
    others = np.where(np.eye(len(similarity), dtype=bool), -np.inf, similarity)
    nearest = others >= np.sort(others, axis=1)[:, [-2]]
    shares = others / max(others.max(), 1e-12)
    return [(a, b, shares[a, b]) for a, b in np.argwhere(np.triu((nearest | nearest.T) & (shares > 0.2)))]


def plane(distances: np.ndarray) -> np.ndarray:
    """Points (K, 2) whose distances are near the given ones (K, K), by classical scaling; a circle where all are equal.

    A point's farther coordinate is positive, so that the same distances give the same picture on every machine.
    """
    count = len(distances)
    if np.ptp(distances[~np.eye(count, dtype=bool)]) < 1e-9:
        angles = 2 * np.pi * np.arange(count) / count
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)
    centring = np.eye(count) - 1 / count
    values, vectors = np.linalg.eigh(-0.5 * centring @ distances**2 @ centring)
    points = vectors[:, :-3:-1] * np.sqrt(values[:-3:-1].clip(min=0))
    return points * np.where(points[np.abs(points).argmax(0), [0, 1]] < 0, -1, 1)


def spectra(eigenvalues: Mapping[str, np.ndarray]) -> Figure:
    """Ascending eigenvalues of several data sets over the number of classes, and what CSG/(K-1) sums up from them."""
    with style():
        figure = Figure(figsize=(8.4, 3.5), layout="constrained")
        left, right = figure.subplots(1, 2)
        for (name, values), colour in zip(eigenvalues.items(), COLOURS, strict=False):
            count = len(values)
            place = np.arange(count) / (count - 1)
            look = {"color": colour, "label": name, "marker": "o", "markersize": 3 if count <= _NAMED else 0}
            left.plot(place, values / count, **look)
            right.plot(place, np.concatenate([[0], cumulated(values)]) / (count - 1), **look)
        left.set(xlabel="place of the eigenvalue, 0 first, 1 last", ylabel="eigenvalue / K")
        right.set(xlabel="gaps summed up so far, share", ylabel="cumulated maximum of the gaps / (K-1)")
        for axes in (left, right):
            axes.grid(alpha=0.25, linewidth=0.6)
        figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=len(eigenvalues))
    return figure


def cumulated(eigenvalues: np.ndarray) -> np.ndarray:
    """What CSG has summed up after each gap of the eigenvalues, (K - 1,); the last is CSG itself."""
    gaps = np.diff(eigenvalues) / np.arange(len(eigenvalues), 1, -1)
    return np.cumsum(np.maximum.accumulate(gaps))


def beside(
    rows: Sequence[Sequence[np.ndarray]], names: Sequence[Sequence[str]], *, other: Sequence[Sequence[bool]]
) -> Figure:
    """Pictures (H, W) or (H, W, 3) in [0, 1], each under its name; names of `other` pictures are in another colour."""
    with style():
        # Every cell is alike, so nothing has to be laid out.
        figure = Figure(figsize=(1.12 * len(rows[0]), 1.32 * len(rows)))
        edges = {"left": 0, "right": 1, "bottom": 0, "top": 1 - 0.17 / len(rows), "wspace": 0.08, "hspace": 0.22}
        field = figure.subplots(len(rows), len(rows[0]), squeeze=False, gridspec_kw=edges)
        for (row, column), axes in np.ndenumerate(field):
            axes.imshow(rows[row][column], cmap="gray", vmin=0, vmax=1)
            colour = ORANGE if other[row][column] else "black"
            axes.set_title(names[row][column], fontsize=8, color=colour, weight="bold" if column == 0 else "normal")
            axes.set_axis_off()
    return figure


@dataclass(frozen=True)
class Curve:
    """Points with a spread around each, under the name of a data set; `dashed` tells its test split."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    spread: Sequence[float]
    colour: str
    dashed: bool = False


def curves(panels: Mapping[str, Sequence[Curve]], *, ylabel: str, log: bool = False) -> Figure:
    """Panels over their own logarithmic x-axis, whose labels are the panels' names; bars: one standard deviation."""
    with style():
        figure = Figure(figsize=(max(6.4, 4.2 * len(panels)), 3.7), layout="constrained")
        handles = {}
        for axes, (label, found) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
            for curve in found:
                look = {"color": curve.colour, "linestyle": "--" if curve.dashed else "-", "capsize": 2}
                line = axes.errorbar(curve.x, curve.y, curve.spread, marker="o", markersize=3.5, linewidth=1.4, **look)
                handles.setdefault(curve.name, line)
            axes.set(xlabel=label, ylabel=ylabel, xscale="log", yscale="log" if log else "linear")
            ticks = sorted({x for curve in found for x in curve.x})
            if len(ticks) <= 8:
                axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
                axes.minorticks_off()
            axes.grid(alpha=0.25, linewidth=0.6)
        if any(curve.dashed for found in panels.values() for curve in found):
            handles["test split"] = Line2D([], [], color="black", linestyle="--", linewidth=1.4)
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4)
    return figure


@dataclass(frozen=True)
class Mark:
    """A measured value with its spread in a row of a panel; hollow for the test split."""

    row: str
    value: float
    spread: float
    hollow: bool


def against_levels(panels: Mapping[str, tuple[Sequence[Mark], Mapping[str, float]]], *, xlabel: str) -> Figure:
    """Per panel, marks in named rows over a logarithmic x-axis, and levels: "train" dashed, "test" dotted."""
    with style():
        rows = list(dict.fromkeys(mark.row for marks, _ in panels.values() for mark in marks))
        figure = Figure(figsize=(3.1 * len(panels) + 1.2, 0.34 * len(rows) + 1.5), layout="constrained")
        for axes, (title, (marks, levels)) in zip(
            figure.subplots(1, len(panels), squeeze=False, sharey=True)[0], panels.items(), strict=True
        ):
            for mark in marks:
                place = rows.index(mark.row) + (0.14 if mark.hollow else -0.14)
                look = {"color": BLUE, "markerfacecolor": "white" if mark.hollow else BLUE, "capsize": 2}
                axes.errorbar(mark.value, place, xerr=mark.spread, marker="o", markersize=4.5, linewidth=1.2, **look)
            for split, level in levels.items():
                line = {"train": "--", "test": ":"}.get(split, "-")
                axes.axvline(level, color=ORANGE, linestyle=line, linewidth=1.2)
            axes.set(title=title, xlabel=xlabel, xscale="log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter("{x:g}")
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.grid(alpha=0.25, linewidth=0.6, axis="x")
        axes.set_yticks(range(len(rows)), rows)
        axes.invert_yaxis()
    return figure
