"""Figures that need the saved results of two studies."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pruncam import cams, metrics
from pruncam.report import plots

_COLOURS = (plots.BLUE, plots.ORANGE, plots.GREEN)
_CROSSED = {  # name, columns of accuracy and score drop, colour and marker
    "Sp2PS": ("acc_drop", "sp2ps_drop", plots.BLUE, "o"),
    "PE": ("pe_paper_acc_drop", "pe_drop", plots.ORANGE, "s"),
}
_LARGEST_DROP = 7.5  # points of accuracy drop; the largest printed one is 6.77


def draw_crossed(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw Tables 1 to 3, by CAM method: both scores' drops against the accuracy drop."""
    with plots.style():
        figure = Figure(figsize=(3.2 * len(tables), 3.2), layout="constrained")
        (row,) = figure.subplots(1, len(tables), squeeze=False, sharey=True)
        for axes, (method, table) in zip(row, tables.items(), strict=True):
            for name, columns in _CROSSED.items():
                _draw_published_and_ours(axes, table, name, columns)
            axes.set(title=cams.METHODS[method].title, xlabel="accuracy drop, points")
            axes.set(xlim=(-0.5, _LARGEST_DROP), ylim=(0, 102))
            axes.grid(alpha=0.25, linewidth=0.6)
        row[0].set_ylabel("drop of the score, %")
        handles, labels = row[0].get_legend_handles_labels()
        plots.legend_below(figure, handles=handles, labels=labels, columns=4)
    return figure


def _draw_published_and_ours(
    axes: Axes, table: pd.DataFrame, name: str, columns: tuple[str, str, str, str]
) -> None:
    x, y, colour, marker = columns
    style = {"color": colour, "marker": marker, "linestyle": "none"}
    axes.plot(
        table[x], table[y], label=f"{name}, printed", markersize=6, markerfacecolor="none", **style
    )
    ours = table[[f"{x}_ours", f"{y}_ours"]].dropna().to_numpy()
    ours = ours[np.argsort(ours[:, 0], kind="stable")]
    within = ours[:, 0] <= _LARGEST_DROP
    axes.plot(*ours[within].T, label=f"{name}, ours", markersize=4, **style)
    for _, drop in ours[~within]:
        axes.annotate(
            "",
            xy=(_LARGEST_DROP, drop),
            xytext=(_LARGEST_DROP - 0.7, drop),
            arrowprops={"arrowstyle": "->", "color": colour},
        )


def draw_same_models(table: pd.DataFrame, scores: Sequence[str]) -> Figure:
    """Draw the drops of several scores against the accuracy drop, by network and CAM method."""
    networks = table["network"].unique()
    methods = table["method"].unique()
    rules = table["rule"].unique()
    markers = dict(zip(rules, plots.MARKERS, strict=False))
    colours = dict(zip(scores, _COLOURS, strict=True))
    with plots.style():
        size = (3.0 * len(methods), 2.6 * len(networks))
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(len(networks), len(methods), squeeze=False, sharey=True)
        for (row, column), axes in np.ndenumerate(panels):
            network, method = networks[row], methods[column]
            models = table[(table["network"] == network) & (table["method"] == method)]
            _draw_models(axes, models, colours, markers)
            axes.set_title(f"{cams.METHODS[method].title}\n{network}")
        for axes in panels[:, 0]:
            axes.set_ylabel("drop of the score, %")
        for axes in panels[-1]:
            axes.set_xlabel("accuracy drop, points")
        handles = _handles(colours, markers)
        plots.legend_below(figure, handles=handles, columns=4)
    return figure


def _draw_models(
    axes: Axes, models: pd.DataFrame, colours: Mapping[str, str], markers: Mapping[str, str]
) -> None:
    for (rule, is_collapsed), part in models.groupby(["rule", "collapsed"], sort=False):
        for score, colour in colours.items():
            axes.plot(
                part["acc_drop"],
                part[f"{score}_drop"],
                color=colour,
                marker=markers[rule],
                markerfacecolor="none" if is_collapsed else colour,
                markersize=4,
                linestyle="none",
                alpha=0.8,
            )
    axes.set_ylim(0, 102)
    axes.grid(alpha=0.25, linewidth=0.6)


def _handles(colours: Mapping[str, str], markers: Mapping[str, str]) -> list[Line2D]:
    """Return the handles of a legend: the colours of the scores, the markers of the rules."""
    of_scores = [
        Line2D([], [], color=colour, linewidth=4, label=metrics.SCORES[score])
        for score, colour in colours.items()
    ]
    of_rules = [
        Line2D([], [], color=plots.GREY, marker=marker, linestyle="none", label=rule)
        for rule, marker in markers.items()
    ]
    return [*of_scores, *of_rules]
