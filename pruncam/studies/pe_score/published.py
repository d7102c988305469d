"""The accuracies and PE scores the paper prints, beside ours."""

import math
from typing import Any

import pandas as pd

from pruncam._core.validation import short_repr
from pruncam.published import read_printed
from pruncam.studies.published_numbers import PublishedNumber, published_table

_SOURCES = {
    ("CIFAR-10", "accuracy"): "PE-score, captions of Figures 4 and 5",
    ("COVID-19", "accuracy"): "PE-score, captions of Figures 7 and 8",
    ("CIFAR-10", "pe"): "Sp2PS, Tables 1-3 (PE_drop)",
    ("COVID-19", "pe"): "PE-score, Section 4.3",
}
Points = tuple[list[float], list[float]]  # rates in %, values


def published() -> pd.DataFrame:
    """Return the printed values by data set, criterion, rate, CAM method and quantity.

    Rate 0 is the unpruned network. Accuracies have no CAM method, and of one PE it is not named.
    """
    return read_printed("pe_score", keep_default_na=False)


def numbers_beside_ours(curves: pd.DataFrame) -> pd.DataFrame:
    """Return every printed number with ours; `curves` is the table of `score_tables.curves`."""
    return published_table(
        [
            PublishedNumber(
                quantity=f"{_model_name(printed)}: {_quantity(printed)}",
                unit="%" if printed.quantity == "accuracy" else "",
                published=printed.value,
                source=_SOURCES[printed.dataset, printed.quantity],
                ours=_our_value(printed, curves),
            )
            for printed in published().itertuples()
        ]
    )


def printed_points(dataset: str, criterion: str) -> dict[str, Points]:
    """Return the printed points of a figure: accuracies as "accuracy", PE by CAM method.

    The accuracies begin with the unpruned network. A PE whose CAM is not named is under "".
    Quantities that are not printed are missing.
    """
    table = published()
    table = table[(table["dataset"] == dataset) & table["criterion"].isin([criterion, ""])]
    table = table.assign(name=table["method"].mask(table["quantity"] == "accuracy", "accuracy"))
    return {
        name: ((100 * part["rate"]).tolist(), part["value"].tolist())
        for name, part in table.groupby("name")
    }


def printed_by_rate(dataset: str, criterion: str, method: str) -> pd.DataFrame:
    """Return the printed accuracy drops and PE of one criterion and CAM method, by rate.

    Columns: `rate`, `acc_drop` in points below the unpruned network, `pe`; `choose_rate` takes
    such a table. Accuracies are those of the PE-score paper, PE those of the Sp2PS paper. Rates of
    which one of the two is not printed are left out.

    Raises ValueError if no model has both, TypeError if an argument is no text.
    """
    for name, value in (("dataset", dataset), ("criterion", criterion), ("method", method)):
        if not isinstance(value, str):
            raise TypeError(f"{name} must be a name, got {short_repr(value)}")
    table = published()
    table = table[table["dataset"] == dataset]
    accuracy = table[table["quantity"] == "accuracy"].set_index(["criterion", "rate"])["value"]
    pe = table[(table["quantity"] == "pe") & (table["method"] == method)]
    pe = pe[pe["criterion"] == criterion].set_index("rate")["value"]
    if method == "" or pe.empty:
        raise ValueError(
            f"no PE is printed for {dataset!r}, {criterion!r} and {method!r}: choose CIFAR-10, "
            "Weight or SeNPIS-Faster, and grad-cam, grad-cam++ or ablation-cam"
        )
    drops = accuracy["", 0.0] - accuracy[criterion]
    return pd.DataFrame({"acc_drop": drops, "pe": pe}).dropna().rename_axis("rate").reset_index()


def models_with_printed_pe() -> set[tuple[str, float]]:
    """Return the models, as (criterion, rate), whose PE on CIFAR-10 is printed for every CAM."""
    table = published()
    printed = table[(table["quantity"] == "pe") & (table["method"] != "")]
    return set(zip(printed["criterion"], printed["rate"], strict=True))


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
    if printed.quantity == "accuracy":
        return "accuracy"
    return f"PE, {printed.method or 'nearest CAM'}"


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
    if printed.quantity == "pe":
        return rows.loc[(rows["pe"] - printed.value).abs().idxmin(), "pe"]
    first = rows.iloc[0]
    return first["accuracy"] + (0 if printed.rate else first["acc_drop"])
