"""The accuracies and PE scores of the paper, beside ours."""

import math

import pandas as pd

from pruncam import places

SOURCES = {"accuracy": "PE-score, captions of Figures 4, 5, 7 and 8", "pe": "Sp2PS, Tables 1-3 (PE_drop)"}


def published() -> pd.DataFrame:
    """Half, criterion, rate, CAM (where it matters), quantity and the printed value."""
    return pd.read_csv(places.package_folder() / "published" / "pe_score.csv", keep_default_na=False)


def beside(curves: pd.DataFrame) -> pd.DataFrame:
    """Every printed number with ours and the difference; ours is empty where the profile has no such model."""
    rows = []
    for printed in published().itertuples():
        part = curves[curves["half"] == printed.half]
        if printed.rate:
            part = part[(part["rule"] == printed.criterion) & ((part["rate"] - printed.rate).abs() < 1e-9)]
        part = part[part["method"] == printed.method] if printed.method else part
        own = math.nan
        if len(part) and printed.quantity == "accuracy":
            own = part["accuracy"].iloc[0] + (0 if printed.rate else part["acc_drop"].iloc[0])
        elif len(part):
            own = part["pe"].iloc[0]
        name = f"{printed.half}, {printed.criterion} {100 * printed.rate:g} %" if printed.rate else printed.half
        row = {
            "quantity": f"{name}: " + (f"PE, {printed.method}" if printed.method else "accuracy"),
            "unit": "%" if printed.quantity == "accuracy" else "",
            "published": printed.value,
            "source": SOURCES[printed.quantity],
            "ours": own,
            "sd": math.nan,
            "seeds": 1,
        }
        rows.append(row | {"difference": own - printed.value})
    return pd.DataFrame(rows)
