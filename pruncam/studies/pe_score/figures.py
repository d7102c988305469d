"""The figures of the PE-score study."""

from collections.abc import Mapping
from functools import partial

import pandas as pd

from pruncam import cams
from pruncam.report.result import Drawing
from pruncam.studies.figures import (
    all_cams,
    by_rate,
    in_paper_order,
    made_at,
    percent,
    score_against_rate,
)
from pruncam.studies.original_data import shown_names
from pruncam.studies.pe_score import diagrams
from pruncam.studies.pe_score.config import FASTER, WEIGHT, PeScoreConfig
from pruncam.studies.pe_score.published import printed_points
from pruncam.studies.samples import Sample

_CURVE_FIGURES = {  # the paper's numbers
    ("CIFAR-10", FASTER): "4",
    ("CIFAR-10", WEIGHT): "5",
    ("COVID-19", WEIGHT): "7",
    ("COVID-19", FASTER): "8",
}
_MAP_FIGURES = {"CIFAR-10": "6", "COVID-19": "9"}


def drawings(
    config: PeScoreConfig,
    tables: Mapping[str, pd.DataFrame],
    samples: Mapping[str, Sample],
    provenance: Mapping[str, str],
) -> dict[str, Drawing]:
    """Return all figures.

    `samples` are the images shown and `provenance` describes the images, by data set.
    """
    endings = {name: made_at(config.profile, text) for name, text in provenance.items()}
    figures = {
        "1": Drawing(
            diagrams.removed_neurons,
            "A pruning rate of 40 % leaves 3 of 5 neurons.",
            lines=True,
        ),
        "2": _three_cams(samples, endings),
        "3": Drawing(
            diagrams.pe_pipeline,
            "From the heatmaps and confidences of two models to the PE score.",
            lines=True,
        ),
    }
    for dataset, sample in samples.items():
        number = _MAP_FIGURES.get(dataset, f"maps {dataset}")
        figures[number] = _maps_by_rate(config, tables, dataset, sample, endings[dataset])
        for rule in config.criteria:
            number = _CURVE_FIGURES.get((dataset, rule), f"curves {dataset} {rule}")
            figures[number] = _curves(config, tables, dataset, rule, endings[dataset])
    return in_paper_order(figures)


def _three_cams(samples: Mapping[str, Sample], endings: Mapping[str, str]) -> Drawing:
    """Figure 2, with the sample of the first data set."""
    dataset, sample = next(iter(samples.items()))
    ending = endings[dataset] + sample.acknowledgement
    caption = f"The three CAMs of one image by the unpruned network. {ending}"
    return Drawing(partial(all_cams, sample), caption)


def _maps_by_rate(
    config: PeScoreConfig,
    tables: Mapping[str, pd.DataFrame],
    dataset: str,
    sample: Sample,
    ending: str,
) -> Drawing:
    """Figures 6 and 9, with SeNPIS-Faster if it is among the criteria."""
    rule = FASTER if FASTER in config.criteria else config.criteria[0]
    rows = {cams.METHODS[method].title: maps[rule] for method, maps in sample.maps.items()}
    caption = (
        f"Heatmaps of test image {sample.index} (class {sample.label}) by the unpruned network and "
        f"with {percent(config.rates)} of every layer's filters removed by {rule}."
        f"{_collapse(tables, dataset, rule)} {ending}{sample.acknowledgement}"
    )
    return Drawing(partial(by_rate, sample, config.rates, rows), caption)


def _curves(
    config: PeScoreConfig,
    tables: Mapping[str, pd.DataFrame],
    dataset: str,
    rule: str,
    ending: str,
) -> Drawing:
    """Figures 4, 5, 7 and 8."""
    printed = printed_points(dataset, rule)
    images = shown_names(config.datasets)[dataset]
    unnamed = " Black: a PE whose CAM it does not name." if "" in printed else ""
    caption = (
        f"Accuracy (left scale) and PE of the CAMs on {images} with {rule}; bars: 95 % intervals "
        f"over images. Open markers: printed by the paper.{unnamed} Bands, and the start of the "
        "curves: PE of the network that is fine-tuned and not pruned; dotted: of networks with "
        "random weights, or of maps of other images where most of theirs are empty."
        f"{_collapse(tables, dataset, rule)} {ending}"
    )
    draw = partial(
        score_against_rate,
        tables,
        dataset,
        rule,
        ("pe", "PE"),
        xlabel="filters removed in every layer, %",
        printed=printed,
    )
    return Drawing(draw, caption, lines=True)


def _collapse(tables: Mapping[str, pd.DataFrame], dataset: str, rule: str) -> str:
    """Return which networks have collapsed, as a sentence after a space; empty if none has."""
    curves = tables["curves"]
    of_rule = curves[(curves["dataset"] == dataset) & (curves["rule"] == rule)]
    rates = of_rule.loc[of_rule["collapsed"], "rate"].unique()
    if len(rates) == 0:
        return ""
    return (
        f" At {percent(rates)} accuracy has collapsed (to less than half of the unpruned network's "
        "above chance): heatmaps and PE say nothing there."
    )
