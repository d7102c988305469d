"""Kinds of figure that the MNIST IoU study alone has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
    legend_below,
    mark_empty,
    style,
)

# The colours of Okabe and Ito, and as many markers: no curve differs by its colour alone.
_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, GREY, "#E69F00", "#56B4E9")
_MARKERS = "o^sDvPX"


@dataclass(frozen=True)
class Curve:
    """How a column is drawn: its name in the legend, colour and marker.

    A `dashed` curve has hollow markers, so that a curve beneath it can be seen.

    If the table has the standard deviation of the column (`..._sd`), it is drawn as a band, within
    the range of the quantity: accuracies in % lie in [0, 100], all others in [0, 1].
    """

    label: str
    colour: str
    marker: str = "o"
    dashed: bool = False


Curves = Mapping[str, Curve]  # by column


def two_scales(
    table: pd.DataFrame,
    x: str,
    left: Curves,
    right: Curves,
    *,
    labels: tuple[str, str, str],
) -> Figure:
    """Draw curves over one x-axis, with one scale on the left and one on the right.

    `labels` are those of x, left and right axis.
    """
    with style():
        figure = Figure(figsize=(7.2, 3.8), layout="constrained")
        axes = figure.subplots()
        twin = axes.twinx()
        twin.spines["right"].set_visible(True)
        handles = _draw_curves(axes, table, x, left)
        handles += _draw_curves(twin, table, x, right)
        axes.set(xlabel=labels[0], ylabel=labels[1])
        twin.set_ylabel(labels[2])
        axes.grid(alpha=0.25, linewidth=0.6)
        legend_below(figure, handles=handles, columns=len(handles))
    return figure


def small_curves(
    panels: Mapping[str, Curves], table: pd.DataFrame, x: str, *, xlabel: str
) -> Figure:
    """Draw a row of small plots over the same x-axis."""
    with style():
        figure = Figure(figsize=(3.5 * len(panels), 3.2), layout="constrained")
        row = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, (title, curves) in zip(row, panels.items(), strict=True):
            handles = _draw_curves(axes, table, x, curves)
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
                curve = Curve(label, _COLOURS[number], _MARKERS[number])
                handles += _draw_curves(axes, table, x, {column: curve})
            axes.set(title=title, xlabel=xlabel)
            axes.grid(alpha=0.25, linewidth=0.6)
        legend_below(figure, handles=handles, columns=min(len(handles), 3))
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
        left.plot(
            levels,
            iou.median(axis=1),
            color=BLUE,
            marker="o",
            markersize=3.5,
            label=f"median of {iou.shape[1]} seeds",
        )
        left.plot(
            levels,
            iou[list(in_thesis)].mean(axis=1),
            color=ORANGE,
            linestyle="--",
            marker="^",
            markersize=3.5,
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
    is_thesis = seeds["in_thesis"].to_numpy(dtype=bool)
    for number, column in enumerate(columns):
        for selected, colour, marker in ((~is_thesis, BLUE, "o"), (is_thesis, ORANGE, "^")):
            x, y = number + spread[selected], seeds.loc[selected, column]
            axes.scatter(x, y, c=colour, marker=marker, s=18)
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.set_xticks(range(len(columns)), list(columns.values()))
    axes.set(ylabel="Pearson correlation", ylim=(-1.05, 1.05), xlim=(-0.5, 1.5))
    axes.grid(axis="y", alpha=0.25, linewidth=0.6)


def _draw_curves(
    axes: Axes,
    table: pd.DataFrame,
    x: str,
    curves: Curves,
) -> list[Line2D]:
    """Draw a curve for each column, with its band if it has one; return the lines."""
    lines = []
    for column, curve in curves.items():
        lines += axes.plot(
            table[x],
            table[column],
            color=curve.colour,
            label=curve.label,
            linewidth=1.6,
            linestyle="--" if curve.dashed else "-",
            marker=curve.marker,
            markersize=5 if curve.dashed else 3.5,
            markerfacecolor="none" if curve.dashed else curve.colour,
        )
        if f"{column}_sd" in table:
            spread = table[f"{column}_sd"]
            highest = 100.0 if column.startswith("accuracy") else 1.0
            axes.fill_between(
                table[x],
                (table[column] - spread).clip(lower=0),
                (table[column] + spread).clip(upper=highest),
                color=curve.colour,
                alpha=0.15,
                linewidth=0,
            )
    return lines


def correlations_by_cut(
    seeds: pd.DataFrame, means: Mapping[str, pd.DataFrame], *, panels: Sequence[str]
) -> Figure:
    """Draw correlations against the least accuracy of the levels that enter them.

    Left every seed as a point, right the means of seeds with their intervals, a series per entry of
    `means`. All tables have `cut` and `pearson`, `means` also `low` and `high`; `panels` are the
    two titles.
    """
    with style():
        figure = Figure(figsize=(8.6, 3.6), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        cuts = sorted(seeds["cut"].unique())
        _draw_seeds_by_cut(left, seeds, cuts)
        _draw_means_by_cut(right, means, cuts)
        labels = [f"> {cut:.0f}" if cut else "all" for cut in cuts]
        for axes, title in zip((left, right), panels, strict=True):
            axes.axhline(0, color=GREY, linewidth=0.8)
            axes.set_xticks(range(len(cuts)), labels)
            axes.set(title=title, xlabel="accuracy of the levels, %", ylim=(-1.05, 1.05))
            axes.grid(axis="y", alpha=0.25, linewidth=0.6)
        left.set_ylabel("Pearson correlation over levels")
        left.legend(loc="lower left")
        handles, _ = right.get_legend_handles_labels()
        legend_below(figure, handles=handles, columns=4)
    return figure


def _draw_means_by_cut(
    axes: Axes, means: Mapping[str, pd.DataFrame], cuts: Sequence[float]
) -> None:
    """Draw a correlation with its interval for every series, side by side at each cut."""
    width = 0.7 / len(means)
    for number, (label, table) in enumerate(means.items()):
        offset = (number - (len(means) - 1) / 2) * width
        reach = np.abs(table[["low", "high"]].sub(table["pearson"], axis=0)).to_numpy().T
        axes.errorbar(
            [cuts.index(cut) + offset for cut in table["cut"]],
            table["pearson"],
            reach,
            color=_COLOURS[number],
            marker=_MARKERS[number],
            markersize=5,
            linestyle="none",
            capsize=2,
            linewidth=1,
            label=label,
        )


def _draw_seeds_by_cut(axes: Axes, seeds: pd.DataFrame, cuts: Sequence[float]) -> None:
    """Draw the correlation of every seed, side by side at each cut; the thesis's are marked."""
    names = list(seeds["series"].unique())
    spread = np.linspace(-0.3, 0.3, len(names))
    x = [
        cuts.index(cut) + spread[names.index(name)]
        for cut, name in zip(seeds["cut"], seeds["series"], strict=True)
    ]
    position = pd.Series(x, index=seeds.index)
    groups = ((True, ORANGE, "^", "the thesis's seeds"), (False, BLUE, "o", "other seeds"))
    for in_thesis, colour, marker, label in groups:
        selected = seeds["in_thesis"] == in_thesis
        if selected.any():
            points = seeds.loc[selected, "pearson"]
            axes.scatter(position[selected], points, c=colour, marker=marker, s=16, label=label)


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
