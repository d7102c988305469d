"""Figures `complexity` and `limits`: losses and safe rates against the complexity of the data."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pruncam.report import labels, plots
from pruncam.studies.sweeps import published
from pruncam.studies.sweeps.analysis import (
    BEYOND,
    LOSSES,
    OURS,
    PRINTED,
    READINGS,
    UNFLAGGED,
)
from pruncam.studies.sweeps.config import SweepsConfig
from pruncam.studies.sweeps.experiment import L1
from pruncam.studies.sweeps.rate_selection import safe_rate
from pruncam.studies.sweeps.styles import DARK, Style, hollow_handle, legend, styles

_DRAWN_READINGS = ("csg", "csg_relative")
_AXIS_TITLES = {"acc_drop": "points lost", "relative_loss": "lost share of what was above guessing"}


# ---------------------------------------------------------------- losses


def losses(tables: Mapping[str, pd.DataFrame], names: Mapping[str, str] | None = None) -> Figure:
    """Draw the mean loss against CSG and CSG / (K - 1), in points and as a share.

    `names` are those of the data sets in the legend.
    """
    ours = tables["complexity"].merge(tables["mean_losses"], on="dataset").set_index("dataset")
    printed = published.sweep()
    printed = printed[printed["rate"] > BEYOND]
    means = printed.groupby("dataset", sort=False)[[*_DRAWN_READINGS, *LOSSES]].mean()
    with plots.style():
        figure = Figure(figsize=(8.6, 6.4), layout="constrained")
        panels = figure.subplots(2, 2, sharex="col", sharey="row")
        for loss, row in zip(LOSSES, panels, strict=True):
            for reading, axes in zip(_DRAWN_READINGS, row, strict=True):
                _losses_panel(axes, ours, means, reading, loss)
                axes.set_title(_correlations_text(tables["correlations"], reading, loss))
            row[0].set_ylabel(_AXIS_TITLES[loss])
        for reading, axes in zip(_DRAWN_READINGS, panels[1], strict=True):
            axes.set_xlabel(READINGS[reading])
        handles = panels[0, 0].get_legend_handles_labels()[0]
        legend(figure, [*handles, hollow_handle("as printed")], names)
    return figure


def _losses_panel(
    axes: Axes,
    ours: pd.DataFrame,
    printed: pd.DataFrame,
    reading: str,
    loss: str,
) -> None:
    by_dataset = styles([*ours.index, *printed.index])
    for dataset, row in ours.iterrows():
        point = (row[reading], row[loss], row[f"{loss}_low"], row[f"{loss}_high"])
        _point(axes, point, by_dataset[dataset], dataset)
    for dataset, row in printed.iterrows():
        _hollow_point(axes, row[reading], row[loss], by_dataset[dataset])
    axes.set_xscale("log" if reading == "csg" else "linear")
    axes.margins(x=0.15, y=0.12)
    axes.grid(alpha=0.25, linewidth=0.6)


def _point(
    axes: Axes,
    point: tuple[float, float, float, float],
    style: Style,
    label: str,
) -> None:
    """Draw a point (x, y, low, high) with its interval."""
    x, y, low, high = point
    axes.errorbar(
        x,
        y,
        [[max(0.0, y - low)], [max(0.0, high - y)]],
        color=style.colour,
        fmt=style.marker,
        capsize=2,
        label=label,
    )


def _hollow_point(axes: Axes, x: float, y: float, style: Style) -> None:
    """Draw a point of the paper."""
    axes.scatter(
        x,
        y,
        facecolor="white",
        edgecolor=style.colour,
        marker=style.marker,
        s=44,
        zorder=3,
    )


def _correlations_text(correlations: pd.DataFrame, reading: str, loss: str) -> str:
    """Return the rank correlations that belong to a panel."""
    is_mean = correlations["rate"].str.startswith("mean")
    rows = correlations[is_mean & (correlations["reading"] == READINGS[reading])]
    rows = rows[rows["loss"] == LOSSES[loss]]
    texts = [f"{row.source} {row.spearman:.2f} ({row.data_sets} sets)" for row in rows.itertuples()]
    return "Spearman: " + ", ".join(texts)


# ---------------------------------------------------------------- rates


def limits(
    config: SweepsConfig,
    tables: Mapping[str, pd.DataFrame],
    names: Mapping[str, str] | None = None,
) -> Figure:
    """Draw the rate that costs little against CSG, with the line and band of `safe_rate`.

    `names` are those of the data sets in the legend.
    """
    rates = tables["limits"]
    ours = rates[rates["source"] == OURS]
    is_other_stl = (rates["source"] == UNFLAGGED) & (rates["dataset"] == "STL-10")
    printed = rates[(rates["source"] == PRINTED) | is_other_stl]
    by_dataset = styles([*tables["complexity"]["dataset"], *printed["dataset"]])
    with plots.style():
        figure = Figure(figsize=(7.6, 4.4), layout="constrained")
        axes = figure.subplots()
        for row in ours.itertuples():
            interval = (row.csg, 100 * row.rate, 100 * row.low, 100 * row.high)
            _point(axes, interval, by_dataset[row.dataset], _limit_label(row, names or {}))
        for row in printed.itertuples():
            _hollow_point(axes, row.csg, 100 * row.rate, by_dataset[row.dataset])
        _band(axes, config, tables, ours)
        axes.set(xscale="log", xlabel="CSG of the training images", ylim=(0, 102))
        axes.set_ylabel(f"largest rate that loses at most {config.max_loss:g} point, %")
        axes.margins(x=0.15)
        axes.grid(alpha=0.25, linewidth=0.6)
        handles = axes.get_legend_handles_labels()[0]
        legend(figure, [*handles, hollow_handle("as printed")])
        _name_outlying_cell(axes, rates[is_other_stl], ours)
    return figure


def _limit_label(row: Any, names: Mapping[str, str]) -> str:
    """Return the name of a data set, with a note if it never loses as much."""
    name = names.get(row.dataset, row.dataset)
    return name if row.lost else f"{name}, or more"


def _name_outlying_cell(axes: Axes, printed: pd.DataFrame, ours: pd.DataFrame) -> None:
    """Write beside the paper's second point of STL-10 what makes it differ from the first."""
    points = np.stack([printed["csg"], 100 * printed["rate"]], axis=1)
    bars = [
        np.array([[row.csg, 100 * row.low], [row.csg, 100 * row.high]]) for row in ours.itertuples()
    ]
    names = ["without the outlying cell"] * len(points)
    labels.write(axes, points, names, around=bars, size=7)


def _band(
    axes: Axes,
    config: SweepsConfig,
    tables: Mapping[str, pd.DataFrame],
    ours: pd.DataFrame,
) -> None:
    """Draw the line through our data sets, and its interval if there are enough of them."""
    if ours["csg"].nunique() < 2:
        return
    sweep = tables["sweep"].merge(tables["complexity"][["dataset", "csg"]], on="dataset")
    sweep = sweep[(sweep["rule"] == L1) & sweep["dataset"].isin(ours["dataset"])]
    x = np.geomspace(ours["csg"].min(), ours["csg"].max(), 60)
    rates = [safe_rate(sweep, csg, config.max_loss) for csg in x]
    axes.plot(
        x,
        [100 * rate.rate for rate in rates],
        color=DARK,
        linewidth=1.2,
    )
    if not np.isnan(rates[0].low):
        low = [100 * rate.low for rate in rates]
        high = [100 * rate.high for rate in rates]
        axes.fill_between(
            x,
            low,
            high,
            color=DARK,
            alpha=0.12,
            linewidth=0,
        )
