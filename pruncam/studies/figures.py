"""Figures that the pruning studies share: heatmaps over their image, and scores against the rate."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.figure import Figure

from pruncam.report import plots
from pruncam.studies.half import CHANCE, FLOOR
from pruncam.studies.samples import Sample

TITLES = {"grad-cam": "Grad-CAM", "grad-cam++": "Grad-CAM++", "ablation-cam": "Ablation-CAM"}
COLOURS = {"grad-cam": plots.ORANGE, "grad-cam++": plots.GREY, "ablation-cam": plots.PURPLE}


def percent(rates: Sequence[float]) -> str:
    """Rates in words."""
    return ", ".join(f"{100 * rate:g}" for rate in rates) + " %"


def overlay(image: np.ndarray | None, heatmap: np.ndarray) -> np.ndarray:
    """The heatmap in colours over its picture, made grey; alone where the picture may not be published."""
    coloured = colormaps["jet"](heatmap)[..., :3]
    if image is None:
        return coloured
    # Grey under the heatmap: its colours must not be taken for those of the picture.
    return 0.5 * image.mean(2, keepdims=True) + 0.5 * coloured


def three_cams(sample: Sample) -> Figure:
    """An image, and its maps by the unpruned network."""
    maps = {method: next(iter(rules.values()))[0] for method, rules in sample.maps.items()}
    pictures = [_picture(sample), *(overlay(sample.image, heatmap) for heatmap in maps.values())]
    titles = [_name(sample), *(TITLES[method] for method in maps)]
    return plots.grid([pictures], columns=titles, labels=[""], grey=plots.first_rows(0), scale=1.7)


def by_rate(sample: Sample, rates: Sequence[float], rows: Mapping[str, np.ndarray]) -> Figure:
    """An image and its maps, unpruned and at every rate; `rows` has (rates + 1, H, W) maps by their name."""
    pictures = [[_picture(sample), *(overlay(sample.image, heatmap) for heatmap in maps)] for maps in rows.values()]
    columns = [_name(sample), "unpruned", *(f"{100 * rate:g} %" for rate in rates)]
    return plots.grid(pictures, columns=columns, labels=list(rows), grey=plots.first_rows(0), scale=1.2)


def _picture(sample: Sample) -> np.ndarray:
    """The image, or a blank of its size."""
    shape = next(iter(next(iter(sample.maps.values())).values())).shape[1:]
    return np.ones((*shape, 3)) if sample.image is None else sample.image


def _name(sample: Sample) -> str:
    return "not shown" if sample.image is None else sample.label


def score_against_rate(
    tables: Mapping[str, pd.DataFrame], half: str, rule: str, score: tuple[str, str], *, xlabel: str
) -> Figure:
    """Accuracy and a score of every CAM against the rate, over fine-tuning alone and chance; `score` is (column, name).

    `tables` has "curves" and "ends" (`studies.tables`).
    """
    curves, ends = (tables[name][tables[name]["half"] == half] for name in ("curves", "ends"))
    part, (column, name) = curves[curves["rule"] == rule].sort_values("rate", kind="stable"), score
    series = {}
    for method in part["method"].unique():
        own, beside = part[part["method"] == method], curves[curves["method"] == method]
        chance = beside.loc[beside["rule"] == CHANCE, column]
        seeds = ends.loc[(ends["method"] == method) & (ends["rule"] == FLOOR), column]
        series[TITLES[method]] = plots.Series(
            x=[0, *(100 * own["rate"])],
            y=[1, *own[column]],
            low=[1, *own[f"{column}_low"]],
            high=[1, *own[f"{column}_high"]],
            colour=COLOURS[method],
            floor=_band(beside[beside["rule"] == FLOOR], seeds, column),
            chance=chance.iloc[0] if len(chance) else None,
        )
    once = part[part["method"] == part["method"].iloc[0]]
    baseline = (once["accuracy"] + once["acc_drop"]).iloc[0]
    accuracy = plots.Series([0, *(100 * once["rate"])], [baseline, *once["accuracy"]], colour=plots.BLUE)
    return plots.against_rate(accuracy, series, labels=(xlabel, "accuracy, %", name))


def _band(mean: pd.DataFrame, seeds: pd.Series, column: str) -> tuple[float, float] | None:
    """What the seeds and the interval of their mean span."""
    if mean.empty:
        return None
    return min(mean[f"{column}_low"].min(), seeds.min()), max(mean[f"{column}_high"].max(), seeds.max())
