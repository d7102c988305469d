"""The accuracies and PE scores the paper prints, beside ours."""

import math
from typing import Any

import pandas as pd

from pruncam._core import paths
from pruncam.studies.published_numbers import PublishedNumber, published_table

_SOURCES = {
    "accuracy": "PE-score, captions of Figures 4, 5, 7 and 8",
    "pe": "Sp2PS, Tables 1-3 (PE_drop)",
}


def published() -> pd.DataFrame:
    """Return the printed values by data set, criterion, rate, CAM method and quantity.

    Rate 0 is the unpruned network; accuracies have no CAM method.
    """
    file = paths.package_folder() / "published" / "pe_score.csv"
    return pd.read_csv(file, keep_default_na=False)


def numbers_beside_ours(curves: pd.DataFrame) -> pd.DataFrame:
    """Return every printed number with ours; `curves` is the table of `score_tables.curves`."""
    return published_table(
        [
            PublishedNumber(
                quantity=f"{_model_name(printed)}: {_quantity(printed)}",
                unit="%" if printed.quantity == "accuracy" else "",
                published=printed.value,
                source=_SOURCES[printed.quantity],
                ours=_our_value(printed, curves),
            )
            for printed in published().itertuples()
        ]
    )


def distances(readings: pd.DataFrame) -> pd.DataFrame:
    """Return every printed PE beside ours at each reading of the network.

    `readings` are mean scores by reading (`readings.scores_by_reading`). Columns: `reading`,
    `layer`, `method`, `rule`, `rate`, `printed`, `ours`. Without a row if no model was printed.
    """
    printed = published()
    printed = printed[printed["quantity"] == "pe"]
    printed = printed.rename(columns={"criterion": "rule", "value": "printed"})
    ours = readings.rename(columns={"pe": "ours"}).astype({"method": object})
    both = ours.merge(printed, on=["dataset", "rule", "rate", "method"])
    return both[["reading", "layer", "method", "rule", "rate", "printed", "ours"]]


def _model_name(printed: Any) -> str:
    if not printed.rate:
        return printed.dataset
    return f"{printed.dataset}, {printed.criterion} {100 * printed.rate:g} %"


def _quantity(printed: Any) -> str:
    return f"PE, {printed.method}" if printed.method else "accuracy"


def _our_value(printed: Any, curves: pd.DataFrame) -> float:
    """Return our value of a printed number; NaN if the profile does not have the model."""
    rows = curves[curves["dataset"] == printed.dataset]
    if printed.rate:
        same_rate = (rows["rate"] - printed.rate).abs() < 1e-9
        rows = rows[(rows["rule"] == printed.criterion) & same_rate]
    if printed.method:
        rows = rows[rows["method"] == printed.method]
    if rows.empty:
        return math.nan
    first = rows.iloc[0]
    if printed.quantity == "pe":
        return first["pe"]
    return first["accuracy"] + (0 if printed.rate else first["acc_drop"])
