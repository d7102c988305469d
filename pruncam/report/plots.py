"""Style, colours and kinds of figure that several parts of the project use.

Figures are plain matplotlib objects, unknown to pyplot's global state.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from pruncam._core.extras import needed_for
from pruncam.report import rendering
from pruncam.report.alt_text import describe

# Okabe and Ito's colours, which readers with colour blindness can tell apart.
BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#6E6E6E"
MARKERS = "os^DvPX*"  # of curves and points, which differ by more than their colour
HEAT = "inferno"
EMPTY_TEXT = "no positive evidence"  # on a heatmap that is empty
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
def style() -> Iterator[None]:
    """Apply the project's style to the figures made inside."""
    with mpl.rc_context(STYLE):
        yield


def show(figure: Figure) -> None:
    """Display a figure in a notebook, with what is seen in it as its alternative text."""
    with needed_for("showing a figure in a notebook", "notebooks"):
        from IPython.display import Image, display

    image = rendering.for_notebook(rendering.lay_out(figure))
    display(Image(image, alt=describe(figure)))


# ---------------------------------------------------------------- grids of images


def grid(
    rows: Sequence[Sequence[np.ndarray]],
    *,
    columns: Sequence[str],
    labels: Sequence[str],
    grey: Callable[[int, int], bool],
    scale: float = 1.0,
    empty: Collection[tuple[int, int]] = (),
) -> Figure:
    """Draw images and heatmaps in a table; empty heatmaps are marked in words.

    Parameters
    ----------
    rows : images (H, W) or (H, W, 3), in [0, 1]
    columns, labels : titles of the columns and names of the rows
    grey : function of row and column that says which (H, W) are images, drawn in grey; the others
        are heatmaps
    scale : factor that enlarges all
    empty : (row, column) of the cells that show an empty heatmap over its image; heatmaps (H, W)
        are examined here
    """
    label_width = 0.9 if any(labels) else 0.1
    width = 0.86 * scale * len(columns) + label_width
    height = 0.86 * scale * len(rows) + 0.4
    with style():
        layout = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=0.01, hspace=0.01)
        figure = Figure(figsize=(width, height), layout=layout)
        panels = figure.subplots(len(rows), len(columns), squeeze=False)
        for (row, column), axes in np.ndenumerate(panels):
            colours = "gray" if grey(row, column) else HEAT
            image = rows[row][column]
            axes.imshow(image, cmap=colours, vmin=0, vmax=1)
            is_heatmap = image.ndim == 2 and not grey(row, column)
            if (row, column) in empty or (is_heatmap and is_empty(image)):
                mark_empty(axes)
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        for axes, title in zip(panels[0], columns, strict=True):
            axes.set_title(title, fontsize=8)
        for axes, label in zip(panels[:, 0], labels, strict=True):
            axes.set_ylabel(
                label,
                rotation=0,
                ha="right",
                va="center",
                fontsize=8,
            )
    return figure


def is_empty(heatmap: np.ndarray) -> bool:
    """Return whether a heatmap (H, W) is constant, such as all zero: it explains nothing."""
    return bool(heatmap.min() == heatmap.max())


def empty_cells(heatmaps: Sequence[Sequence[np.ndarray | None]]) -> list[tuple[int, int]]:
    """Return (row, column) of the empty heatmaps in rows of heatmaps (H, W), for `grid`.

    None stands for a cell that shows no heatmap.

    Examples
    --------
    >>> empty_cells([[None, np.zeros((2, 2))], [None, np.eye(2)]])
    [(0, 1)]
    """
    return [
        (number, column)
        for number, row in enumerate(heatmaps)
        for column, heatmap in enumerate(row)
        if heatmap is not None and is_empty(heatmap)
    ]


def mark_empty(axes: Axes) -> None:
    """Write on a panel that its heatmap is empty."""
    axes.text(
        0.5,
        0.5,
        EMPTY_TEXT.replace(" ", "\n"),
        transform=axes.transAxes,
        ha="center",
        va="center",
        fontsize=7,
        color="black",
        bbox={"facecolor": "white", "alpha": 0.85, "edgecolor": "none", "pad": 1.5},
    )


def first_rows(count: int) -> Callable[[int, int], bool]:
    """Return a function for `grid` by which the first `count` rows are images."""
    return lambda row, column: row < count


# ---------------------------------------------------------------- curves against a rate


@dataclass(frozen=True)
class Series:
    """A curve: its points and, optionally, an interval around each, a band and a level beside it.

    `floor` is the band of networks that were only fine-tuned, `chance` the level of random weights
    or of shuffled maps; `printed` are the points (x, y) that the paper prints.
    """

    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    colour: str = GREY
    floor: tuple[float, float] | None = None
    chance: float | None = None
    printed: tuple[Sequence[float], Sequence[float]] = ((), ())


def against_rate(
    accuracy: Series, scores: Mapping[str, Series], *, labels: tuple[str, str, str]
) -> Figure:
    """Draw accuracy in % on the left scale and scores in [0, 1] on the right one.

    Curves come with their intervals, bands, levels (dotted) and the paper's points (open markers).
    `labels` are those of x, left and right axis.
    """
    with style():
        figure = Figure(figsize=(7.2, 3.8), layout="constrained")
        axes = figure.subplots()
        twin = axes.twinx()
        twin.spines["right"].set_visible(True)
        handles: list[Artist] = []
        handles += draw_series(axes, accuracy, "accuracy", marker="o")
        for number, (name, series) in enumerate(scores.items()):
            lines = draw_series(twin, series, name, marker=MARKERS[1 + number])
            handles += lines if len(series.x) else []  # the paper's points alone
        axes.set(xlabel=labels[0], ylabel=labels[1], xticks=list(accuracy.x), ylim=(0, 102))
        twin.set(ylabel=labels[2], ylim=(0, 1.02))
        axes.margins(x=0.1)
        axes.grid(alpha=0.25, linewidth=0.6)
        handles += reference_handles([accuracy, *scores.values()])
        legend_below(
            figure,
            handles=handles,
            columns=len(handles),
            columnspacing=1.1,
            handlelength=1.6,
            handletextpad=0.5,
        )
    return figure


def legend_below(figure: Figure, *, columns: int, **options: Any) -> None:
    """Write a legend below the panels, in as many columns as fit the figure, `columns` at most.

    `options` are those of `Figure.legend`.
    """
    for count in range(columns, 0, -1):
        legend = figure.legend(loc="outside lower center", ncols=count, **options)
        if count == 1 or legend.get_window_extent().width <= figure.bbox.width:
            return
        legend.remove()


def draw_series(axes: Axes, series: Series, name: str, marker: str) -> list[Line2D]:
    """Draw a curve with all that belongs to it; return its line, for a legend."""
    colour = series.colour
    lines = axes.plot(
        series.x,
        series.y,
        color=colour,
        label=name,
        markersize=4,
        marker=marker,
    )
    if series.low is not None and series.high is not None:
        reach = np.abs(np.array([series.low, series.high]) - np.asarray(series.y))
        axes.errorbar(
            series.x,
            series.y,
            reach,
            color=colour,
            linestyle="none",
            capsize=2,
            linewidth=1,
        )
    axes.plot(
        *series.printed,
        color=colour,
        marker=marker,
        markerfacecolor="none",
        markersize=7,
        linestyle="none",
    )
    if series.floor is not None:
        edge = (colour, 0.5)  # so that a narrow band is seen, too
        axes.axhspan(*series.floor, facecolor=(colour, 0.16), edgecolor=edge, linewidth=0.8)
    if series.chance is not None:
        axes.axhline(series.chance, color=colour, linestyle=":", linewidth=1.2)
    return lines


def reference_handles(curves: Sequence[Series]) -> list[Artist]:
    """Return the handles that a legend needs for bands, levels and the paper's points."""
    handles: list[Artist] = []
    if any(series.floor is not None for series in curves):
        handles.append(Patch(color=GREY, alpha=0.3, linewidth=0, label="only fine-tuned"))
    if any(series.chance is not None for series in curves):
        line = Line2D([], [], color=GREY, linestyle=":", linewidth=1.2, label="chance")
        handles.append(line)
    if any(len(series.printed[0]) for series in curves):
        points = Line2D(
            [], [], color=GREY, marker="o", markerfacecolor="none", linestyle="none", label="paper"
        )
        handles.append(points)
    return handles
