"""The test images of a source in the order, or by the filter, that one asks for."""

import copy

import pandas as pd

from pruncam import scoring
from pruncam.explorer.sources import StudySource
from pruncam.explorer.view import Selection

ALL = "all, by number"
RIGHT = "pruned network right"
WRONG = "pruned network wrong"
MOVED = "heatmap moved most"
SHOWN = (ALL, RIGHT, WRONG, MOVED)


def images(source: StudySource, selection: Selection, shown: str) -> list[int]:
    """Return the numbers of the test images that are shown, in their order.

    `shown` is one of `SHOWN`. By `MOVED` all images are sorted by Sp2PS, the lowest first; those
    with an empty heatmap come last, since they show no heatmap that moved.
    """
    if shown == ALL:
        return list(range(len(source.experiment.test)))
    rows = scores(source, selection)
    if shown == MOVED:
        is_empty = rows["baseline_empty"] | rows["pruned_empty"]
        ordered = rows.assign(is_empty=is_empty)
        rows = ordered.sort_values(["is_empty", "sp2ps", "image"], kind="stable")
    else:
        is_right = rows["pruned_prediction"] == rows["label"]
        rows = rows[is_right == (shown == RIGHT)]
    return rows["image"].tolist()


def scores(source: StudySource, selection: Selection) -> pd.DataFrame:
    """Return the rows of `scoring.score` of all test images, computed once for each network."""
    key = ("scores", selection.rule, selection.rate, selection.method, selection.layer)
    return source.cached(key, lambda: _score(source, selection))


def _score(source: StudySource, selection: Selection) -> pd.DataFrame:
    experiment = source.experiment
    pruned = source.model(selection.rule, selection.rate)
    if pruned is experiment.baseline:
        pruned = copy.deepcopy(pruned)  # `score` refuses to compare a network with itself
    return scoring.score(
        experiment.baseline,
        pruned,
        experiment.test,
        methods=[selection.method],
        target_layer=selection.layer,
        transform=experiment.prepare,
        progress=False,
    )
