"""Do heatmaps move before accuracy falls? Their scores beside the accuracy, without fine-tuning."""

import math
from collections.abc import Collection

import numpy as np
import pandas as pd

from pruncam._core.seeds import derive
from pruncam.statistics import crossed_means
from pruncam.studies import score_tables
from pruncam.studies.paired_scores import PairedScores
from pruncam.studies.sweeps.analysis import resampled_crossing, safe_up_to
from pruncam.studies.sweeps.config import SweepsConfig
from pruncam.studies.sweeps.experiment import L1
from pruncam.studies.sweeps.resampling import Resampled, ResampledAccuracies

SP2PS_DROPS = (0.05, 0.10, 0.20)  # heatmaps that lose more have moved: three readings of it
_KEYS = ["dataset", "rule", "rate"]
_ACCURACY = [
    "baseline",
    "baseline_low",
    "baseline_high",
    "accuracy",
    "accuracy_low",
    "accuracy_high",
    "acc_drop",
    "collapsed",
]


def map_scores(
    config: SweepsConfig,
    rows: pd.DataFrame,
    sweep: pd.DataFrame,
) -> pd.DataFrame:
    """Return the scores of the heatmaps beside the accuracy.

    Scores are of the first baseline and the first test images, accuracies of all.
    """
    curves = score_tables.curves(config, rows, score_tables.accuracies(config, rows))
    scores = curves.drop(columns=[*_ACCURACY, "same_prediction", "seeds"])
    return scores.merge(sweep[[*_KEYS, *_ACCURACY]], on=_KEYS)


def moves(
    config: SweepsConfig,
    datasets: Collection[ResampledAccuracies],
    scores: PairedScores,
) -> pd.DataFrame:
    """Return the rates up to which accuracy and heatmaps stay, without fine-tuning.

    Accuracy stays within `max_loss` points, heatmaps within `sp2ps_drop` of their Sp2PS. `lead` is
    the difference of the two rates, with an interval over images and trainings: above 0, the maps
    move first. `finetuning_costs` is what the same Sp2PS loses if the unpruned network is only
    fine-tuned (NaN if that was not run): a smaller drop is no sign of pruning.
    """
    rows = [
        _move(config, accuracies, scores, method, drop)
        for accuracies in datasets
        for method in config.methods
        for drop in SP2PS_DROPS
    ]
    return pd.DataFrame(rows)


def _move(
    config: SweepsConfig,
    accuracies: ResampledAccuracies,
    scores: PairedScores,
    method: str,
    drop: float,
) -> dict[str, object]:
    dataset = accuracies.dataset
    accuracy_stays = safe_up_to(accuracies, config)
    sp2ps_drops = _sp2ps_drops(config, scores, dataset, method)
    maps_stay = resampled_crossing(config.rates, sp2ps_drops, drop)
    lead = (accuracy_stays - maps_stay).interval
    floor = scores.floor(dataset, method)
    return {
        "dataset": dataset,
        "method": method,
        "sp2ps_drop": drop,
        "accuracy_stays": accuracy_stays.value,
        "maps_stay": maps_stay.value,
        "lead": lead.value,
        "low": lead.low,
        "high": lead.high,
        "maps_move_first": lead.value > 0,
        "finetuning_costs": math.nan if floor is None else 1 - floor.mean(),
        "trainings": accuracies.correctness.trainings,
    }


def _sp2ps_drops(
    config: SweepsConfig,
    scores: PairedScores,
    dataset: str,
    method: str,
) -> list[Resampled]:
    """Return how far mean Sp2PS is below 1 at every rate."""
    by_image = np.stack([scores.of(dataset, L1, rate, method) for rate in config.rates], axis=-1)
    seed = derive(config.seed, "maps", dataset, method)
    samples = crossed_means(1 - by_image, samples=config.bootstrap, seed=seed)
    values = (1 - by_image).mean(axis=(0, 1))
    return [Resampled(float(v), column) for v, column in zip(values, samples.T, strict=True)]


def counts(moves: pd.DataFrame) -> pd.DataFrame:
    """Return on how many data sets the heatmaps move first, by CAM method and drop of Sp2PS.

    `surely` counts those whose whole interval says so; `finetuning_costs_more` those where
    fine-tuning alone costs more than that drop, at least `least_cost` and at most `largest_cost`.
    `moves` is the table of that name.
    """
    moves = moves.assign(
        surely=moves["low"] > 0,
        finetuning_costs_more=moves["finetuning_costs"] > moves["sp2ps_drop"],
    )
    groups = moves.groupby(["method", "sp2ps_drop"], sort=False)
    table = groups[["maps_move_first", "surely", "finetuning_costs_more"]].sum()
    table.insert(0, "data_sets", groups.size())
    table["least_cost"] = groups["finetuning_costs"].min()
    table["largest_cost"] = groups["finetuning_costs"].max()
    return table.reset_index()
