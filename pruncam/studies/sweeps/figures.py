"""The figures of the sweeps."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pruncam.report import diagrams_sweeps, labels, plots
from pruncam.report.result import Drawing
from pruncam.studies.figures import TITLES
from pruncam.studies.half import FLOOR
from pruncam.studies.sweeps import printed
from pruncam.studies.sweeps.choice import safe_rate
from pruncam.studies.sweeps.config import Config
from pruncam.studies.sweeps.half import DROPPED, KEPT, L1
from pruncam.studies.sweeps.tables import BEYOND, LOSSES, OURS, PRINTED, READINGS, UNFLAGGED

COLOURS = (plots.BLUE, plots.ORANGE, plots.GREEN, plots.PURPLE, plots.GREY, "#E69F00", "#56B4E9", "#000000")
CHANGE = "change of accuracy, points"
READINGS_SHOWN = ("csg", "csg_relative")


def drawings(config: Config, tables: Mapping[str, pd.DataFrame], data: Mapping[str, str]) -> dict[str, Drawing]:
    """Every figure of the study; `data` names the data set behind each half in captions."""
    where = f"Profile {config.profile}; " + "; ".join(f"{half}: {words}" for half, words in data.items()) + "."
    bars = "bars: 95 % intervals over images"
    return {
        "2": Drawing(diagrams_sweeps.cifar_network, "The network for images of 32x32 pixels.", lines=True),
        "3": Drawing(diagrams_sweeps.stl_network, "The network for images of 96x96 pixels.", lines=True),
        "4": Drawing(
            partial(_losses, tables["sweep"], L1, printed.sweep()),
            "Accuracy against the pruning rate, not fine-tuned: its change from the unpruned network's; "
            f"{bars}. Dashed: Table 2 as printed, the cell that is out of line ringed. {where}",
            lines=True,
        ),
        "5": Drawing(
            partial(_losses, tables["sweep"], DROPPED, None),
            "The same after fine-tuning with the masks dropped, so that pruned connections grow back; at 0 the "
            f"unpruned network after the same fine-tuning; {bars}. {where}",
            lines=True,
        ),
        "connections": Drawing(
            diagrams_sweeps.connections,
            "What becomes of pruned weights (dashed frames) in fine-tuning: without masks they grow back (orange).",
            lines=True,
        ),
        "kept": Drawing(
            partial(_losses, tables["sweep"], KEPT, None),
            "After fine-tuning with the masks kept: what is really pruned; at 0 the unpruned network after the same "
            f"fine-tuning; {bars}. {where}",
            lines=True,
        ),
        "complexity": Drawing(
            partial(_complexity, tables),
            f"Points lost, mean of the rates beyond {BEYOND:.0%}, against complexity, of each data set; hollow: as "
            f"printed. {where}",
            lines=True,
        ),
        "limits": Drawing(
            partial(_limits, config, tables),
            f"The rate up to which at most {config.max_loss:g} point is lost against the complexity of the training "
            "images; bars: 95 % intervals over test images. Line and band: what `safe_rate` answers. Hollow: the "
            f"printed numbers, STL-10 also without the cell that is out of line. {where}",
            lines=True,
        ),
        "maps": Drawing(
            partial(_maps, tables["maps"]),
            "Pruning alone, not fine-tuned: what is left of the accuracy and of the heatmaps (mean Sp2PS with the "
            f"unpruned network's; accuracy as a share of the unpruned network's). {where}",
            lines=True,
        ),
    }


def _losses(sweep: pd.DataFrame, rule: str, as_printed: pd.DataFrame | None) -> Figure:
    """The change of accuracy against the rate, a curve for each data set."""
    with plots.style():
        figure = Figure(figsize=(7.2, 4.0), layout="constrained")
        axes = figure.subplots()
        for colour, (half, part) in zip(_cycle(sweep["half"]), sweep.groupby("half", sort=False), strict=True):
            own = part[part["rule"] == rule].sort_values("rate")
            floor = part.loc[part["rule"] == FLOOR, "acc_drop"] if rule != L1 else pd.Series(dtype=float)
            start = -floor.iloc[0] if len(floor) else 0.0
            change = [start, *-own["acc_drop"]]
            axes.plot([0, *100 * own["rate"]], change, "o-", color=colour, label=half, markersize=4)
            reach = [own["high"] - own["acc_drop"], own["acc_drop"] - own["low"]]
            axes.errorbar(100 * own["rate"], -own["acc_drop"], reach, color=colour, linestyle="none", capsize=2)
            if as_printed is not None:
                _printed(axes, as_printed[as_printed["half"] == half], colour)
        axes.axhline(0, color="#444444", linewidth=0.8)
        axes.set(xlabel="convolution weights pruned, %", ylabel=CHANGE)
        axes.grid(alpha=0.25, linewidth=0.6)
        handles = axes.get_legend_handles_labels()[0]
        if as_printed is not None:
            dashed = {"color": plots.GREY, "linestyle": "--", "marker": "s", "markerfacecolor": "white"}
            handles.append(Line2D([], [], label="as printed", markersize=4, **dashed))
        figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 5))
    return figure


def _printed(axes: Axes, part: pd.DataFrame, colour: str) -> None:
    axes.plot(100 * part["rate"], -part["acc_drop"], "s--", color=colour, markersize=4, linewidth=1,
              markerfacecolor="white")  # fmt: skip
    flagged = part[part["flag"] != ""]
    axes.scatter(100 * flagged["rate"], -flagged["acc_drop"], s=140, facecolor="none", edgecolor=colour, linewidth=1.2)


def _cycle(halves: pd.Series) -> list[str]:
    """A colour for each data set."""
    return [COLOURS[k % len(COLOURS)] for k in range(halves.nunique())]


def _complexity(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """The mean loss against CSG, and against CSG / (K - 1)."""
    swept = tables["sweep"][tables["sweep"]["rule"] == L1]
    ours = swept[swept["rate"] > BEYOND].groupby("half", sort=False)["acc_drop"].mean().rename("lost")
    ours = tables["complexity"].set_index("half").join(ours)
    as_printed = printed.sweep()
    theirs = as_printed[as_printed["rate"] > BEYOND].groupby("half", sort=False)
    theirs = theirs[["csg", "csg_relative", "acc_drop"]].mean().rename(columns={"acc_drop": "lost"})
    with plots.style():
        figure = Figure(figsize=(8.4, 3.9), layout="constrained")
        for axes, reading in zip(figure.subplots(1, 2, sharey=True), READINGS_SHOWN, strict=True):
            for colour, (half, row) in zip(_cycle(swept["half"]), ours.iterrows(), strict=True):
                axes.scatter(row[reading], row["lost"], color=colour, s=34, label=half)
            _hollow(axes, theirs[reading], theirs["lost"], "s", PRINTED)
            axes.set(xlabel=READINGS[reading], title=_words(tables["correlations"], READINGS[reading]))
            axes.set_xscale("log" if reading == "csg" else "linear")
            axes.margins(x=0.2, y=0.15)
            axes.grid(alpha=0.25, linewidth=0.6)
        figure.axes[0].set_ylabel(f"points lost, mean beyond {BEYOND:.0%}")
        _legend(figure)
        for axes, reading in zip(figure.axes, READINGS_SHOWN, strict=True):
            others = ours[[reading, "lost"]].to_numpy()[:, None]
            labels.write(axes, theirs[[reading, "lost"]].to_numpy(), list(theirs.index), around=others, size=7)
    return figure


def _hollow(axes: Axes, x: pd.Series, y: pd.Series, marker: str, source: str) -> None:
    """Points of the paper."""
    axes.scatter(x, y, facecolor="white", edgecolor="#444444", marker=marker, s=28, label=source, zorder=3)


def _legend(figure: Figure) -> None:
    handles = figure.axes[0].get_legend_handles_labels()[0]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 5))


def _words(correlations: pd.DataFrame, reading: str) -> str:
    """The two rank correlations that go with a panel."""
    part = correlations[correlations["rate"].str.startswith("mean") & (correlations["reading"] == reading)]
    part = part[part["loss"] == LOSSES["acc_drop"]]
    named = [f"{row.source} {row.spearman:.2f} ({row.data_sets} sets)" for row in part.itertuples()]
    return "Spearman: " + ", ".join(named)


def _limits(config: Config, tables: Mapping[str, pd.DataFrame]) -> Figure:
    """The rate that loses little against CSG, with the line and the band of `safe_rate`."""
    limits = tables["limits"]
    ours = limits[limits["source"] == OURS]
    with plots.style():
        figure = Figure(figsize=(7.2, 4.0), layout="constrained")
        axes = figure.subplots()
        colours = dict(zip(tables["complexity"]["half"], _cycle(tables["complexity"]["half"]), strict=True))
        for row in ours.itertuples():
            reach = 100 * np.array([[max(0, row.rate - row.low)], [max(0, row.high - row.rate)]])
            look = {"color": colours[row.half], "fmt": "o" if row.lost else "^", "capsize": 2, "label": row.half}
            axes.errorbar(row.csg, 100 * row.rate, reach, **look)
        theirs = limits[
            (limits["source"] == PRINTED) | ((limits["source"] == UNFLAGGED) & (limits["half"] == "STL-10"))
        ]
        for source, marker in {PRINTED: "s", UNFLAGGED: "D"}.items():
            part = theirs[theirs["source"] == source]
            _hollow(axes, part["csg"], 100 * part["rate"], marker, source)
        _band(axes, config, tables, ours)
        axes.set(xscale="log", xlabel="CSG of the training images", ylim=(0, 102))
        axes.set_ylabel(f"largest rate that loses at most {config.max_loss:g} point, %")
        axes.margins(x=0.15)
        axes.grid(alpha=0.25, linewidth=0.6)
        _legend(figure)
        bars = [np.array([[row.csg, 100 * row.low], [row.csg, 100 * row.high]]) for row in ours.itertuples()]
        points = theirs.assign(rate=100 * theirs["rate"])[["csg", "rate"]].to_numpy()
        labels.write(axes, points, theirs["half"].tolist(), around=bars, size=7)
    return figure


def _band(axes: Axes, config: Config, tables: Mapping[str, pd.DataFrame], ours: pd.DataFrame) -> None:
    """The line through our data sets, and its interval where there are enough of them."""
    if ours["csg"].nunique() < 2:
        return
    swept = tables["sweep"].merge(tables["complexity"][["half", "csg"]], on="half")
    swept = swept[(swept["rule"] == L1) & swept["half"].isin(ours["half"])]
    asked = np.geomspace(ours["csg"].min(), ours["csg"].max(), 60)
    found = [safe_rate(swept, csg, config.max_loss) for csg in asked]
    axes.plot(asked, [100 * f.rate for f in found], color="#444444", linewidth=1.2)
    if not np.isnan(found[0].low):
        low, high = ([100 * getattr(f, side) for f in found] for side in ("low", "high"))
        axes.fill_between(asked, low, high, color="#444444", alpha=0.12, linewidth=0)


def _maps(maps: pd.DataFrame) -> Figure:
    """Small plots, one for each data set: the share of accuracy that is left, and Sp2PS of every CAM."""
    part = maps[maps["rule"] == L1]
    halves = list(dict.fromkeys(part["half"]))
    rows = -(-len(halves) // 4)
    columns = -(-len(halves) // rows)
    with plots.style():
        figure = Figure(figsize=(2.5 * columns, 2.3 * rows + 0.4), layout="constrained")
        field = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
        for axes in field[len(halves) :]:
            axes.set_axis_off()
        for axes, half in zip(field, halves, strict=False):
            handles = _share(axes, part[part["half"] == half])
            axes.set_title(half)
        for axes in field[len(halves) - columns : len(halves)]:
            axes.set_xlabel("weights pruned, %")
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def _share(axes: Axes, part: pd.DataFrame) -> Sequence[Line2D]:
    handles = []
    for number, (method, own) in enumerate(part.groupby("method", sort=False, observed=True)):
        own = own.sort_values("rate")
        x = [0, *100 * own["rate"]]
        if not number:
            share = own["accuracy"] / own["baseline"]
            handles += axes.plot(x, [1, *share], "o-", color=plots.BLUE, label="accuracy kept", markersize=3)
        line = {"color": COLOURS[number + 1], "label": f"Sp2PS, {TITLES[method]}", "markersize": 3}
        handles += axes.plot(x, [1, *own["sp2ps"]], "s-", **line)
        axes.fill_between(
            x, [1, *own["sp2ps_low"]], [1, *own["sp2ps_high"]], color=line["color"], alpha=0.2, linewidth=0
        )
    axes.set(ylim=(0, 1.15))
    axes.grid(alpha=0.25, linewidth=0.6)
    return handles
