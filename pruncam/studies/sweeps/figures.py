"""The figures of the pruning sweeps, with their captions."""

from collections.abc import Mapping
from functools import partial

import pandas as pd

from pruncam.report.result import Drawing
from pruncam.studies.network_diagrams import plain_networks, printed_and_run
from pruncam.studies.original_data import shown_names
from pruncam.studies.sweeps import complexity_charts, diagrams, map_charts, rate_charts
from pruncam.studies.sweeps.analysis import BEYOND
from pruncam.studies.sweeps.config import SweepsConfig
from pruncam.studies.sweeps.experiment import DROPPED, KEPT

_PRINTED_CLASSES = {32: "10 or 100", 96: "10"}  # of the paper's networks, by size of the images
_INTERVALS = "bars: 95 % intervals over images (and over trainings, if there are several)"
_CAPTIONS = {
    "2": "The networks for images of 32x32 pixels: the paper's, and those of this run.",
    "3": "The networks for images of 96x96 pixels: the paper's, and those of this run.",
    "4": "Left: accuracy against the pruning rate, not fine-tuned. Right: its change from the "
    "unpruned network's at low rates; what is below -6 points is cut off. Points at one rate are "
    f"moved apart; {_INTERVALS}. Hollow, dotted: Table 2 as printed, the outlying cell ringed.",
    "5": "Accuracy, and its change from the unpruned network's, after fine-tuning with the masks "
    "dropped, so that pruned connections grow back. The point at 0 is the unpruned network after "
    f"the same fine-tuning. Points at one rate are moved apart; {_INTERVALS}.",
    "connections": "Pruned weights (dashed frames) in fine-tuning: without masks they grow back "
    "(orange).",
    "kept": "Accuracy, and its change from the unpruned network's, after fine-tuning with the "
    "masks kept, so that the network stays pruned. The point at 0 is the unpruned network after "
    f"the same fine-tuning. Points at one rate are moved apart; {_INTERVALS}.",
    "complexity": f"What is lost, mean of the rates beyond {BEYOND:.0%}, against the complexity of "
    "each data set: above in points, below as a share of the unpruned network's accuracy above "
    f"guessing; {_INTERVALS}. Hollow: as printed.",
    "limits": "The rate up to which at most {max_loss:g} point is lost, against the complexity of "
    f"the training images; {_INTERVALS}. Line and band: the estimate of `safe_rate`. Hollow: the "
    "printed numbers, STL-10 also without the outlying cell.",
    "maps": "Pruning alone, not fine-tuned: what is left of the accuracy, as a share of the "
    "unpruned network's, and of the heatmaps (mean Sp2PS with the unpruned network's). Band: Sp2PS "
    "of the unpruned network after fine-tuning, which pruning has not touched; dotted: chance "
    "(random weights; where they draw no maps, the maps of other images).",
}


def drawings(
    config: SweepsConfig,
    tables: Mapping[str, pd.DataFrame],
    provenance: Mapping[str, str],
) -> dict[str, Drawing]:
    """Return all figures; `provenance` describes the images, by data set."""
    sweep = tables["sweep"]
    classes = tables["complexity"].set_index("dataset")["classes"]
    networks = {
        size: printed_and_run(config.datasets, size, classes, printed)
        for size, printed in _PRINTED_CLASSES.items()
    }
    diagrams_by_name = {
        "2": partial(plain_networks, networks[32]),
        "3": partial(plain_networks, networks[96]),
        "connections": diagrams.connections,
    }
    names = shown_names(config.datasets)
    plots_by_name = {
        "4": partial(rate_charts.not_tuned, sweep, names),
        "5": partial(rate_charts.tuned, sweep, DROPPED, names),
        "kept": partial(rate_charts.tuned, sweep, KEPT, names),
        "complexity": partial(complexity_charts.losses, tables, names),
        "limits": partial(complexity_charts.limits, config, tables, names),
        "maps": partial(map_charts.maps, tables, names),
    }
    sources = "; ".join(f"{names[dataset]}: {text}" for dataset, text in provenance.items())
    ending = f"Profile {config.profile}; {sources}."
    figures = {}
    for name, text in _CAPTIONS.items():
        caption = text.format(max_loss=config.max_loss)
        if name in diagrams_by_name:
            figures[name] = Drawing(diagrams_by_name[name], caption, lines=True)
        else:
            figures[name] = Drawing(plots_by_name[name], f"{caption} {ending}", lines=True)
    return figures
