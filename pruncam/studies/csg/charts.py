"""Kinds of figure that the CSG study alone has: image rows, curves with spread, values by row."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from pruncam.report.plots import BLUE, GREEN, GREY, ORANGE, PURPLE, legend_below, style

# Of data sets, in order.
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, GREY, "#56B4E9", "#E69F00")
MARKERS = "osD^vPX"
_SPREAD = 1.12  # factor between the places of the first and the last curve at one x
_MAX_TICKS = 8  # labelled values of a logarithmic axis
_LEVEL_STYLES = {"": "-", "train": "--", "test": ":"}  # by split; "" if it is not stated
_LEVEL_NAMES = {
    "": "printed, split not stated",
    "train": "printed, training split",
    "test": "printed, test split",
}


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
    marker: str
    dashed: bool = False


def curves(panels: Mapping[str, Sequence[SpreadCurve]], *, ylabel: str) -> Figure:
    """Draw curves in panels with logarithmic axes, whose x-labels are the panels' names.

    Bars show one standard deviation. Points at the same x are drawn side by side.
    """
    width = max(6.8, 4.4 * len(panels))
    with style():
        figure = Figure(figsize=(width, 4), layout="constrained")
        row = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
        handles: dict[str, ErrorbarContainer | Line2D] = {}
        for axes, (xlabel, panel) in zip(row, panels.items(), strict=True):
            axes.set(xlabel=xlabel, xscale="log", yscale="log")
            shifts = np.geomspace(_SPREAD**-0.5, _SPREAD**0.5, len(panel))
            for curve, shift in zip(panel, shifts, strict=True):
                handles.setdefault(curve.name, _draw_curve(axes, curve, shift))
            _label_values(axes, panel)
            _label_in_numbers(axes.yaxis)
            axes.grid(alpha=0.25, linewidth=0.6)
        row[0].set_ylabel(ylabel)
        if any(curve.dashed for panel in panels.values() for curve in panel):
            handles["test split"] = _test_split_handle()
        legend_below(figure, handles=list(handles.values()), labels=list(handles), columns=4)
    return figure


def _draw_curve(axes: Axes, curve: SpreadCurve, shift: float) -> ErrorbarContainer:
    return axes.errorbar(
        np.asarray(curve.x) * shift,
        curve.y,
        curve.spread,
        color=curve.colour,
        linestyle="--" if curve.dashed else "-",
        marker=curve.marker,
        markerfacecolor="white" if curve.dashed else curve.colour,
        markersize=4.5,
        linewidth=1.2,
        elinewidth=1,
        capsize=1.5,
    )


def _test_split_handle() -> Line2D:
    return Line2D(
        [],
        [],
        color="black",
        linestyle="--",
        linewidth=1.2,
        marker="o",
        markerfacecolor="white",
        markersize=4.5,
    )


def _label_values(axes: Axes, panel: Sequence[SpreadCurve]) -> None:
    """Label the x-values themselves if they are few."""
    ticks = sorted({x for curve in panel for x in curve.x})
    if len(ticks) <= _MAX_TICKS:
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
    else:
        _label_in_numbers(axes.xaxis)


def _label_in_numbers(axis: Axis) -> None:
    """Label a logarithmic axis at 1, 2, 5, 10, ... in plain numbers."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


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
    size = (3.1 * len(panels) + 1.2, 0.34 * len(rows) + 1.8)
    with style():
        figure = Figure(figsize=size, layout="constrained")
        all_axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
        for axes, (title, panel) in zip(all_axes, panels.items(), strict=True):
            for value in panel.values:
                _draw_value(axes, value, rows.index(value.row))
            for split, level in panel.levels.items():
                axes.axvline(level, **_level_style(split))
            axes.set(title=title, xlabel=xlabel, xscale="log")
            _label_in_numbers(axes.xaxis)
            axes.grid(alpha=0.25, linewidth=0.6, axis="x")
        all_axes[-1].set_yticks(range(len(rows)), rows)
        all_axes[-1].invert_yaxis()
        legend_below(figure, handles=_handles_of_rows(panels.values()), columns=3)
    return figure


def _handles_of_rows(panels: Iterable[RowPanel]) -> list[Line2D]:
    """Return the handles of a legend: full and hollow points, and the levels that occur."""
    levels = {split for panel in panels for split in panel.levels}
    handles = [
        Line2D([], [], **_point_style(hollow), label=f"ours, {split} split")
        for split, hollow in {"training": False, "test": True}.items()
    ]
    for split, name in _LEVEL_NAMES.items():
        if split in levels:
            handles.append(Line2D([], [], **_level_style(split), label=name))
    return handles


def _level_style(split: str) -> dict[str, Any]:
    return {"color": ORANGE, "linestyle": _LEVEL_STYLES[split], "linewidth": 1.2}


def _point_style(hollow: bool) -> dict[str, Any]:
    return {
        "color": BLUE,
        "markerfacecolor": "white" if hollow else BLUE,
        "marker": "o",
        "markersize": 4.5,
        "linewidth": 1.2,
    }


def _draw_value(axes: Axes, value: RowValue, row: int) -> None:
    axes.errorbar(
        value.value,
        row + (0.14 if value.hollow else -0.14),
        xerr=value.spread,
        capsize=2,
        **_point_style(value.hollow),
    )
