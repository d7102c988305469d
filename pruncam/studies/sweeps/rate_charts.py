"""Figures 4, 5 and `kept`: accuracy against the pruning rate, a curve for each data set."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pruncam.report import plots
from pruncam.scoring.controls import FLOOR
from pruncam.studies.sweeps import published
from pruncam.studies.sweeps.experiment import L1
from pruncam.studies.sweeps.styles import DARK, Style, hollow_handle, legend, styles

LOW_RATES = 0.5  # the rates of the zoom
_LIMITS = (-6.0, 2.0)  # of the zoom, in points: claim C1 is about the loss of one
_SHIFT = 0.9  # between the points of two data sets at one rate, in % of the weights


def not_tuned(sweep: pd.DataFrame, names: Mapping[str, str] | None = None) -> Figure:
    """Draw accuracy (Figure 4), and its change at low rates, without fine-tuning.

    `names` are those of the data sets in the legend.
    """
    printed = published.sweep()
    with plots.style():
        figure, rows = _panels(sweep)
        handles: list[Artist] = []
        for group, (left, right) in rows:
            for name in group:
                of_paper = printed[printed["dataset"] == name]
                handles += _accuracy_curve(left, sweep, L1, name, of_paper)
                _change_curve(right, sweep, L1, name, of_paper)
            right.axhline(-1, color=DARK, linewidth=0.8, linestyle="--")
            right.set(ylim=_LIMITS, xlim=(-3, 100 * LOW_RATES + 3))
        rows[0][1][1].set_title(f"up to {100 * LOW_RATES:g} %")
        line = Line2D([], [], color=DARK, linewidth=0.8, linestyle="--", label="one point lost")
        legend(figure, [*handles, hollow_handle("as printed"), line], names)
    return figure


def tuned(sweep: pd.DataFrame, rule: str, names: Mapping[str, str] | None = None) -> Figure:
    """Draw accuracy and its change after fine-tuning (Figure 5: with the masks dropped).

    `names` are those of the data sets in the legend.
    """
    with plots.style():
        figure, rows = _panels(sweep)
        handles: list[Artist] = []
        for group, (left, right) in rows:
            for name in group:
                handles += _accuracy_curve(left, sweep, rule, name)
                _change_curve(right, sweep, rule, name)
        legend(figure, handles, names)
    return figure


Row = tuple[list[str], tuple[Axes, Axes]]  # data sets; panels of accuracy and of its change


def _panels(sweep: pd.DataFrame) -> tuple[Figure, list[Row]]:
    """Return a row of two panels for the paper's data sets and one for the others, if any."""
    of_paper = set(published.sweep()["dataset"])
    names = list(sweep["dataset"].unique())
    papers = [name for name in names if name in of_paper]
    further = [name for name in names if name not in of_paper]
    groups = {"the paper's data sets (or stand-ins)": papers, "further data sets": further}
    groups = {title: group for title, group in groups.items() if group}
    figure = Figure(figsize=(9.4, 3.1 * len(groups) + 0.6), layout="constrained")
    panels = figure.subplots(len(groups), 2, squeeze=False)
    for title, (left, right) in zip(groups, panels, strict=True):
        left.set(title=title, ylabel="accuracy, %", ylim=(0, 102))
        right.set_ylabel("change of accuracy, points")
        right.axhline(0, color=DARK, linewidth=0.8)
        for axes in (left, right):
            axes.grid(alpha=0.25, linewidth=0.6)
            axes.set_xlabel("convolution weights pruned, %")
    return figure, list(zip(groups.values(), map(tuple, panels), strict=True))


def _accuracy_curve(
    axes: Axes,
    sweep: pd.DataFrame,
    rule: str,
    dataset: str,
    printed: pd.DataFrame | None = None,
) -> list[Line2D]:
    """Draw accuracy, from the unpruned network or from the one that was only fine-tuned."""
    points = _points(sweep, rule, dataset)
    style, shift = _style_and_shift(sweep, dataset)
    series = _series(points, ["accuracy", "accuracy_low", "accuracy_high"], style, shift)
    lines = plots.draw_series(axes, series, dataset, style.marker)
    if printed is not None and len(printed):
        baseline = (printed["accuracy"] + printed["acc_drop"]).iloc[0]
        _printed_curve(axes, printed, [baseline, *printed["accuracy"]], style)
    return lines


def _change_curve(
    axes: Axes,
    sweep: pd.DataFrame,
    rule: str,
    dataset: str,
    printed: pd.DataFrame | None = None,
) -> None:
    """Draw the change from the unpruned network's accuracy, in points."""
    points = _points(sweep, rule, dataset)
    style, shift = _style_and_shift(sweep, dataset)
    points = points.assign(change=-points["acc_drop"], least=-points["high"], most=-points["low"])
    series = _series(points, ["change", "least", "most"], style, shift)
    plots.draw_series(axes, series, dataset, style.marker)
    if printed is not None and len(printed):
        _printed_curve(axes, printed, [0, *-printed["acc_drop"]], style)


def _points(sweep: pd.DataFrame, rule: str, dataset: str) -> pd.DataFrame:
    """Return the points of a curve; the first one, at rate 0, is not pruned.

    Where the others are fine-tuned, so is the first.
    """
    of_dataset = sweep[sweep["dataset"] == dataset]
    pruned = of_dataset[of_dataset["rule"] == rule].sort_values("rate")
    floor = of_dataset[of_dataset["rule"] == FLOOR]
    if rule == L1 or floor.empty:
        unpruned = pruned.head(1).assign(rate=0.0, acc_drop=0.0, low=0.0, high=0.0)
        for column in ("", "_low", "_high"):
            unpruned[f"accuracy{column}"] = unpruned[f"baseline{column}"]
        floor = unpruned
    return pd.concat([floor, pruned])


def _style_and_shift(sweep: pd.DataFrame, dataset: str) -> tuple[Style, float]:
    """Return the style of a data set, and how far its points are moved along x.

    Data sets are moved apart, so that their intervals do not hide each other.
    """
    names = list(sweep["dataset"].unique())
    of_paper = set(published.sweep()["dataset"])
    neighbours = [name for name in names if (name in of_paper) == (dataset in of_paper)]
    shift = _SHIFT * (neighbours.index(dataset) - (len(neighbours) - 1) / 2)
    return styles(names)[dataset], shift


def _series(
    points: pd.DataFrame,
    columns: Sequence[str],
    style: Style,
    shift: float,
) -> plots.Series:
    """Return a curve; `columns` are those of its value and of the two ends of its interval."""
    value, low, high = (points[column].to_numpy(dtype=float) for column in columns)
    rates = 100 * points["rate"].to_numpy(dtype=float)
    return plots.Series(x=rates + shift, y=value, low=low, high=high, colour=style.colour)


def _printed_curve(
    axes: Axes,
    printed: pd.DataFrame,
    values: Sequence[float],
    style: Style,
) -> None:
    """Draw the paper's points, hollow; a ring marks the outlying cell.

    `values` are those at rate 0 and at the rates of `printed`.
    """
    rates = np.array([0, *100 * printed["rate"]])
    axes.plot(
        rates,
        values,
        color=style.colour,
        marker=style.marker,
        markerfacecolor="white",
        markersize=6,
        linestyle=":",
        linewidth=1,
    )
    is_flagged = np.array([False, *(printed["flag"] != "")])
    axes.scatter(
        rates[is_flagged],
        np.array(values)[is_flagged],
        s=150,
        facecolor="none",
        edgecolor=style.colour,
        linewidth=1.2,
    )
