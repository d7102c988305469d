"""The figures of a comparison."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pruncam import cams, scoring
from pruncam.cams.own import OwnMethod, own_heatmaps
from pruncam.own.pair import Pair
from pruncam.own.settings import Normalisation, Settings
from pruncam.report import plots
from pruncam.report.result import Drawing
from pruncam.studies.figures import COLOURS, TITLES, overlay

NAMES = {
    "ssim": "SSIM",
    "spectral_angle": "spectral angle",
    "sp2ps": "Sp2PS",
    "iou": "IoU",
    "soft_iou": "soft IoU",
    "confidence_variation": "confidence variation",
    "pe": "PE",
}
DRAWN = ("sp2ps", "pe", "soft_iou")  # of our scores; a user's own are drawn too
SHOWN = 6  # rows of the figure of moved maps
CLASSES = 20  # bars that a figure holds
_OWN_COLOURS = (plots.BLUE, plots.GREEN)


@dataclass(frozen=True)
class Moved:
    """An image and what both networks' heatmaps show of it."""

    title: str
    image: np.ndarray  # (H, W, 3) in [0, 1]
    before: np.ndarray  # (H, W) in [0, 1]
    after: np.ndarray


def drawings(tables: Mapping[str, pd.DataFrame], scores: Sequence[str], moved: Sequence[Moved]) -> dict[str, Drawing]:
    """Every figure by its name; `moved` are the images of the figure of that name."""
    drawn = [*DRAWN, *(score for score in scores if score not in scoring.SCORES)]
    method = tables["moved"]["method"].iloc[0]
    floor = "Bands: the baseline after fine-tuning alone. " if len(tables["summary"]["floor_low"].dropna()) else ""
    chance = "Dotted: networks with random weights." if len(tables["summary"]["chance"].dropna()) else ""
    return {
        "moved": Drawing(
            partial(pictures, moved),
            f"The images whose {_title(method)} maps are least alike by Sp2PS: the image, the baseline's map, the "
            "pruned network's, and the difference (red: brighter after pruning, blue: darker). Beside each its file, "
            "what the baseline and the pruned network say (before → after), and its score.",
        ),
        "scale": Drawing(
            partial(on_the_scale, tables["summary"], drawn),
            f"Mean score of each CAM with its 95 % interval over images. {floor}{chance}".strip(),
        ),
        "distributions": Drawing(
            partial(distributions, tables["images"], drawn),
            "Height of a curve: the share of images whose score is at most the value below. It begins above 0 where "
            "there are scores of 0, as Sp2PS and PE are where the SSIM is not above 0.",
        ),
        "classes": Drawing(
            partial(classes, tables["classes"]),
            "Mean Sp2PS of each class with its 95 % interval, the class with the lowest mean of all CAMs first, "
            f"{CLASSES} classes at most.",
        ),
    }


def moved_most(
    pair: Pair,
    table: pd.DataFrame,
    settings: Settings,
    normalisation: Normalisation,
    own_methods: Mapping[str, OwnMethod],
) -> list[Moved]:
    """What the figure of moved maps shows: the first images of the first CAM in the table of moved images."""
    method = table["method"].iloc[0]
    chosen = table[table["method"] == method].head(SHOWN)
    images = pair.pictures.images.images[torch.from_numpy(chosen["image"].to_numpy(dtype=np.int64))]
    x = normalisation(images.float() / 255)
    both = []
    for model in (pair.baseline, pair.pruned):
        if method in own_methods:
            targets = cams.explain(model, x, methods=scoring.METHODS[:1], target_layer=settings.target_layer).targets
            how = {"targets": targets, "target_layer": settings.target_layer}
            maps = own_heatmaps(model, x, {method: own_methods[method]}, **how)[method]
        else:
            maps = cams.heatmaps(model, x, method=method, target_layer=settings.target_layer)
        both.append(maps.cpu().numpy())
    shown = images.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).cpu().numpy() / 255
    said = chosen["baseline_prediction"] + " → " + chosen["pruned_prediction"]
    titles = [f"{row.file[-22:]}\n{said[row.Index]}\nSp2PS {row.sp2ps:.2f}" for row in chosen.itertuples()]
    return [Moved(*entry) for entry in zip(titles, shown, *both, strict=True)]


def pictures(moved: Sequence[Moved]) -> Figure:
    """A row per image: itself, both maps over it, and their difference."""
    rows = [
        [
            each.image,
            overlay(each.image, each.before),
            overlay(each.image, each.after),
            colormaps["RdBu_r"]((each.after - each.before + 1) / 2)[..., :3],
        ]
        for each in moved
    ]
    columns = ["image", "baseline", "pruned", "difference"]
    return plots.grid(rows, columns=columns, labels=[m.title for m in moved], grey=plots.first_rows(0), scale=1.5)


def on_the_scale(summary: pd.DataFrame, scores: Sequence[str]) -> Figure:
    """Every CAM's mean of each score, over what fine-tuning alone gives and what random weights give."""
    methods = list(dict.fromkeys(summary["method"]))
    with plots.style():
        figure = Figure(figsize=(2.5 * len(scores) + 0.6, 3.4), layout="constrained")
        for axes, score in zip(figure.subplots(1, len(scores), squeeze=False)[0], scores, strict=True):
            part = summary[summary["score"] == score].set_index("method").loc[methods]
            for place, (method, row) in enumerate(part.iterrows()):
                _one_mean(axes, place, row, _colour(method, methods))
            axes.set(title=_title(score), xlim=(-0.6, len(methods) - 0.4), xticks=range(len(methods)))
            axes.set_xticklabels([_title(method) for method in methods], rotation=30, ha="right")
            axes.grid(axis="y", alpha=0.25, linewidth=0.6)
            _from_0_to_1(axes, score)
    return figure


def _one_mean(axes: Axes, place: int, row: pd.Series, colour: str) -> None:
    """A mean with its interval, the band of fine-tuning alone, the level of chance."""
    if not np.isnan(row["floor_low"]):
        reach = row["floor_high"] - row["floor_low"]
        axes.bar(place, reach, 0.7, bottom=row["floor_low"], color=colour, alpha=0.22, linewidth=0)
    if not np.isnan(row["chance"]):
        axes.hlines(row["chance"], place - 0.35, place + 0.35, color=colour, linestyle=":", linewidth=1.4)
    reach = [[row["mean"] - row["low"]], [row["high"] - row["mean"]]]
    axes.errorbar([place], [row["mean"]], reach, fmt="o", color=colour, capsize=3, markersize=5)


def distributions(images: pd.DataFrame, scores: Sequence[str]) -> Figure:
    """The distribution function of each score over images, a curve per CAM."""
    methods = list(dict.fromkeys(images["method"].astype(str)))
    with plots.style():
        figure = Figure(figsize=(2.7 * len(scores) + 0.6, 3.2), layout="constrained")
        panels = figure.subplots(1, len(scores), squeeze=False, sharey=True)[0]
        for axes, score in zip(panels, scores, strict=True):
            for method in methods:
                axes.ecdf(
                    images.loc[images["method"] == method, score], color=_colour(method, methods), label=_title(method)
                )
            axes.set(title=_title(score))
            axes.grid(alpha=0.25, linewidth=0.6)
            if score in scoring.SCORES:
                axes.set_xlim(-0.02, 1.02)
        panels[0].set_ylabel("share of images")
        figure.legend(handles=panels[0].get_lines(), loc="outside lower center", ncols=len(methods))
    return figure


def classes(table: pd.DataFrame) -> Figure:
    """Bars of Sp2PS: a group per class, a bar per CAM."""
    methods = list(dict.fromkeys(table["method"]))
    order = table.groupby("class")["sp2ps"].mean().sort_values(kind="stable").index[:CLASSES]
    with plots.style():
        figure = Figure(figsize=(7.2, 0.8 + 0.11 * len(order) * (len(methods) + 1)), layout="constrained")
        axes, height = figure.subplots(), 0.8 / len(methods)
        for number, method in enumerate(methods):
            part = table[table["method"] == method].set_index("class").loc[order]
            places = np.arange(len(order)) + (number - (len(methods) - 1) / 2) * height
            reach = [part["sp2ps"] - part["sp2ps_low"], part["sp2ps_high"] - part["sp2ps"]]
            look = {"color": _colour(method, methods), "label": _title(method), "error_kw": {"linewidth": 0.8}}
            axes.barh(places, part["sp2ps"], height, xerr=reach, **look)
        axes.set(xlabel="Sp2PS", yticks=range(len(order)), yticklabels=list(order), xlim=(0, 1.02))
        axes.invert_yaxis()
        axes.grid(axis="x", alpha=0.25, linewidth=0.6)
        figure.legend(loc="outside lower center", ncols=len(methods))
    return figure


def _from_0_to_1(axes: Axes, score: str) -> None:
    """Ours lie in [0, 1], a user's own anywhere."""
    axes.use_sticky_edges = False  # or a bar that ends at 1 would end the axis there
    axes.margins(y=0.08)
    if score in scoring.SCORES:
        axes.set_ylim(0, 1.02)


def _title(name: str) -> str:
    """A CAM's or score's name as it is written; a user's own as it is."""
    return TITLES.get(name) or NAMES.get(name) or name


def _colour(method: str, methods: Sequence[str]) -> str:
    own = [name for name in methods if name not in COLOURS]
    return COLOURS.get(method) or _OWN_COLOURS[own.index(method) % len(_OWN_COLOURS)]
