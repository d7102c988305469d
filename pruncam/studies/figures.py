"""Figures of the pruning studies: heatmaps over their image, and scores against the rate."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.figure import Figure

from pruncam import cams
from pruncam.report import plots
from pruncam.scoring.controls import CHANCE, FLOOR, SHUFFLED
from pruncam.studies.paired_scores import MOSTLY
from pruncam.studies.samples import Sample

Points = tuple[Sequence[float], Sequence[float]]  # rates in %, values
PAPER_HEAT = "jet"  # of the papers' own figures; it is neither even nor safe for colour-blind eyes


def percent(rates: Sequence[float]) -> str:
    """Return rates as text, such as "20, 40 %"."""
    return ", ".join(f"{100 * rate:g}" for rate in rates) + " %"


def made_at(profile: str, provenance: str) -> str:
    """Return the sentence that ends a caption: profile and data."""
    return f"Profile {profile}, {provenance}."


def in_paper_order(drawings: Mapping[str, object]) -> dict:
    """Return drawings sorted by number: "2" before "10", names last."""
    return dict(sorted(drawings.items(), key=lambda entry: (len(entry[0]), entry[0])))


def overlay(image: np.ndarray | None, heatmap: np.ndarray, colours: str = plots.HEAT) -> np.ndarray:
    """Return the heatmap in the colours of a map over its image in grey, (H, W, 3).

    The image is grey so that its colours are not taken for those of the heatmap. Without an image
    (None) the heatmap is shown alone.
    """
    coloured = colormaps[colours](heatmap)[..., :3]
    if image is None:
        return coloured
    return 0.5 * image.mean(2, keepdims=True) + 0.5 * coloured


def all_cams(sample: Sample) -> Figure:
    """Draw an image and its heatmaps of all CAM methods by the unpruned network."""
    maps = {method: next(iter(rules.values()))[0] for method, rules in sample.maps.items()}
    overlays = [overlay(sample.image, heatmap, PAPER_HEAT) for heatmap in maps.values()]
    columns = [_image_title(sample), *(cams.METHODS[method].title for method in maps)]
    row = [_image_or_blank(sample), *overlays]
    return plots.grid(
        [row],
        columns=columns,
        labels=[""],
        grey=plots.first_rows(0),
        scale=1.7,
        empty=empty_cells([maps.values()]),
    )


def by_rate(sample: Sample, rates: Sequence[float], rows: Mapping[str, np.ndarray]) -> Figure:
    """Draw an image and its heatmaps, unpruned and at every rate.

    `rows` maps the label of each row to heatmaps (rates + 1, H, W).
    """
    image = _image_or_blank(sample)
    grid = [
        [image, *(overlay(sample.image, heatmap, PAPER_HEAT) for heatmap in maps)]
        for maps in rows.values()
    ]
    columns = [_image_title(sample), "unpruned", *(f"{100 * rate:g} %" for rate in rates)]
    return plots.grid(
        grid,
        columns=columns,
        labels=list(rows),
        grey=plots.first_rows(0),
        scale=1.2,
        empty=empty_cells(rows.values()),
    )


def empty_cells(rows: Iterable[Iterable[np.ndarray]]) -> set[tuple[int, int]]:
    """Return row and column of the empty heatmaps, which begin in the column after the image."""
    return {
        (row, column)
        for row, heatmaps in enumerate(rows)
        for column, heatmap in enumerate(heatmaps, start=1)
        if plots.is_empty(heatmap)
    }


def _image_or_blank(sample: Sample) -> np.ndarray:
    """Return the image, or a blank of its size if it may not be published."""
    if sample.image is not None:
        return sample.image
    by_rule = next(iter(sample.maps.values()))
    heatmaps = next(iter(by_rule.values()))
    return np.ones((*heatmaps.shape[1:], 3))


def _image_title(sample: Sample) -> str:
    return "not shown" if sample.image is None else sample.label


def score_against_rate(
    tables: Mapping[str, pd.DataFrame],
    dataset: str,
    rule: str,
    score: tuple[str, str],
    *,
    xlabel: str,
    printed: Mapping[str, Points] | None = None,
) -> Figure:
    """Draw accuracy and a score of every CAM method against the pruning rate.

    The curve of a score starts at rate 0 with fine-tuning alone, so that its fall is due to
    pruning. Bands show the noise floor (fine-tuning alone), dotted lines the chance level. `tables`
    has "curves" and "controls" (`studies.score_tables`); `score` is (column, title); `printed`
    maps "accuracy" and CAM methods, or "" for one that is not named, to the points (rates in %,
    values) that the paper prints.
    """
    printed = printed or {}
    column, title = score
    curves = tables["curves"][tables["curves"]["dataset"] == dataset]
    controls = tables["controls"][tables["controls"]["dataset"] == dataset]
    of_rule = curves[curves["rule"] == rule].sort_values("rate", kind="stable")
    series = {}
    for method in of_rule["method"].unique():
        floor = curves[(curves["method"] == method) & (curves["rule"] == FLOOR)]
        points = pd.concat([floor, of_rule[of_rule["method"] == method]])
        levels = floor, controls[controls["method"] == method]
        curve = score_series(points, levels, column, printed.get(method, ((), ())))
        series[cams.METHODS[method].title] = curve
    if "" in printed:
        series[""] = plots.Series(x=(), y=(), colour="black", printed=printed[""])
    accuracy = _accuracy_series(of_rule, printed.get("accuracy", ((), ())))
    return plots.against_rate(accuracy, series, labels=(xlabel, "accuracy, %", title))


def score_series(
    points: pd.DataFrame,
    levels: tuple[pd.DataFrame, pd.DataFrame],
    column: str,
    printed: Points = ((), ()),
) -> plots.Series:
    """Return a score of one CAM method against the rate, with its floor and chance level.

    `points` are the rows of the table "curves" to be drawn, `levels` those of fine-tuning alone,
    none if it was not run, and the rows of the table "controls".
    """
    method = cams.METHODS[points["method"].iloc[0]]
    floor, controls = levels
    floor_seeds = controls.loc[controls["rule"] == FLOOR, column]
    return plots.Series(
        x=100 * points["rate"],
        y=points[column],
        low=points[f"{column}_low"],
        high=points[f"{column}_high"],
        colour=method.colour,
        floor=_floor_band(floor, floor_seeds, column),
        chance=_drawn_chance(controls, column),
        printed=printed,
    )


def _accuracy_series(curves: pd.DataFrame, printed: Points) -> plots.Series:
    """Return accuracy against rate, from the unpruned network on."""
    once = curves[curves["method"] == curves["method"].iloc[0]]
    baseline = once.iloc[0]
    return plots.Series(
        x=[0, *(100 * once["rate"])],
        y=[baseline["baseline"], *once["accuracy"]],
        low=[baseline["baseline_low"], *once["accuracy_low"]],
        high=[baseline["baseline_high"], *once["accuracy_high"]],
        colour=plots.BLUE,
        printed=printed,
    )


def _drawn_chance(controls: pd.DataFrame, column: str) -> float | None:
    """Return the mean score of random networks; of shuffled maps if most of theirs are empty.

    `controls` are the rows of one CAM method. None if neither was measured.
    """
    random_networks = controls[controls["rule"] == CHANCE]
    if len(random_networks) and random_networks["pruned_empty"].mean() <= MOSTLY:
        return random_networks[column].mean()
    shuffled = controls.loc[controls["rule"] == SHUFFLED, column]
    return shuffled.mean() if len(shuffled) else None


def _floor_band(mean: pd.DataFrame, seeds: pd.Series, column: str) -> tuple[float, float] | None:
    """Return the range of all seeds and of the interval of their mean; None without a floor."""
    if mean.empty:
        return None
    low = min(mean[f"{column}_low"].min(), seeds.min())
    high = max(mean[f"{column}_high"].max(), seeds.max())
    return low, high
