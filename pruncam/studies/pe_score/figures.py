"""The figures of the PE-score study."""

from collections.abc import Mapping
from functools import partial

import pandas as pd

from pruncam.report import diagrams
from pruncam.report.result import Drawing
from pruncam.studies.figures import TITLES, by_rate, percent, score_against_rate, three_cams
from pruncam.studies.pe_score.config import FASTER, WEIGHT, Config
from pruncam.studies.samples import Sample

CURVES = {  # the paper's numbers
    ("CIFAR-10", FASTER): "4",
    ("CIFAR-10", WEIGHT): "5",
    ("COVID-19", WEIGHT): "7",
    ("COVID-19", FASTER): "8",
}
MAPS = {"CIFAR-10": "6", "COVID-19": "9"}


def drawings(
    config: Config, tables: Mapping[str, pd.DataFrame], samples: Mapping[str, Sample], data: Mapping[str, str]
) -> dict[str, Drawing]:
    """Every figure of the study; `data` names the data set behind each half in captions."""
    first = next(iter(samples))
    pictured = {half: _where(config, data[half]) + sample.acknowledged for half, sample in samples.items()}
    found = {
        "1": Drawing(diagrams.removed_neurons, "A pruning rate of 40 % leaves 3 of 5 neurons.", lines=True),
        "2": Drawing(
            partial(three_cams, samples[first]),
            f"The three CAMs of one image by the unpruned network. {pictured[first]}",
        ),
        "3": Drawing(diagrams.pe_pipeline, "How the PE score of a pruned model comes about.", lines=True),
    }
    for half, sample in samples.items():
        rule = FASTER if FASTER in config.criteria else config.criteria[0]
        rows = {TITLES[method]: rules[rule] for method, rules in sample.maps.items()}
        caption = (
            f"Heatmaps of test image {sample.index} (class {sample.label}) by the unpruned network and with "
            f"{percent(config.rates)} of every layer's filters removed by {rule}. {pictured[half]}"
        )
        found[MAPS.get(half, f"maps {half}")] = Drawing(partial(by_rate, sample, config.rates, rows), caption)
        for rule in config.criteria:
            caption = (
                f"Accuracy (left scale) and PE of the three CAMs on {half} with {rule}; bars: 95 % intervals over "
                "images. Bands: PE of the baseline that is fine-tuned and not pruned; dotted: of a network with random "
                f"weights. {_where(config, data[half])}"
            )
            draw = partial(
                score_against_rate, tables, half, rule, ("pe", "PE"), xlabel="filters removed in every layer, %"
            )
            found[CURVES.get((half, rule), f"curves {half} {rule}")] = Drawing(draw, caption, lines=True)
    return dict(sorted(found.items(), key=lambda entry: (len(entry[0]), entry[0])))


def _where(config: Config, data: str) -> str:
    return f"Profile {config.profile}, {data}."
