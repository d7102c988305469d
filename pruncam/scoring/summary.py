"""Means of the scores over groups of images, with bootstrap intervals."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import pandas as pd
import torch

from pruncam import metrics
from pruncam._core.validation import check_names, check_seed, short_repr
from pruncam.datasets.batches import UNKNOWN
from pruncam.statistics import Interval, as_numbers, bootstrap_means

# Columns of the rows that say which heatmaps are empty.
EMPTY_COLUMNS = ("baseline_empty", "pruned_empty")
# A comparison with a larger share of empty maps says so before anything else.
MANY_EMPTY = 0.1
_LARGEST = 1e300  # of custom scores, so that sums of them stay finite
_TOLERANCE = 1e-6


def summarize(
    rows: pd.DataFrame,
    *,
    scores: Sequence[str] = tuple(metrics.SCORES),
    counts: Sequence[int] | None = None,
    samples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return the mean of every score with its bootstrap interval, over all images and by group.

    Parameters
    ----------
    rows : DataFrame from `score`, `score_many` or `stream`
    scores : columns to summarize, including custom scores
    counts : number of images of each class in the whole test set, optional
        The weights of the class-weighted mean (PE-score, Section 3), if the rows cover only a part
        of the set. By default the counts are those of the rows, and the weighted mean is the plain
        one.
    samples, seed : of the bootstrap over images; for the class-weighted mean, within classes

    Returns
    -------
    DataFrame with a row per model, method, group and score
        `model` (if the rows have it), `method`, `group`, `images`, `score`, `mean`, the 95 %
        interval `low`, `high`; `mean_nonempty`, the mean over the images for which neither map is
        empty (NaN if there are none); and `baseline_empty`, `pruned_empty`, the shares of images
        with an empty map of that model. In the class-weighted group the shares and
        `mean_nonempty` are weighted, too. The groups are "all" and, if labels are known,
        "class weighted", "correct" and "incorrect" (by the pruned model's prediction), and
        "class 0", "class 1", and so on. A group without images has no row.

    Raises
    ------
    TypeError, ValueError
        If there are no rows, a column is missing or not finite, a label has no count, or a count
        has no image.
    """
    _check_rows(rows, scores)
    bootstrap = partial(bootstrap_means, samples=samples, seed=check_seed(seed))
    keys = [name for name in ("model", "method") if name in rows]
    tables = []
    for key, part in rows.groupby(keys, observed=True, sort=False):
        table = _summarize_part(part, list(scores), counts, bootstrap)
        for position, (name, value) in enumerate(zip(keys, key, strict=True)):
            table.insert(position, name, value)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _summarize_part(
    rows: pd.DataFrame,
    scores: list[str],
    counts: Sequence[int] | None,
    bootstrap: Callable[..., list[Interval]],
) -> pd.DataFrame:
    """Return the means and intervals of one model and method, group by group."""
    labels = rows["label"].to_numpy()
    tables = []
    for group, members in _groups(rows):
        part = rows[members]
        intervals = bootstrap(part[scores].to_numpy(dtype=float))
        tables.append(_table(group, part, scores, intervals, np.ones(len(part))))
    if (labels != UNKNOWN).all():
        weights = _class_weights(labels, counts)
        intervals = bootstrap(rows[scores].to_numpy(dtype=float), strata=labels, weights=weights)
        image_weights = weights / np.maximum(np.bincount(labels, minlength=len(weights)), 1)
        weighted = _table("class weighted", rows, scores, intervals, image_weights[labels])
        tables.insert(1, weighted)
    return pd.concat(tables, ignore_index=True)


def _groups(rows: pd.DataFrame) -> Iterator[tuple[str, np.ndarray]]:
    """Iterate over the groups that have images: name and membership of each row."""
    labels = rows["label"].to_numpy()
    yield "all", np.ones(len(rows), dtype=bool)
    if (labels == UNKNOWN).any():
        return
    correct = rows["pruned_prediction"].to_numpy() == labels
    if correct.any():
        yield "correct", correct
    if not correct.all():
        yield "incorrect", ~correct
    for label in np.unique(labels):
        yield f"class {label}", labels == label


def _table(
    group: str,
    rows: pd.DataFrame,
    scores: list[str],
    intervals: list[Interval],
    weights: np.ndarray,
) -> pd.DataFrame:
    """Return the means of a group; `weights` (images,) are those of its images."""
    baseline_empty = rows["baseline_empty"].to_numpy(dtype=bool)
    pruned_empty = rows["pruned_empty"].to_numpy(dtype=bool)
    nonempty_weights = weights * ~(baseline_empty | pruned_empty)
    return pd.DataFrame(
        {
            "group": group,
            "images": len(rows),
            "score": scores,
            "mean": [interval.value for interval in intervals],
            "low": [interval.low for interval in intervals],
            "high": [interval.high for interval in intervals],
            "mean_nonempty": _weighted_mean(rows[scores], nonempty_weights),
            "baseline_empty": np.average(baseline_empty, weights=weights),
            "pruned_empty": np.average(pruned_empty, weights=weights),
        }
    )


def _weighted_mean(values: pd.DataFrame, weights: np.ndarray) -> np.ndarray:
    """Return the weighted mean of each column; NaN if all weights are 0."""
    if not weights.any():
        return np.full(values.shape[1], np.nan)
    return np.average(values.to_numpy(dtype=float), axis=0, weights=weights)


def _class_weights(labels: np.ndarray, counts: Sequence[int] | None) -> np.ndarray:
    """Return the share of each class; raise ValueError if the counts do not fit the labels."""
    try:
        numbers = np.bincount(labels) if counts is None else as_numbers("counts", counts)
    except TypeError:
        raise ValueError(
            f"counts must be the number of images of each class, got {short_repr(counts)}"
        ) from None
    weights = metrics.class_weights(torch.as_tensor(numbers)).numpy()
    counted = np.flatnonzero(weights > 0)
    if not np.array_equal(counted, np.unique(labels)):
        raise ValueError(
            "counts must hold a number for every class of the labels, and no other class"
        )
    return weights


def _check_rows(rows: pd.DataFrame, scores: Sequence[str]) -> None:
    """Raise unless `rows` are the rows of a comparison, with labels and finite `scores`."""
    if not isinstance(rows, pd.DataFrame):
        kind = type(rows).__name__
        raise TypeError(f"summarize needs the rows from `score`, a DataFrame, got {kind}")
    check_names("scores", scores)
    if not scores:
        raise ValueError("scores must be a list of one or more columns of the rows, got none")
    needed = {"method", "label", "pruned_prediction", *EMPTY_COLUMNS, *scores}
    missing = sorted(needed - set(rows.columns))
    if missing or rows.empty:
        fault = f"no column {', '.join(missing)}" if missing else "no row"
        raise ValueError(f"summarize needs the rows from `score`: these have {fault}")
    _check_identities(rows)
    labels = rows["label"].to_numpy()
    if labels.dtype.kind not in "iu" or labels.min() < UNKNOWN:
        raise ValueError(
            f"summarize needs whole labels, from 0 or -1 where unknown, got {labels.dtype}"
        )
    for column in ("pruned_prediction", *EMPTY_COLUMNS):
        if rows[column].dtype.kind not in "biuf" or rows[column].isna().any():
            raise ValueError(f"summarize needs the rows from `score`: {column} has other values")
    not_numbers = [name for name in scores if rows[name].dtype.kind not in "biuf"]
    if not_numbers:
        raise ValueError(
            f"scores must be columns of numbers, got {', '.join(not_numbers)} of other values"
        )
    values = rows[list(scores)].astype(float)
    is_finite = (values.abs() < _LARGEST).all()  # NaN fails, too
    infinite = is_finite.index[~is_finite]
    if len(infinite):
        raise ValueError(
            f"summarize needs finite scores: {', '.join(infinite)} has NaN or infinite rows, "
            "leave them out"
        )
    known = values[[name for name in scores if name in metrics.SCORES]]
    outside = known.columns[(known.abs() > 1 + _TOLERANCE).any()]
    if len(outside):
        raise ValueError(
            f"summarize needs scores in [-1, 1]: {', '.join(outside)} has others, "
            "divide a percentage by 100"
        )


def _check_identities(rows: pd.DataFrame) -> None:
    """Raise ValueError if a column or the row of an image comes twice, or a row has no name."""
    if not rows.columns.is_unique:
        twice = rows.columns[rows.columns.duplicated()][0]
        raise ValueError(f"summarize needs rows with different columns: {twice!r} comes twice")
    keys = [name for name in ("model", "method", "image") if name in rows]
    if rows[keys].isna().any(axis=None):
        raise ValueError(f"summarize needs rows with {', '.join(keys)}: some are missing")
    if "image" in rows and rows.duplicated(keys).any():
        first = rows.loc[rows.duplicated(keys)].iloc[0]
        raise ValueError(
            f"summarize needs one row for each image, model and method: image {first['image']} "
            "comes twice, drop the duplicates or tell the rows apart in a column 'model'"
        )
