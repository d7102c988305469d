"""The figures of a comparison."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pruncam import metrics
from pruncam.comparison.explainer import Explainer
from pruncam.comparison.titles import MAIN_SCORES, colour, label, shortened, title
from pruncam.report import plots
from pruncam.report.result import Drawing
from pruncam.scoring import EMPTY_COLUMNS
from pruncam.studies.figures import overlay

MOVED_ROWS = 6
MAX_CLASSES = 20
_FILE_LETTERS = 24  # of a file's name beside its image

_MOVED_CAPTION = (
    "The images with the least similar {title} maps by Sp2PS: image, map of the baseline, map of "
    "the pruned network, and their difference (red: brighter after pruning, blue: darker). Beside "
    "each image: its file, the predictions of the baseline and the pruned network (before → "
    "after), and its score. Images with an empty map, marked as without positive evidence, come "
    "last."
)
_DISTRIBUTIONS_CAPTION = (
    "Cumulative distribution of each score: the share of images whose score is at most the value "
    "on the axis. Curves start above 0 if some scores are 0, as Sp2PS and PE are when SSIM is not "
    "positive or one of two maps is empty; two empty maps score 1. The legend has the share of "
    "images with an empty map."
)
_CLASSES_CAPTION = (
    "Mean Sp2PS of each class with its 95 % interval, sorted by the mean over all CAMs, lowest "
    f"first; {MAX_CLASSES} classes at most. The table has the shares of empty maps of each class "
    "and the means without them."
)


class Picture(NamedTuple):
    """An image and its heatmaps before and after pruning."""

    pixels: np.ndarray  # (C, H, W) uint8
    before: np.ndarray  # (H, W) in [0, 1]
    after: np.ndarray  # (H, W) in [0, 1]


@dataclass(frozen=True)
class MovedImage:
    """An image as it is drawn, with its label and its heatmaps before and after pruning."""

    label: str
    image: np.ndarray  # (H, W, 3) in [0, 1]
    before: np.ndarray  # (H, W) in [0, 1]
    after: np.ndarray  # (H, W) in [0, 1]


def drawings(
    tables: Mapping[str, pd.DataFrame],
    scores: Sequence[str],
    moved: Sequence[MovedImage],
) -> dict[str, Drawing]:
    """Return every figure by its name; `scores` are the columns of the tables that hold scores."""
    custom_scores = [score for score in scores if score not in metrics.SCORES]
    drawn = [*MAIN_SCORES, *custom_scores]
    moved_title = title(tables["moved"]["method"].iloc[0])
    return {
        "moved": Drawing(partial(moved_grid, moved), _MOVED_CAPTION.format(title=moved_title)),
        "scale": Drawing(
            partial(means_with_controls, tables["summary"], drawn),
            _scale_caption(tables["summary"]),
        ),
        "distributions": Drawing(
            partial(distributions, tables["images"], drawn), _DISTRIBUTIONS_CAPTION
        ),
        "classes": Drawing(partial(class_bars, tables["classes"]), _CLASSES_CAPTION),
    }


def _scale_caption(summary: pd.DataFrame) -> str:
    sentences = ["Mean score of each CAM with its 95 % interval over images."]
    if summary[list(EMPTY_COLUMNS)].any(axis=None):
        sentences.append(
            "Below each CAM: the share of empty maps of the baseline and of the pruned network. "
            "Open diamonds: the mean without images with an empty map."
        )
    else:
        sentences.append("No map is empty.")
    if summary["floor_low"].notna().any():
        sentences.append("Bands: the baseline after fine-tuning alone.")
    if summary["chance"].notna().any():
        sentences.append("Dotted lines: networks with random weights.")
    if "retrained_low" in summary:
        sentences.append("Dashed lines: the range of other trainings of the baseline.")
    return " ".join(sentences)


def pictures(explainer: Explainer, numbers: Sequence[int], method: str) -> dict[int, Picture]:
    """Return images and their maps by a CAM, by the numbers of the images."""
    index = torch.tensor(list(numbers), dtype=torch.int64)
    pair = explainer.pair
    images = pair.images.pixels(index).cpu().numpy()
    inputs = explainer.inputs(index)
    before = explainer.heatmaps(pair.baseline, inputs, method).cpu().numpy()
    after = explainer.heatmaps(pair.pruned, inputs, method).cpu().numpy()
    parts = zip(images, before, after, strict=True)
    return dict(zip(numbers, map(Picture._make, parts), strict=True))


def moved_images(pictures: Mapping[int, Picture], table: pd.DataFrame) -> list[MovedImage]:
    """Return the first images of the first CAM in the table of moved images, with their maps."""
    chosen = table[table["method"] == table["method"].iloc[0]].head(MOVED_ROWS)
    moved = []
    for row in chosen.itertuples():
        pixels, before, after = pictures[row.image]
        text = (
            f"{label(shortened(row.file, _FILE_LETTERS))}\n"
            f"{label(row.baseline_prediction)} → {label(row.pruned_prediction)}\n"
            f"Sp2PS {row.sp2ps:.2f}"
        )
        colours = np.broadcast_to(pixels, (3, *pixels.shape[1:])).transpose(1, 2, 0) / 255
        moved.append(MovedImage(text, colours, before, after))
    return moved


def moved_grid(moved: Sequence[MovedImage]) -> Figure:
    """Draw a row per image: the image, both maps over it, and their difference."""
    rows = []
    for entry in moved:
        difference = colormaps["RdBu_r"]((entry.after - entry.before + 1) / 2)
        before, after = overlay(entry.image, entry.before), overlay(entry.image, entry.after)
        rows.append([entry.image, before, after, difference[..., :3]])
    return plots.grid(
        rows,
        columns=["image", "baseline", "pruned", "difference"],
        labels=[entry.label for entry in moved],
        grey=plots.first_rows(0),
        scale=1.5,
        empty=plots.empty_cells([[None, entry.before, entry.after] for entry in moved]),
    )


def means_with_controls(summary: pd.DataFrame, scores: Sequence[str]) -> Figure:
    """Draw the mean scores of every CAM, with the noise floor and the chance level."""
    methods = list(dict.fromkeys(summary["method"]))
    with plots.style():
        figure = Figure(figsize=(2.5 * len(scores) + 0.6, 3.4), layout="constrained")
        panels = figure.subplots(1, len(scores), squeeze=False)[0]
        for axes, score in zip(panels, scores, strict=True):
            of_score = summary[summary["score"] == score].set_index("method").loc[methods]
            for position, (method, row) in enumerate(of_score.iterrows()):
                _draw_mean(axes, position, row, colour(method, methods))
            axes.set(title=label(title(score)), xlim=(-0.6, len(methods) - 0.4))
            axes.set_xticks(range(len(methods)))
            labels = [_label(method, row) for method, row in of_score.iterrows()]
            axes.set_xticklabels(labels, rotation=30, ha="right")
            axes.grid(axis="y", alpha=0.25, linewidth=0.6)
            _set_score_limits(axes, score)
    return figure


def _label(method: str, row: pd.Series) -> str:
    """Return the title of a CAM and, if there are any, the shares of empty maps."""
    baseline, pruned = row["baseline_empty"], row["pruned_empty"]
    text = label(title(method))
    if not baseline and not pruned:
        return text
    return f"{text}\nempty: {100 * baseline:.0f} %, {100 * pruned:.0f} %"


def _draw_mean(axes: Axes, x: int, row: pd.Series, line_colour: str) -> None:
    """Draw a mean with its interval, the noise floor as a band, the chance level as a line."""
    if not np.isnan(row["floor_low"]):
        height = row["floor_high"] - row["floor_low"]
        bottom = row["floor_low"]
        axes.bar(x, height, 0.7, bottom=bottom, color=line_colour, alpha=0.22, linewidth=0)
    if not np.isnan(row["chance"]):
        axes.hlines(
            row["chance"], x - 0.35, x + 0.35, color=line_colour, linestyle=":", linewidth=1.4
        )
    if not np.isnan(row.get("retrained_low", np.nan)):
        lines = [row["retrained_low"], row["retrained_high"]]
        axes.hlines(lines, x - 0.35, x + 0.35, color=line_colour, linestyle="--", linewidth=1)
    error = [[row["mean"] - row["low"]], [row["high"] - row["mean"]]]
    axes.errorbar([x], [row["mean"]], error, fmt="o", color=line_colour, capsize=3, markersize=5)
    if row["baseline_empty"] or row["pruned_empty"]:
        axes.plot([x], [row["mean_nonempty"]], "D", color=line_colour, markerfacecolor="white")


def _set_score_limits(axes: Axes, score: str) -> None:
    """Show [0, 1] for the scores of pruncam; custom scores may have any range."""
    axes.use_sticky_edges = False  # or a bar that ends at 1 would end the axis there
    axes.margins(y=0.08)
    if score in metrics.SCORES:
        axes.set_ylim(0, 1.02)


def distributions(images: pd.DataFrame, scores: Sequence[str]) -> Figure:
    """Draw the cumulative distribution of each score over images, a curve per CAM."""
    methods = list(dict.fromkeys(images["method"].astype(str)))
    with plots.style():
        figure = Figure(figsize=(2.7 * len(scores) + 0.6, 3.2), layout="constrained")
        panels = figure.subplots(1, len(scores), squeeze=False, sharey=True)[0]
        for axes, score in zip(panels, scores, strict=True):
            for number, method in enumerate(methods):
                of_method = images[images["method"] == method]
                is_empty = of_method[list(EMPTY_COLUMNS)].any(axis=1)
                share = f" ({100 * is_empty.mean():.0f} % empty)" if is_empty.any() else ""
                axes.ecdf(
                    of_method[score],
                    color=colour(method, methods),
                    label=label(title(method)) + share,
                    marker=plots.MARKERS[number % len(plots.MARKERS)],
                    markevery=0.15,
                    markersize=4,
                )
            axes.set(title=label(title(score)))
            axes.grid(alpha=0.25, linewidth=0.6)
            if score in metrics.SCORES:
                axes.set_xlim(-0.02, 1.02)
        panels[0].set_ylabel("share of images")
        handles = panels[0].get_lines()
        plots.legend_below(figure, handles=handles, columns=len(methods))
    return figure


def class_bars(table: pd.DataFrame) -> Figure:
    """Draw the Sp2PS of each class: a group of bars per class, a bar per CAM."""
    methods = list(dict.fromkeys(table["method"]))
    means = table.groupby("class")["sp2ps"].mean().sort_values(kind="stable")
    classes = means.index[:MAX_CLASSES]
    bar_height = 0.8 / len(methods)
    figure_height = 0.8 + 0.11 * len(classes) * (len(methods) + 1)
    with plots.style():
        figure = Figure(figsize=(7.2, figure_height), layout="constrained")
        axes = figure.subplots()
        for number, method in enumerate(methods):
            of_method = table[table["method"] == method].set_index("class").loc[classes]
            sp2ps = of_method["sp2ps"]
            error = [sp2ps - of_method["sp2ps_low"], of_method["sp2ps_high"] - sp2ps]
            offset = (number - (len(methods) - 1) / 2) * bar_height
            axes.barh(
                np.arange(len(classes)) + offset,
                sp2ps,
                bar_height,
                xerr=error,
                color=colour(method, methods),
                label=label(title(method)),
                error_kw={"linewidth": 0.8},
            )
        axes.set(xlabel=title("sp2ps"), ylabel="class", xlim=(0, 1.02))
        axes.set_yticks(range(len(classes)), labels=list(map(label, classes)))
        axes.invert_yaxis()
        axes.grid(axis="x", alpha=0.25, linewidth=0.6)
        plots.legend_below(figure, columns=len(methods))
    return figure
