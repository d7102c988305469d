"""Kinds of figure that the MNIST IoU study alone has."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pruncam.report.plots import (
    BLUE,
    GREEN,
    GREY,
    HEAT,
    ORANGE,
    PURPLE,
    is_empty,
    mark_empty,
    style,
)

Curves = Mapping[str, tuple[str, str]]  # legend and colour, by column
_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, GREY, "#E69F00", "#56B4E9")  # of Okabe and Ito


def two_scales(
    table: pd.DataFrame,
    x: str,
    left: Curves,
    right: Curves,
    *,
    labels: tuple[str, str, str],
    bands: Mapping[str, str] | None = None,
    title: str = "",
) -> Figure:
    """Draw curves over one x-axis, with one scale on the left and one on the right.

    `bands` maps a column to the one with its standard deviation; a band stops at 0, as no quantity
    here is negative. `labels` are those of x, left and right axis.
    """
    with style():
        figure = Figure(figsize=(7.2, 3.8), layout="constrained")
        axes = figure.subplots()
        twin = axes.twinx()
        twin.spines["right"].set_visible(True)
        handles = _draw_curves(
            axes,
            table,
            x,
            left,
            bands or {},
        )
        handles += _draw_curves(
            twin,
            table,
            x,
            right,
            bands or {},
        )
        axes.set(xlabel=labels[0], ylabel=labels[1], title=title)
        twin.set_ylabel(labels[2])
        axes.grid(alpha=0.25, linewidth=0.6)
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def small_curves(
    panels: Mapping[str, Curves], table: pd.DataFrame, x: str, *, xlabel: str
) -> Figure:
    """Draw a row of small plots over the same x-axis."""
    with style():
        figure = Figure(figsize=(3.5 * len(panels), 3.2), layout="constrained")
        row = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, (title, curves) in zip(row, panels.items(), strict=True):
            handles = _draw_curves(
                axes,
                table,
                x,
                curves,
                {},
            )
            axes.set(title=title, xlabel=xlabel)
            axes.grid(alpha=0.25, linewidth=0.6)
            if len(handles) > 1:
                axes.legend(handles=handles)
    return figure


def panels_of_columns(
    tables: Mapping[str, pd.DataFrame], panels: Mapping[str, str], x: str, *, xlabel: str
) -> Figure:
    """Draw a small plot per column, with a curve per table; `panels` maps columns to titles."""
    with style():
        figure = Figure(figsize=(3.5 * len(panels), 3.6), layout="constrained")
        row = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, (column, title) in zip(row, panels.items(), strict=True):
            handles = []
            for number, (label, table) in enumerate(tables.items()):
                curve = {column: (label, _COLOURS[number])}
                handles += _draw_curves(axes, table, x, curve, {})
            axes.set(title=title, xlabel=xlabel)
            axes.grid(alpha=0.25, linewidth=0.6)
        columns = min(len(handles), 3)
        figure.legend(handles=handles, loc="outside lower center", ncols=columns)
    return figure


def seed_bands(
    iou: pd.DataFrame, seeds: pd.DataFrame, in_thesis: Sequence[int], *, working: float
) -> Figure:
    """Draw the IoU of many seeds as bands over the levels, and the correlation of each seed.

    `iou` has a row per level and a column per seed; `seeds` is the study's table by seed.
    """
    with style():
        figure = Figure(figsize=(8.6, 3.4), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(3, 2))
        levels = iou.index
        for low, high, alpha in ((0, 1, 0.15), (0.1, 0.9, 0.3)):
            lower, upper = iou.quantile(low, axis=1), iou.quantile(high, axis=1)
            left.fill_between(levels, lower, upper, color=BLUE, alpha=alpha, linewidth=0)
        left.plot(levels, iou.median(axis=1), color=BLUE, label=f"median of {iou.shape[1]} seeds")
        left.plot(
            levels,
            iou[list(in_thesis)].mean(axis=1),
            color=ORANGE,
            linestyle="--",
            label="mean of the thesis's seeds",
        )
        left.set(xlabel="pruning level", ylabel="soft IoU")
        left.legend()
        _draw_correlations(right, seeds, working)
    return figure


def _draw_correlations(axes: Axes, seeds: pd.DataFrame, working: float) -> None:
    """Draw the correlations of each seed as points, over all levels and over those that work."""
    columns = {"pearson_all": "all levels", "pearson_working": f"above {working:.0f} %"}
    spread = np.linspace(-0.25, 0.25, len(seeds))
    for number, column in enumerate(columns):
        colours = np.where(seeds["in_thesis"], ORANGE, BLUE)
        axes.scatter(number + spread, seeds[column], c=colours, s=18)
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.set_xticks(range(len(columns)), list(columns.values()))
    axes.set(ylabel="Pearson correlation", ylim=(-1.05, 1.05), xlim=(-0.5, 1.5))
    axes.grid(axis="y", alpha=0.25, linewidth=0.6)


def _draw_curves(
    axes: Axes,
    table: pd.DataFrame,
    x: str,
    curves: Curves,
    bands: Mapping[str, str],
) -> list[Line2D]:
    """Draw a curve for each column, with its band if it has one; return the lines."""
    lines = []
    for number, (column, (label, colour)) in enumerate(curves.items()):
        lines += axes.plot(
            table[x],
            table[column],
            color=colour,
            label=label,
            linewidth=1.6,
            marker="o^s"[number % 3],
            markersize=3.5,
        )
        if column in bands:
            spread = table[bands[column]]
            low = (table[column] - spread).clip(lower=0)
            high = table[column] + spread
            axes.fill_between(
                table[x],
                low,
                high,
                color=colour,
                alpha=0.18,
                linewidth=0,
            )
    return lines


def scatter(
    panels: Mapping[str, pd.DataFrame],
    x: str,
    y: str,
    *,
    labels: tuple[str, str],
    colour_by: tuple[str, str],
    notes: Mapping[str, str],
) -> Figure:
    """Draw one scatter plot per panel, with a common colour bar.

    `colour_by` is a column and its label; `notes` are written into the panels' corners.
    """
    column, colour_label = colour_by
    values = pd.concat(panels.values())[column]
    with style():
        figure = Figure(figsize=(3.7 * len(panels), 3.5), layout="constrained")
        row = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, (title, table) in zip(row, panels.items(), strict=True):
            points = axes.scatter(
                table[x],
                table[y],
                c=table[column],
                cmap="viridis",
                s=22,
                vmin=values.min(),
                vmax=values.max(),
            )
            axes.set(title=title, xlabel=labels[0], ylabel=labels[1])
            note = notes.get(title, "")
            axes.text(
                0.03,
                0.97,
                note,
                transform=axes.transAxes,
                va="top",
                fontsize=8,
            )
            axes.grid(alpha=0.25, linewidth=0.6)
        figure.colorbar(points, ax=list(row), label=colour_label)
    return figure


def triptych(
    image: np.ndarray,
    noisy: np.ndarray,
    heatmap: np.ndarray,
    *,
    titles: Sequence[str],
    title: str,
) -> Figure:
    """Draw an image, its noisy copy and its heatmap side by side, as in the thesis."""
    panels = ((image, "gray"), (noisy, "gray"), (heatmap, HEAT))
    with style():
        figure = Figure(figsize=(6.6, 2.6), layout="constrained")
        row = figure.subplots(1, 3)
        for axes, (values, colours), label in zip(row, panels, titles, strict=True):
            last_image = axes.imshow(values, cmap=colours, vmin=0, vmax=1)
            axes.set_title(label)
            axes.set_axis_off()
        if is_empty(heatmap):
            mark_empty(row[2])
        figure.colorbar(last_image, ax=row[2], shrink=0.8, label="heatmap")
        figure.suptitle(title, fontsize=10)
    return figure
