"""How far a number may move when a study is run again, by table and column.

On one machine nothing moves. On another processor, or with other versions of PyTorch, training
amplifies rounding: initial weights changed by one part in ten million moved the accuracy of sound
levels of the MNIST network by a point, those at the edge by four, and the IoU of single levels by
up to 0.04 (`tests/test_mnist_iou.py`, which allows 3 points).
"""

import re
from collections.abc import Collection

import pandas as pd

POINTS = 3.0  # of an accuracy without an interval, or of a difference of accuracies
CORRELATION = 0.1  # of a correlation without an interval
SHARE = 0.05  # of any other number up to 1; of a larger one, this share of it
SOUND = 95.0  # % accuracy; levels below are not held: training decides where they end

_POINTS = re.compile(r".*(accuracy|acc_drop|from_marks).*|baseline|iou(_nonempty)?_loss")
_CORRELATIONS = re.compile(r".*(pearson|spearman|correlation).*|kendall|without_ssim|own|.*_seeds")
_BOUNDS = re.compile(r"(.+_)?(low|high|sd)(_.+)?|relative_(low|high)")
_SETTINGS = re.compile(
    r"(our_|pe_)?rate|density|sparsity|limit|published.*|(pe_)?paper_.*|classes|images|draws|seeds"
    r"|cut|pool|(train|test)_pools|unit|parameters|flops|size|width|level"
)
# Follow from other numbers, or are timings.
_NOT_HELD = {"p_value", "w", "sds", "factor", "milliseconds", "evidence", "why", "note"}
# What measured numbers decide: it may change where two of them are close.
_DECIDED = {
    "verdict",
    "outcome",
    "collapsed",
    "peak_level",
    "working_levels",
    "incorrect",
    "incorrect_per_seed",
    "rank",
    "points",
    "df",
    "levels",
    "still_zero",
    "mostly",
    "lost",
    "lead",
    "surely",
    "accuracy_stays",
    "maps_stay",
    "maps_move_first",
    "finetuning_costs",
    "finetuning_costs_more",
    "least_cost",
    "largest_cost",
    "within_2_sd",
    "accuracy_within_1_point",
    "iou_within_5_percent",
    "neighbours_there",
    "neighbours_back",
}
# What a table chooses by measured numbers: if it chooses otherwise, the row is another one.
_CHOSEN = {
    **dict.fromkeys(("table_1", "table_2", "table_3"), ("rule", "rate")),
    "table_cited": ("our_rate",),
    "table_rate_choice": ("rate",),
    "table_inspect": ("image", "label", "at"),
    "table_nearest": ("pool", "embedding", "volume", "k", "samples", "values"),
    "table_confused": ("class", "like"),
}
# Tables in which trained networks decide how many images count.
_COUNTING = ("table_intensity", "table_correctness", "table_score_agreement", "table_highlights")
# Tables in the order of a result, with the columns that tell the rows apart.
ROW_NAMES = {"table_reading_ranks": ["reading", "layer"]}
_ESTIMATES = (  # the number that columns "low" and "high" belong to: the first that there is
    "value",
    "csg",
    "pearson",
    "mean",
    "spearman",
    "lead",
    "ours",
    "acc_drop",
    "difference",
    "rate",
)
TIMINGS = ("table_times",)


def chosen(table: str, columns: Collection[str]) -> list[str]:
    """Return the columns of a table that hold what it chooses by measured numbers."""
    if table == "table_2" and "place" not in columns:  # that of the complexity paper
        return []
    return [name for name in _CHOSEN.get(table, ()) if name in columns]


def is_exact(table: str, column: str, values: pd.Series) -> bool:
    """Return whether a column holds names, settings or counts, which are the same on any machine.

    Numbers with decimals are measured, unless they are known as settings or printed numbers.
    """
    if column in _NOT_HELD or is_decided(table, column) or _BOUNDS.fullmatch(column):
        return False
    is_fraction = pd.api.types.is_float_dtype(values)
    return not is_fraction or _SETTINGS.fullmatch(column) is not None


def is_decided(table: str, column: str) -> bool:
    """Return whether measured numbers decide what is in a column."""
    return column in _DECIDED or (column == "images" and table in _COUNTING)


def is_held(table: str, column: str, values: pd.Series) -> bool:
    """Return whether a column holds measured numbers that must not move far."""
    is_free = column in _NOT_HELD or is_decided(table, column) or _BOUNDS.fullmatch(column)
    return not is_free and not is_exact(table, column, values)


def interval_columns(column: str, columns: Collection[str]) -> tuple[str, str] | None:
    """Return the columns with the ends of a number's interval, None if it has none."""
    names = [f"{column}_{{}}", column.replace("_ours", "_{}_ours")]
    if column.startswith("csg_"):
        names.append(column.replace("csg_", "{}_"))
    if column == "relative_loss":
        names.append("relative_{}")
    if column == next((name for name in _ESTIMATES if name in columns), None):
        names.append("{}")
    for name in names:
        pair = name.format("low"), name.format("high")
        if "{}" in name and set(pair) <= set(columns):
            return pair
    return None


def allowed(column: str, committed: pd.Series) -> pd.Series:
    """Return how far each measured number of a column may move without an interval."""
    if _POINTS.fullmatch(column):
        return pd.Series(POINTS, committed.index)
    if _CORRELATIONS.fullmatch(column):
        return pd.Series(CORRELATION, committed.index)
    return SHARE * committed.abs().clip(lower=1.0)
