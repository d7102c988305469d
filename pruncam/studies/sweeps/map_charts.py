"""Figure `maps`: accuracy and heatmaps against the pruning rate, without fine-tuning."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pruncam import cams
from pruncam.report import plots
from pruncam.scoring.controls import FLOOR
from pruncam.studies.figures import score_series
from pruncam.studies.sweeps.experiment import L1
from pruncam.studies.sweeps.styles import legend

_PANELS_PER_ROW = 4


def maps(tables: Mapping[str, pd.DataFrame], names: Mapping[str, str] | None = None) -> Figure:
    """Draw what is left of accuracy and heatmaps, a panel for each data set.

    Bands are the Sp2PS of the network that was only fine-tuned, dotted lines the chance level.
    `tables` has "maps" and "controls"; `names` are the titles of the panels by data set.
    """
    names = names or {}
    datasets = list(tables["maps"]["dataset"].unique())
    rows = -(-len(datasets) // _PANELS_PER_ROW)
    columns = -(-len(datasets) // rows)
    with plots.style():
        figure = Figure(figsize=(2.6 * columns + 0.3, 2.4 * rows + 0.5), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
        panels = grid.ravel()
        for axes, dataset in zip(panels, datasets, strict=False):
            curves = _curves(tables, dataset)
            lines = _panel(axes, curves)
            axes.set_title(names.get(dataset, dataset))
        for axes in panels[len(datasets) :]:
            axes.set_axis_off()
        for axes in panels[len(datasets) - columns : len(datasets)]:
            axes.set_xlabel("weights pruned, %")
        for axes in grid[:, 0]:
            axes.set_ylabel("share of accuracy; Sp2PS")
        handles = [*lines, *plots.reference_handles(list(curves.values()))]
        legend(figure, handles)
    return figure


def _panel(axes: Axes, curves: Mapping[str, plots.Series]) -> list[Line2D]:
    """Draw the curves of a data set; return their lines."""
    lines = []
    for number, (name, series) in enumerate(curves.items()):
        lines += plots.draw_series(axes, series, name, plots.MARKERS[number])
    axes.set(ylim=(-0.02, 1.08))
    axes.grid(alpha=0.25, linewidth=0.6)
    return lines


def _curves(tables: Mapping[str, pd.DataFrame], dataset: str) -> dict[str, plots.Series]:
    """Return the curves of a data set by the names of the legend, accuracy first."""
    scores = tables["maps"][tables["maps"]["dataset"] == dataset]
    controls = tables["controls"][tables["controls"]["dataset"] == dataset]
    curves = {}
    for method, of_method in scores.groupby("method", sort=False, observed=True):
        pruned = of_method[of_method["rule"] == L1].sort_values("rate")
        curves.setdefault("accuracy that is left", _accuracy(pruned))
        unpruned = pruned.head(1).assign(rate=0.0, sp2ps=1.0, sp2ps_low=1.0, sp2ps_high=1.0)
        points = pd.concat([unpruned, pruned])
        levels = of_method[of_method["rule"] == FLOOR], controls[controls["method"] == method]
        title = f"Sp2PS, {cams.METHODS[method].title}"
        curves[title] = score_series(points, levels, "sp2ps")
    return curves


def _accuracy(pruned: pd.DataFrame) -> plots.Series:
    """Return the accuracy as a share of the unpruned network's."""
    unpruned = pruned.iloc[0]
    baseline = unpruned["baseline"]
    return plots.Series(
        x=[0, *100 * pruned["rate"]],
        y=[1, *pruned["accuracy"] / baseline],
        low=[unpruned["baseline_low"] / baseline, *pruned["accuracy_low"] / baseline],
        high=[unpruned["baseline_high"] / baseline, *pruned["accuracy_high"] / baseline],
        colour=plots.BLUE,
    )
