"""The figures of the Sp2PS study."""

from collections.abc import Mapping
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pruncam import cams
from pruncam.report import plots
from pruncam.report.result import Drawing
from pruncam.studies.figures import (
    all_cams,
    by_rate,
    empty_cells,
    in_paper_order,
    made_at,
    overlay,
    percent,
    score_against_rate,
)
from pruncam.studies.samples import Sample
from pruncam.studies.sp2ps import diagrams
from pruncam.studies.sp2ps.config import Sp2psConfig
from pruncam.studies.sp2ps.experiment import L1, RANDOM
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
    CONTROL: "trained on,\nno marks",
    MISLED: "moved to\nthe mark",
}


def drawings(
    config: Sp2psConfig,
    tables: Mapping[str, pd.DataFrame],
    samples: Mapping[str, Sample],
    provenance: Mapping[str, str],
) -> dict[str, Drawing]:
    """Return all figures except that of the shortcut.

    `samples` are the images shown and `provenance` describes the images, by data set.
    """
    figures = {
        "1": _three_cams(config, samples, provenance),
        "2": Drawing(diagrams.scoring_pipeline, "How a pruned model is scored.", lines=True),
        "3": Drawing(
            diagrams.plain_networks,
            "The two networks: 3x3 convolutions, BatchNorm, ReLU.",
            lines=True,
        ),
    }
    for dataset, sample in samples.items():
        ending = made_at(config.profile, provenance[dataset])
        for method in config.methods:
            number = _MAP_FIGURES.get((dataset, method), f"maps {dataset} {method}")
            figures[number] = _maps_by_rate(config, sample, method, ending)
        for rule in (L1, RANDOM):
            number = _CURVE_FIGURES.get((dataset, rule), f"curves {dataset} {rule}")
            figures[number] = _curves(tables, dataset, rule, ending)
    return in_paper_order(figures)


def _three_cams(
    config: Sp2psConfig, samples: Mapping[str, Sample], provenance: Mapping[str, str]
) -> Drawing:
    """Figure 1, with the sample of the last data set."""
    dataset, sample = list(samples.items())[-1]
    ending = made_at(config.profile, provenance[dataset]) + sample.acknowledgement
    caption = f"The three CAMs of one image by the unpruned network. {ending}"
    return Drawing(partial(all_cams, sample), caption)


def _maps_by_rate(config: Sp2psConfig, sample: Sample, method: str, ending: str) -> Drawing:
    """Figures 4 to 9."""
    caption = (
        f"{cams.METHODS[method].title} of test image {sample.index} (class {sample.label}) by the "
        f"unpruned network and by models pruned at {percent(config.rates)}. "
        f"{ending}{sample.acknowledgement}"
    )
    return Drawing(partial(by_rate, sample, config.rates, sample.maps[method]), caption)


def _curves(tables: Mapping[str, pd.DataFrame], dataset: str, rule: str, ending: str) -> Drawing:
    """Figures 10 to 13."""
    caption = (
        f"Accuracy (left scale) and Sp2PS of the three CAMs on {dataset} with {rule}; bars: 95 % "
        "intervals over images. Bands: Sp2PS of the baseline that is fine-tuned and not pruned, "
        "all seeds and their interval; dotted: of networks with random weights. "
        f"{ending}"
    )
    draw = partial(
        score_against_rate, tables, dataset, rule, ("sp2ps", "Sp2PS"), xlabel="pruning rate, %"
    )
    return Drawing(draw, caption, lines=True)


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
