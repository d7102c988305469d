"""The figures of the Sp2PS study."""

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pruncam.report import diagrams, plots
from pruncam.report.result import Drawing
from pruncam.studies.figures import TITLES, by_rate, overlay, percent, score_against_rate, three_cams
from pruncam.studies.samples import Sample
from pruncam.studies.sp2ps.config import Config
from pruncam.studies.sp2ps.distractor import CONTROL, MISLED, UNMOVED
from pruncam.studies.sp2ps.half import L1, RANDOM

MAPS = {"CIFAR-10": {"grad-cam": "4", "grad-cam++": "5", "ablation-cam": "6"}}  # the paper's numbers
MAPS["STL-10"] = {"grad-cam": "7", "grad-cam++": "8", "ablation-cam": "9"}
MOVED = {UNMOVED: "baseline", CONTROL: "trained on,\nno marks", MISLED: "moved to\nthe mark"}
CURVES = {("CIFAR-10", L1): "10", ("CIFAR-10", RANDOM): "11", ("STL-10", L1): "12", ("STL-10", RANDOM): "13"}


def drawings(
    config: Config, tables: dict[str, pd.DataFrame], samples: dict[str, Sample], data: dict[str, str]
) -> dict[str, Drawing]:
    """Every figure of the study; `data` names the data set behind each half in captions."""
    last = list(samples)[-1]
    pictured = {half: _where(config, data[half]) + sample.acknowledged for half, sample in samples.items()}
    found = {
        "1": Drawing(
            partial(three_cams, samples[last]),
            f"The three CAMs of one image by the unpruned network. {pictured[last]}",
        ),
        "2": Drawing(diagrams.scoring_pipeline, "How a pruned model is scored.", lines=True),
        "3": Drawing(diagrams.plain_networks, "The two networks: 3x3 convolutions, BatchNorm, ReLU.", lines=True),
    }
    for half, sample in samples.items():
        for method in config.methods:
            number = MAPS.get(half, {}).get(method, f"maps {half} {method}")
            caption = (
                f"{TITLES[method]} of test image {sample.index} (class {sample.label}) by the unpruned network and by "
                f"models pruned at {percent(config.rates)}. {pictured[half]}"
            )
            found[number] = Drawing(partial(by_rate, sample, config.rates, sample.maps[method]), caption)
    for half in samples:
        for rule in (L1, RANDOM):
            caption = (
                f"Accuracy (left scale) and Sp2PS of the three CAMs on {half} with {rule}; bars: 95 % intervals over "
                "images. Bands: Sp2PS of the baseline that is fine-tuned and not pruned, all seeds and their interval; "
                f"dotted: of networks with random weights. {_where(config, data[half])}"
            )
            number = CURVES.get((half, rule), f"curves {half} {rule}")
            found[number] = Drawing(
                partial(score_against_rate, tables, half, rule, ("sp2ps", "Sp2PS"), xlabel="pruning rate, %"),
                caption,
                lines=True,
            )
    return dict(sorted(found.items(), key=lambda entry: (len(entry[0]), entry[0])))


def _where(config: Config, data: str) -> str:
    return f"Profile {config.profile}, {data}."


def distractor(
    config: Config, sample: tuple[np.ndarray | None, dict[str, dict[str, np.ndarray]]], data: str
) -> Drawing:
    """One marked picture, and where the baseline and the model that was moved to the mark look."""
    caption = (
        "A picture with a mark in its upper left corner, and where three models look: the baseline, the baseline "
        "trained on without marks, and the baseline moved to the mark, which tells the class when the object does not. "
        "Of the first 50 test pictures that all three get right, the one on whose mark the baseline's heatmap lies "
        "least: it shows the move better than most; the table has the means of all. "
        f"{_where(config, data)}"
    )
    return Drawing(partial(_misled, sample), caption)


def _misled(sample: tuple[np.ndarray | None, dict[str, dict[str, np.ndarray]]]) -> Figure:
    image, maps = sample
    blank = np.ones((*next(iter(next(iter(maps.values())).values())).shape, 3))
    rows = [
        [blank if image is None else image, *(overlay(image, heatmap) for heatmap in found.values())]
        for found in maps.values()
    ]
    columns = ["not shown" if image is None else "picture", *(TITLES[method] for method in next(iter(maps.values())))]
    labels = [MOVED[name] for name in maps]
    return plots.grid(rows, columns=columns, labels=labels, grey=plots.first_rows(0), scale=1.4)
