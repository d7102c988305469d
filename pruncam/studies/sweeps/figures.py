"""The figures of the pruning sweeps."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pruncam import cams
from pruncam.report import labels, plots
from pruncam.report.result import Drawing
from pruncam.scoring.controls import FLOOR
from pruncam.studies.sweeps import diagrams, published
from pruncam.studies.sweeps.analysis import (
    BEYOND,
    LOSSES,
    OURS,
    PRINTED,
    READINGS,
    UNFLAGGED,
)
from pruncam.studies.sweeps.config import SweepsConfig
from pruncam.studies.sweeps.experiment import DROPPED, KEPT, L1
from pruncam.studies.sweeps.rate_selection import safe_rate

_DATASET_COLOURS = (
    plots.BLUE,
    plots.ORANGE,
    plots.GREEN,
    plots.PURPLE,
    plots.GREY,
    "#E69F00",
    "#56B4E9",
    "#000000",
)
_DARK = "#444444"
_DRAWN_READINGS = ("csg", "csg_relative")
_PAPERS_MARKERS = {
    PRINTED: "s",
    UNFLAGGED: "D",
}  # of the printed points, by source
_PANELS_PER_ROW = 4
_CAPTIONS = {
    "2": "The network for images of 32x32 pixels.",
    "3": "The network for images of 96x96 pixels.",
    "4": "Accuracy against the pruning rate, not fine-tuned: its change from the unpruned network's"
    "; bars: 95 % intervals over images. Dashed: Table 2 as printed, the outlying cell ringed.",
    "5": "The same after fine-tuning with the masks dropped, so that pruned connections grow back; "
    "at 0 the unpruned network after the same fine-tuning; bars: 95 % intervals over images.",
    "connections": "Pruned weights (dashed frames) in fine-tuning: without masks they grow back "
    "(orange).",
    "kept": "After fine-tuning with the masks kept, so that the network stays pruned; at 0 the "
    "unpruned network after the same fine-tuning; bars: 95 % intervals over images.",
    "complexity": f"Points lost, mean of the rates beyond {BEYOND:.0%}, against the complexity of "
    "each data set; hollow: as printed.",
    "limits": "The rate up to which at most {max_loss:g} point is lost, against the complexity of "
    "the training images; bars: 95 % intervals over test images. Line and band: the estimate of "
    "`safe_rate`. Hollow: the printed numbers, STL-10 also without the outlying cell.",
    "maps": "Pruning alone, not fine-tuned: what is left of the accuracy, as a share of the "
    "unpruned network's, and of the heatmaps (mean Sp2PS with the unpruned network's).",
}


def drawings(
    config: SweepsConfig,
    tables: Mapping[str, pd.DataFrame],
    provenance: Mapping[str, str],
) -> dict[str, Drawing]:
    """Return all figures; `provenance` describes the images, by data set."""
    sweep = tables["sweep"]
    diagrams_by_name = {
        "2": diagrams.cifar_network,
        "3": diagrams.stl_network,
        "connections": diagrams.connections,
    }
    plots_by_name = {
        "4": partial(_losses, sweep, L1, published.sweep()),
        "5": partial(_losses, sweep, DROPPED),
        "kept": partial(_losses, sweep, KEPT),
        "complexity": partial(_complexity, tables),
        "limits": partial(_limits, config, tables),
        "maps": partial(_maps, tables["maps"]),
    }
    sources = "; ".join(f"{dataset}: {text}" for dataset, text in provenance.items())
    ending = f"Profile {config.profile}; {sources}."
    figures = {}
    for name, text in _CAPTIONS.items():
        caption = text.format(max_loss=config.max_loss)
        if name in diagrams_by_name:
            figures[name] = Drawing(diagrams_by_name[name], caption, lines=True)
        else:
            figures[name] = Drawing(plots_by_name[name], f"{caption} {ending}", lines=True)
    return figures


def _colours(datasets: pd.Series) -> dict[str, str]:
    """Return a colour for each data set."""
    names = datasets.unique()
    return {name: _DATASET_COLOURS[k % len(_DATASET_COLOURS)] for k, name in enumerate(names)}


def _legend(
    figure: Figure,
    handles: list[Artist],
    columns: int = 5,
) -> None:
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(len(handles), columns),
    )


# ---------------------------------------------------------------- losses against the rate


def _losses(
    sweep: pd.DataFrame,
    rule: str,
    printed: pd.DataFrame | None = None,
) -> Figure:
    """Draw the change of accuracy against the rate, a curve for each data set."""
    colours = _colours(sweep["dataset"])
    with plots.style():
        figure = Figure(figsize=(7.2, 4.0), layout="constrained")
        axes = figure.subplots()
        for dataset, part in sweep.groupby("dataset", sort=False):
            curve = part[part["rule"] == rule].sort_values("rate")
            start = 0.0 if rule == L1 else _floor(part)
            _loss_curve(axes, curve, start, colours[dataset], dataset)
            if printed is not None:
                _printed_losses(
                    axes,
                    printed[printed["dataset"] == dataset],
                    colours[dataset],
                )
        axes.axhline(0, color=_DARK, linewidth=0.8)
        axes.set(
            xlabel="convolution weights pruned, %",
            ylabel="change of accuracy, points",
        )
        axes.grid(alpha=0.25, linewidth=0.6)
        handles = axes.get_legend_handles_labels()[0]
        if printed is not None:
            handles.append(_printed_handle())
        _legend(figure, handles)
    return figure


def _floor(sweep: pd.DataFrame) -> float:
    """Return the change of accuracy by fine-tuning alone; 0 if that was not run."""
    losses = sweep.loc[sweep["rule"] == FLOOR, "acc_drop"]
    return 0.0 if losses.empty else -losses.iloc[0]


def _loss_curve(
    axes: Axes,
    curve: pd.DataFrame,
    start: float,
    colour: str,
    label: str,
) -> None:
    rates = 100 * curve["rate"]
    losses = curve["acc_drop"]
    axes.plot(
        [0, *rates],
        [start, *-losses],
        "o-",
        color=colour,
        label=label,
        markersize=4,
    )
    reach = [curve["high"] - losses, losses - curve["low"]]
    axes.errorbar(
        rates,
        -losses,
        reach,
        color=colour,
        linestyle="none",
        capsize=2,
    )


def _printed_losses(
    axes: Axes,
    curve: pd.DataFrame,
    colour: str,
) -> None:
    axes.plot(
        100 * curve["rate"],
        -curve["acc_drop"],
        "s--",
        color=colour,
        markersize=4,
        markerfacecolor="white",
        linewidth=1,
    )
    flagged = curve[curve["flag"] != ""]
    axes.scatter(
        100 * flagged["rate"],
        -flagged["acc_drop"],
        s=140,
        facecolor="none",
        edgecolor=colour,
        linewidth=1.2,
    )


def _printed_handle() -> Line2D:
    return Line2D(
        [],
        [],
        color=plots.GREY,
        linestyle="--",
        marker="s",
        markerfacecolor="white",
        markersize=4,
        label="as printed",
    )


# ---------------------------------------------------------------- losses against complexity


def _complexity(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw the mean loss against CSG, and against CSG / (K - 1)."""
    sweep = tables["sweep"]
    ours = _mean_beyond(sweep[sweep["rule"] == L1], ["acc_drop"])
    ours = tables["complexity"].set_index("dataset").join(ours)
    printed = _mean_beyond(published.sweep(), [*_DRAWN_READINGS, "acc_drop"])
    with plots.style():
        figure = Figure(figsize=(8.4, 3.9), layout="constrained")
        panels = dict(zip(_DRAWN_READINGS, figure.subplots(1, 2, sharey=True), strict=True))
        for reading, axes in panels.items():
            _complexity_panel(axes, reading, ours, printed)
            axes.set_title(_correlations_text(tables["correlations"], READINGS[reading]))
        left = panels[_DRAWN_READINGS[0]]
        left.set_ylabel(f"points lost, mean beyond {BEYOND:.0%}")
        _legend(figure, left.get_legend_handles_labels()[0])
        for reading, axes in panels.items():
            points = printed[[reading, "acc_drop"]].to_numpy()
            other_points = ours[[reading, "acc_drop"]].to_numpy()[:, None]
            labels.write(
                axes,
                points,
                list(printed.index),
                around=other_points,
                size=7,
            )
    return figure


def _mean_beyond(sweep: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Return means over the high rates, by data set."""
    return sweep[sweep["rate"] > BEYOND].groupby("dataset", sort=False)[columns].mean()


def _complexity_panel(
    axes: Axes,
    reading: str,
    ours: pd.DataFrame,
    printed: pd.DataFrame,
) -> None:
    colours = _colours(ours.index.to_series())
    for dataset, row in ours.iterrows():
        axes.scatter(
            row[reading],
            row["acc_drop"],
            color=colours[dataset],
            s=34,
            label=dataset,
        )
    _hollow_points(axes, printed[reading], printed["acc_drop"], PRINTED)
    axes.set_xlabel(READINGS[reading])
    axes.set_xscale("log" if reading == "csg" else "linear")
    axes.margins(x=0.2, y=0.15)
    axes.grid(alpha=0.25, linewidth=0.6)


def _hollow_points(
    axes: Axes,
    x: pd.Series,
    y: pd.Series,
    source: str,
) -> None:
    """Draw points of the paper."""
    axes.scatter(
        x,
        y,
        facecolor="white",
        edgecolor=_DARK,
        marker=_PAPERS_MARKERS[source],
        s=28,
        label=source,
        zorder=3,
    )


def _correlations_text(correlations: pd.DataFrame, reading: str) -> str:
    """Return the rank correlations that belong to a panel."""
    is_mean = correlations["rate"].str.startswith("mean")
    rows = correlations[is_mean & (correlations["reading"] == reading)]
    rows = rows[rows["loss"] == LOSSES["acc_drop"]]
    texts = [f"{row.source} {row.spearman:.2f} ({row.data_sets} sets)" for row in rows.itertuples()]
    return "Spearman: " + ", ".join(texts)


# ---------------------------------------------------------------- rates against complexity


def _limits(config: SweepsConfig, tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw the rate that costs little against CSG, with the line and band of `safe_rate`."""
    limits = tables["limits"]
    ours = limits[limits["source"] == OURS]
    is_other_stl = (limits["source"] == UNFLAGGED) & (limits["dataset"] == "STL-10")
    printed = limits[(limits["source"] == PRINTED) | is_other_stl]
    colours = _colours(tables["complexity"]["dataset"])
    with plots.style():
        figure = Figure(figsize=(7.2, 4.0), layout="constrained")
        axes = figure.subplots()
        for row in ours.itertuples():
            _limit_point(axes, row, colours[row.dataset])
        for source in _PAPERS_MARKERS:
            part = printed[printed["source"] == source]
            _hollow_points(axes, part["csg"], 100 * part["rate"], source)
        _band(axes, config, tables, ours)
        axes.set(xscale="log", xlabel="CSG of the training images", ylim=(0, 102))
        axes.set_ylabel(f"largest rate that loses at most {config.max_loss:g} point, %")
        axes.margins(x=0.15)
        axes.grid(alpha=0.25, linewidth=0.6)
        _legend(figure, axes.get_legend_handles_labels()[0])
        bars = [_interval_bar(row) for row in ours.itertuples()]
        points = np.stack([printed["csg"], 100 * printed["rate"]], axis=1)
        labels.write(
            axes,
            points,
            printed["dataset"].tolist(),
            around=bars,
            size=7,
        )
    return figure


def _interval_bar(row: Any) -> np.ndarray:
    """Return the ends of the error bar of a data set, (2, 2)."""
    return np.array([[row.csg, 100 * row.low], [row.csg, 100 * row.high]])


def _limit_point(axes: Axes, row: Any, colour: str) -> None:
    """Draw a data set's rate and its interval; a triangle if the loss stays below the limit."""
    below = 100 * max(0, row.rate - row.low)
    above = 100 * max(0, row.high - row.rate)
    axes.errorbar(
        row.csg,
        100 * row.rate,
        [[below], [above]],
        color=colour,
        fmt="o" if row.lost else "^",
        capsize=2,
        label=row.dataset,
    )


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
        color=_DARK,
        linewidth=1.2,
    )
    if not np.isnan(rates[0].low):
        low = [100 * rate.low for rate in rates]
        high = [100 * rate.high for rate in rates]
        axes.fill_between(
            x,
            low,
            high,
            color=_DARK,
            alpha=0.12,
            linewidth=0,
        )


# ---------------------------------------------------------------- accuracy and heatmaps


def _maps(maps: pd.DataFrame) -> Figure:
    """Draw what is left of accuracy and heatmaps, a panel for each data set."""
    not_tuned = maps[maps["rule"] == L1]
    datasets = list(not_tuned["dataset"].unique())
    rows = -(-len(datasets) // _PANELS_PER_ROW)
    columns = -(-len(datasets) // rows)
    with plots.style():
        figure = Figure(figsize=(2.5 * columns, 2.3 * rows + 0.4), layout="constrained")
        panels = figure.subplots(
            rows,
            columns,
            squeeze=False,
            sharey=True,
        ).ravel()
        for axes, dataset in zip(panels, datasets, strict=False):
            _maps_panel(axes, not_tuned[not_tuned["dataset"] == dataset])
            axes.set_title(dataset)
        for axes in panels[len(datasets) :]:
            axes.set_axis_off()
        for axes in panels[len(datasets) - columns : len(datasets)]:
            axes.set_xlabel("weights pruned, %")
        handles = panels[0].get_legend_handles_labels()[0]
        _legend(figure, handles, columns=len(handles))
    return figure


def _maps_panel(axes: Axes, scores: pd.DataFrame) -> None:
    methods = scores.groupby("method", sort=False, observed=True)
    curves = {method: part.sort_values("rate") for method, part in methods}
    first = next(iter(curves.values()))
    rates = [0, *100 * first["rate"]]
    share = first["accuracy"] / first["baseline"]
    axes.plot(
        rates,
        [1, *share],
        "o-",
        color=plots.BLUE,
        label="accuracy kept",
        markersize=3,
    )
    for method, curve in curves.items():
        colour = cams.METHODS[method].colour
        title = cams.METHODS[method].title
        label = f"Sp2PS, {title}"
        axes.plot(
            rates,
            [1, *curve["sp2ps"]],
            "s-",
            color=colour,
            label=label,
            markersize=3,
        )
        low = [1, *curve["sp2ps_low"]]
        high = [1, *curve["sp2ps_high"]]
        axes.fill_between(
            rates,
            low,
            high,
            color=colour,
            alpha=0.2,
            linewidth=0,
        )
    axes.set(ylim=(0, 1.15))
    axes.grid(alpha=0.25, linewidth=0.6)
