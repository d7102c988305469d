"""One function per kind of figure; figures are plain matplotlib objects that no global state knows of."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from pruncam.report import rendering

# Okabe and Ito's colours, told apart by everybody.
BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#6E6E6E"
HEAT = "inferno"
STYLE = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "font.size": 9,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


@contextmanager
def style():
    """The project's look, for the figures made inside."""
    with mpl.rc_context(STYLE):
        yield


def show(figure: Figure) -> None:
    """Display a figure in a notebook."""
    from IPython.display import Image, display

    display(Image(rendering.for_notebook(rendering.laid_out(figure))))


def two_scales(
    table: pd.DataFrame,
    x: str,
    left: Mapping[str, tuple[str, str]],
    right: Mapping[str, tuple[str, str]],
    *,
    labels: tuple[str, str, str],
    bands: Mapping[str, str] | None = None,
    title: str = "",
) -> Figure:
    """Curves over one x-axis with a scale on either side.

    `left` and `right` map a column to (legend, colour); `bands` maps a column to the one that holds its standard
    deviation (the band stops at 0: what is drawn here is never negative); `labels` are those of x, left and right axis.
    """
    with style():
        figure = Figure(figsize=(7.2, 3.8), layout="constrained")
        axes = figure.subplots()
        twin = axes.twinx()
        twin.spines["right"].set_visible(True)
        handles = _curves(axes, table, x, left, bands or {}) + _curves(twin, table, x, right, bands or {})
        axes.set(xlabel=labels[0], ylabel=labels[1], title=title)
        twin.set_ylabel(labels[2])
        axes.grid(alpha=0.25, linewidth=0.6)
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def _curves(axes: Axes, table: pd.DataFrame, x: str, columns: Mapping, bands: Mapping) -> list:
    handles = []
    for number, (column, (label, colour)) in enumerate(columns.items()):
        line = {"color": colour, "label": label, "linewidth": 1.6, "marker": "o^s"[number % 3], "markersize": 3.5}
        handles += axes.plot(table[x], table[column], **line)
        if column in bands:
            low = (table[column] - table[bands[column]]).clip(lower=0)
            high = table[column] + table[bands[column]]
            axes.fill_between(table[x], low, high, color=colour, alpha=0.18, linewidth=0)
    return handles


def scatter(
    panels: Mapping[str, pd.DataFrame],
    x: str,
    y: str,
    *,
    labels: tuple[str, str],
    colour_by: tuple[str, str],
    notes: Mapping[str, str],
) -> Figure:
    """One scatter plot per panel and one colour bar; `colour_by` is (column, its label), `notes` go into corners."""
    with style():
        figure = Figure(figsize=(3.7 * len(panels), 3.5), layout="constrained")
        row = figure.subplots(1, len(panels), squeeze=False)[0]
        everything = pd.concat(panels.values())[colour_by[0]]
        for axes, (title, table) in zip(row, panels.items(), strict=True):
            points = axes.scatter(
                table[x],
                table[y],
                c=table[colour_by[0]],
                cmap="viridis",
                s=22,
                vmin=everything.min(),
                vmax=everything.max(),
            )
            axes.set(title=title, xlabel=labels[0], ylabel=labels[1])
            axes.text(0.03, 0.97, notes.get(title, ""), transform=axes.transAxes, va="top", fontsize=8)
            axes.grid(alpha=0.25, linewidth=0.6)
        figure.colorbar(points, ax=list(row), label=colour_by[1])
    return figure


def triptych(image: np.ndarray, noisy: np.ndarray, heatmap: np.ndarray, *, titles: Sequence[str], title: str) -> Figure:
    """An image, its noisy copy and its heatmap side by side, as the thesis shows them."""
    with style():
        figure = Figure(figsize=(6.6, 2.6), layout="constrained")
        row = figure.subplots(1, 3)
        for axes, picture, label, colours in zip(
            row, (image, noisy, heatmap), titles, ("gray", "gray", HEAT), strict=True
        ):
            shown = axes.imshow(picture, cmap=colours, vmin=0, vmax=1)
            axes.set_title(label)
            axes.set_axis_off()
        figure.colorbar(shown, ax=row[2], shrink=0.8, label="heatmap")
        figure.suptitle(title, fontsize=10)
    return figure


def grid(
    rows: Sequence[Sequence[np.ndarray]],
    *,
    columns: Sequence[str],
    labels: Sequence[str],
    grey: Callable[[int, int], bool],
    scale: float = 1.0,
) -> Figure:
    """Pictures in a table, (H, W) or (H, W, 3) in [0, 1]; `labels` name the rows, `scale` enlarges all.

    `grey(row, column)` says which pictures are images, shown in grey; the others are heatmaps.
    """
    with style():
        beside = 0.9 if any(labels) else 0.1  # what the rows' names need
        size = (0.86 * scale * len(columns) + beside, 0.86 * scale * len(rows) + 0.4)
        figure = Figure(figsize=size, layout="constrained")
        figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.01, hspace=0.01)
        field = figure.subplots(len(rows), len(columns), squeeze=False)
        for (row, column), axes in np.ndenumerate(field):
            axes.imshow(rows[row][column], cmap="gray" if grey(row, column) else HEAT, vmin=0, vmax=1)
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        for axes, title in zip(field[0], columns, strict=True):
            axes.set_title(title, fontsize=8)
        for axes, label in zip(field[:, 0], labels, strict=True):
            axes.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=8)
    return figure


def first_rows(count: int) -> Callable[[int, int], bool]:
    """For `grid`: the first rows are images."""
    return lambda row, column: row < count


def curves_small(
    panels: Mapping[str, Mapping[str, tuple[str, str]]], table: pd.DataFrame, x: str, *, xlabel: str
) -> Figure:
    """A row of small plots over the same x-axis; each panel maps columns to (legend, colour)."""
    with style():
        figure = Figure(figsize=(3.5 * len(panels), 3.2), layout="constrained")
        for axes, (title, columns) in zip(
            figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
        ):
            handles = _curves(axes, table, x, columns, {})
            axes.set(title=title, xlabel=xlabel)
            axes.grid(alpha=0.25, linewidth=0.6)
            if len(handles) > 1:
                axes.legend(handles=handles)
    return figure


@dataclass(frozen=True)
class Series:
    """A curve: its points, an interval around each, a band and a level beside it; None where there is none."""

    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    colour: str = GREY
    floor: tuple[float, float] | None = None
    chance: float | None = None


def against_rate(accuracy: Series, scores: Mapping[str, Series], *, labels: tuple[str, str, str]) -> Figure:
    """Accuracy on the left scale, scores in [0, 1] on the right one with their bands and levels (dotted)."""
    with style():
        figure = Figure(figsize=(7.2, 3.8), layout="constrained")
        axes = figure.subplots()
        twin = axes.twinx()
        twin.spines["right"].set_visible(True)
        handles = axes.plot(accuracy.x, accuracy.y, "o-", color=accuracy.colour, label="accuracy", markersize=4)
        for number, (name, series) in enumerate(scores.items()):
            line = {"color": series.colour, "label": name, "markersize": 4, "marker": "^sD"[number % 3]}
            handles += twin.plot(series.x, series.y, **line)
            if series.low is not None:
                reach = np.abs(np.array([series.low, series.high]) - np.asarray(series.y))
                twin.errorbar(series.x, series.y, reach, color=series.colour, linestyle="none", capsize=2, linewidth=1)
            if series.floor is not None:
                twin.axhspan(*series.floor, color=series.colour, alpha=0.16, linewidth=0)
            if series.chance is not None:
                twin.axhline(series.chance, color=series.colour, linestyle=":", linewidth=1.2)
        axes.set(xlabel=labels[0], ylabel=labels[1], xticks=list(accuracy.x), ylim=(0, 102))
        twin.set(ylabel=labels[2], ylim=(0, 1.02))
        axes.margins(x=0.1)
        axes.grid(alpha=0.25, linewidth=0.6)
        if any(series.floor is not None for series in scores.values()):
            handles.append(Patch(color=GREY, alpha=0.3, linewidth=0, label="only fine-tuned"))
        if any(series.chance is not None for series in scores.values()):
            handles.append(Line2D([], [], color=GREY, linestyle=":", linewidth=1.2, label="random weights"))
        spacing = {"columnspacing": 1.1, "handlelength": 1.6, "handletextpad": 0.5}
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), **spacing)
    return figure
