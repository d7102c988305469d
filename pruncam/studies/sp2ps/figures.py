"""The figures of the Sp2PS study."""

from collections.abc import Mapping
from functools import partial

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.figure import Figure

from pruncam import cams
from pruncam.report import plots
from pruncam.report.result import Drawing
from pruncam.studies.experiment import PLAIN_NETWORKS
from pruncam.studies.figures import (
    PAPER_HEAT,
    by_rate,
    empty_cells,
    made_at,
    overlay,
    percent,
    score_against_rate,
)
from pruncam.studies.network_diagrams import plain_networks, printed_and_run
from pruncam.studies.original_data import shown_names
from pruncam.studies.samples import Sample
from pruncam.studies.sp2ps import diagrams, published
from pruncam.studies.sp2ps.config import Sp2psConfig, has_paper_finetuning
from pruncam.studies.sp2ps.experiment import L1, RANDOM
from pruncam.studies.sp2ps.figure_images import FigureImage
from pruncam.studies.sp2ps.shortcut import CONTROL, MISLED, UNMOVED, ShortcutSample

_MAP_FIGURES = {  # the paper's numbers
    ("CIFAR-10", "grad-cam"): "4",
    ("CIFAR-10", "grad-cam++"): "5",
    ("CIFAR-10", "ablation-cam"): "6",
    ("STL-10", "grad-cam"): "7",
    ("STL-10", "grad-cam++"): "8",
    ("STL-10", "ablation-cam"): "9",
}
_CURVE_FIGURES = {
    ("CIFAR-10", L1): "10",
    ("CIFAR-10", RANDOM): "11",
    ("STL-10", L1): "12",
    ("STL-10", RANDOM): "13",
}
_SHORTCUT_LABELS = {
    UNMOVED: "baseline",
    CONTROL: "trained further,\nno marks",
    MISLED: "moved to\nthe mark",
}


def drawings(
    config: Sp2psConfig,
    tables: Mapping[str, pd.DataFrame],
    images: Mapping[str, FigureImage],
    provenance: Mapping[str, str],
) -> dict[str, Drawing]:
    """Return all figures except Figure 3 and that of the shortcut.

    `images` are those of the figures and `provenance` describes the test images, by data set.
    """
    figures = {
        "1": _three_cams(config, images, provenance),
        "2": Drawing(diagrams.scoring_pipeline, "How a pruned model is scored.", lines=True),
    }
    for dataset, image in images.items():
        collapsed = _collapsed_text(tables["curves"], dataset)
        ending = f"{collapsed}{made_at(config.profile, provenance[dataset])}"
        for method in config.methods:
            number = _MAP_FIGURES.get((dataset, method), f"maps {dataset} {method}")
            figures[number] = _maps_by_rate(config, image, method, ending)
        for rule in (L1, RANDOM):
            number = _CURVE_FIGURES.get((dataset, rule), f"curves {dataset} {rule}")
            figures[number] = _curves(config, tables, dataset, rule, ending)
    return figures


def _three_cams(
    config: Sp2psConfig, images: Mapping[str, FigureImage], provenance: Mapping[str, str]
) -> Drawing:
    """Figure 1, with the image of the last data set."""
    dataset, image = list(images.items())[-1]
    ending = made_at(config.profile, provenance[dataset]) + image.sample.acknowledgement
    caption = (
        f"The three CAMs of {image.description} by the unpruned network, alone and over the "
        f"image. {ending}"
    )
    return Drawing(partial(_draw_three_cams, image.sample), caption)


def _draw_three_cams(sample: Sample) -> Figure:
    """Draw an image, its heatmap by every CAM, and the heatmaps over the image."""
    heatmaps = [next(iter(rules.values()))[0] for rules in sample.maps.values()]
    titles = [cams.METHODS[method].title for method in sample.maps]
    alone = [colormaps[PAPER_HEAT](heatmap)[..., :3] for heatmap in heatmaps]
    over_image = [overlay(sample.image, heatmap, PAPER_HEAT) for heatmap in heatmaps]
    blank = np.ones((*heatmaps[0].shape, 3))
    image = blank if sample.image is None else sample.image
    return plots.grid(
        [[image, *alone], [blank, *over_image]],
        columns=["not available" if sample.image is None else sample.label, *titles],
        labels=["heatmap", "over the image"],
        grey=plots.first_rows(0),
        scale=1.7,
        empty=empty_cells([heatmaps, heatmaps]),
    )


def _maps_by_rate(config: Sp2psConfig, image: FigureImage, method: str, ending: str) -> Drawing:
    """Figures 4 to 9."""
    caption = (
        f"{cams.METHODS[method].title} of {image.description} by the unpruned network and by "
        f"models pruned at {percent(config.rates)}. {ending}{image.sample.acknowledgement}"
    )
    maps = image.sample.maps[method]
    return Drawing(partial(by_rate, image.sample, config.rates, maps), caption)


def _collapsed_text(curves: pd.DataFrame, dataset: str) -> str:
    """Return at which rates accuracy has collapsed, a sentence for captions; empty if at none."""
    is_pruned = curves["rule"].isin([L1, RANDOM])
    is_collapsed = (curves["dataset"] == dataset) & is_pruned & curves["collapsed"]
    by_rule = curves[is_collapsed].groupby("rule", sort=False)["rate"].unique()
    parts = [f"with {rule} at {percent(sorted(rates))}" for rule, rates in by_rule.items()]
    return f"Accuracy has collapsed {' and '.join(parts)}. " if parts else ""


def _curves(
    config: Sp2psConfig,
    tables: Mapping[str, pd.DataFrame],
    dataset: str,
    rule: str,
    ending: str,
) -> Drawing:
    """Figures 10 to 13."""
    recipe = "" if has_paper_finetuning(config) else " (by another recipe than the paper's)"
    images = shown_names(config.datasets)[dataset]
    caption = (
        f"Accuracy (left scale) and Sp2PS of the three CAMs on {images} with {rule}; bars: 95 % "
        "intervals over images. The curves of Sp2PS start at the baseline that is fine-tuned and "
        f"not pruned{recipe}; bands: all its seeds and their interval. Dotted: networks with "
        "random weights or, where most of their maps are empty, maps of other images. "
        f"{_printed_text(dataset)}{ending}"
    )
    draw = partial(
        score_against_rate,
        tables,
        dataset,
        rule,
        ("sp2ps", "Sp2PS"),
        xlabel="pruning rate, %",
        printed={"accuracy": published.accuracy_of(dataset)},
    )
    return Drawing(draw, caption, lines=True)


def _printed_text(dataset: str) -> str:
    """Return what the open marker is, a sentence for the caption; empty without one."""
    _, values = published.accuracy_of(dataset)
    printed = " and ".join(f"{value:g} %" for value in values)
    return f"Open marker: the paper's unpruned network, {printed}. " if values else ""


def networks(config: Sp2psConfig, classes: Mapping[str, int]) -> Drawing:
    """Return Figure 3, the paper's networks and those that are run; `classes` is by data set."""
    drawn = [
        network
        for size in PLAIN_NETWORKS
        for network in printed_and_run(config.datasets, size, classes, "10")
    ]
    caption = "The networks for small and for large images: the paper's, and those of this run."
    return Drawing(partial(plain_networks, drawn), caption, lines=True)


def shortcut(config: Sp2psConfig, sample: ShortcutSample, provenance: str) -> Drawing:
    """Return the figure of one marked image and the heatmaps of three models."""
    caption = (
        "An image with a mark in its upper left corner, and the heatmaps of three models: the "
        "baseline, the baseline trained further without marks, and the baseline moved to the mark, "
        "which tells the class when the object does not. Of the first 50 test images, this is "
        "the one on whose mark the baseline's heatmap lies least, among those that all three "
        "models classify correctly if there are any. It shows the move better than most images "
        "do; the table has the means of all. "
        f"{made_at(config.profile, provenance)}"
    )
    return Drawing(partial(_draw_shortcut, sample), caption)


def _draw_shortcut(sample: ShortcutSample) -> Figure:
    by_method = next(iter(sample.maps.values()))
    heatmap = next(iter(by_method.values()))
    blank = np.ones((*heatmap.shape, 3))
    image = blank if sample.image is None else sample.image
    rows = [
        [image, *(overlay(sample.image, heatmap) for heatmap in maps.values())]
        for maps in sample.maps.values()
    ]
    title = "not shown" if sample.image is None else "image"
    columns = [title, *(cams.METHODS[method].title for method in by_method)]
    labels = [_SHORTCUT_LABELS[name] for name in sample.maps]
    return plots.grid(
        rows,
        columns=columns,
        labels=labels,
        grey=plots.first_rows(0),
        scale=1.4,
        empty=empty_cells(maps.values() for maps in sample.maps.values()),
    )
