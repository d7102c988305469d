"""Kinds of figure that the CSG study alone has: image rows, curves with spread, values by row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from pruncam.report.plots import BLUE, GREEN, GREY, ORANGE, PURPLE, style

COLOURS = (BLUE, ORANGE, GREEN, PURPLE, GREY, "#56B4E9", "#E69F00")  # of data sets, in order
_MAX_TICKS = 8  # labelled values of a logarithmic axis
_LEVEL_STYLES = {"train": "--", "test": ":"}  # by split; solid if it is not stated


def image_rows(
    rows: Sequence[Sequence[np.ndarray]],
    names: Sequence[Sequence[str]],
    *,
    other: Sequence[Sequence[bool]],
) -> Figure:
    """Draw rows of images (H, W) or (H, W, 3) in [0, 1], each under its name.

    The first name of a row is bold; names of `other` images are orange.
    """
    height, width = len(rows), len(rows[0])
    with style():
        # All cells are alike, so no layout engine is needed.
        figure = Figure(figsize=(1.12 * width, 1.32 * height))
        figure.subplots_adjust(
            left=0,
            right=1,
            bottom=0,
            top=1 - 0.17 / height,
            wspace=0.08,
            hspace=0.22,
        )
        cells = figure.subplots(height, width, squeeze=False)
        for (row, column), axes in np.ndenumerate(cells):
            axes.imshow(
                rows[row][column],
                cmap="gray",
                vmin=0,
                vmax=1,
            )
            colour = ORANGE if other[row][column] else "black"
            weight = "bold" if column == 0 else "normal"
            axes.set_title(
                names[row][column],
                fontsize=8,
                color=colour,
                weight=weight,
            )
            axes.set_axis_off()
    return figure


@dataclass(frozen=True)
class SpreadCurve:
    """Points of a data set with a spread around each; `dashed` marks its test split."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    spread: Sequence[float]
    colour: str
    dashed: bool = False


def curves(
    panels: Mapping[str, Sequence[SpreadCurve]],
    *,
    ylabel: str,
    log: bool = False,
) -> Figure:
    """Draw curves in panels with logarithmic x-axes, whose labels are the panels' names.

    Bars show one standard deviation.
    """
    width = max(6.4, 4.2 * len(panels))
    with style():
        figure = Figure(figsize=(width, 3.7), layout="constrained")
        row = figure.subplots(1, len(panels), squeeze=False)[0]
        handles: dict[str, ErrorbarContainer | Line2D] = {}
        for axes, (xlabel, panel) in zip(row, panels.items(), strict=True):
            for curve in panel:
                handles.setdefault(curve.name, _draw_curve(axes, curve))
            yscale = "log" if log else "linear"
            axes.set(xlabel=xlabel, ylabel=ylabel, xscale="log", yscale=yscale)
            _label_values(axes, panel)
            axes.grid(alpha=0.25, linewidth=0.6)
        if any(curve.dashed for panel in panels.values() for curve in panel):
            handles["test split"] = Line2D(
                [],
                [],
                color="black",
                linestyle="--",
                linewidth=1.4,
            )
        figure.legend(
            handles.values(),
            handles.keys(),
            loc="outside lower center",
            ncols=4,
        )
    return figure


def _draw_curve(axes: Axes, curve: SpreadCurve) -> ErrorbarContainer:
    return axes.errorbar(
        curve.x,
        curve.y,
        curve.spread,
        color=curve.colour,
        linestyle="--" if curve.dashed else "-",
        marker="o",
        markersize=3.5,
        linewidth=1.4,
        capsize=2,
    )


def _label_values(axes: Axes, panel: Sequence[SpreadCurve]) -> None:
    """Label the x-values themselves if they are few."""
    ticks = sorted({x for curve in panel for x in curve.x})
    if len(ticks) <= _MAX_TICKS:
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()


@dataclass(frozen=True)
class RowValue:
    """A measured value with its spread, in a row of a panel; hollow for the test split."""

    row: str
    value: float
    spread: float
    hollow: bool


@dataclass(frozen=True)
class RowPanel:
    """A panel of measured values, with levels by split that they are compared with."""

    values: Sequence[RowValue]
    levels: Mapping[str, float]


def values_by_row(panels: Mapping[str, RowPanel], *, xlabel: str) -> Figure:
    """Draw values in named rows over a logarithmic x-axis, a panel per data set.

    Levels are vertical lines: "train" dashed, "test" dotted.
    """
    values = [value for panel in panels.values() for value in panel.values]
    rows = list(dict.fromkeys(value.row for value in values))
    size = (3.1 * len(panels) + 1.2, 0.34 * len(rows) + 1.5)
    with style():
        figure = Figure(figsize=size, layout="constrained")
        all_axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
        for axes, (title, panel) in zip(all_axes, panels.items(), strict=True):
            for value in panel.values:
                _draw_value(axes, value, rows.index(value.row))
            for split, level in panel.levels.items():
                linestyle = _LEVEL_STYLES.get(split, "-")
                axes.axvline(level, color=ORANGE, linestyle=linestyle, linewidth=1.2)
            axes.set(title=title, xlabel=xlabel, xscale="log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter("{x:g}")
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.grid(alpha=0.25, linewidth=0.6, axis="x")
        all_axes[-1].set_yticks(range(len(rows)), rows)
        all_axes[-1].invert_yaxis()
    return figure


def _draw_value(axes: Axes, value: RowValue, row: int) -> None:
    axes.errorbar(
        value.value,
        row + (0.14 if value.hollow else -0.14),
        xerr=value.spread,
        color=BLUE,
        markerfacecolor="white" if value.hollow else BLUE,
        marker="o",
        markersize=4.5,
        linewidth=1.2,
        capsize=2,
    )
