"""Tables 1 to 3 of the Sp2PS paper, beside ours."""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from pruncam import places

METHODS = {"1": "ablation-cam", "2": "grad-cam", "3": "grad-cam++"}  # by the number of the table


def published() -> pd.DataFrame:
    """Tables 1 to 3 as printed: CAM, place, and the two drops of each of the two scores."""
    return pd.read_csv(places.package_folder() / "published" / "sp2ps.csv")


def beside(drops: pd.DataFrame, method: str) -> pd.DataFrame:
    """One of Tables 1 to 3: the printed values, and ours of the same place in the order of accuracy drops.

    Printed PE values are another paper's network and kind of pruning; ours are of the same models as our Sp2PS.
    """
    printed = published()
    printed = printed[printed["method"] == method]
    # One model per rule and rate, as the paper has them: seeds are averaged.
    ours = drops[drops["method"] == method].groupby(["rule", "rate"], as_index=False)[
        ["acc_drop", "sp2ps_drop", "pe_drop"]
    ]
    ours = ours.mean().sort_values("acc_drop", kind="stable", ignore_index=True)
    # Six places of the eight models: spread over them, first and last included.
    chosen = ours.iloc[np.unique(np.linspace(0, len(ours) - 1, min(6, len(ours))).round().astype(int))]
    chosen = chosen.assign(place=range(1, len(chosen) + 1))
    columns = {"acc_drop": "acc_drop_ours", "sp2ps_drop": "sp2ps_drop_ours", "pe_drop": "pe_drop_ours"}
    chosen = chosen[["place", "rule", "rate", *columns]].rename(columns=columns)
    return printed.merge(chosen, on="place", how="left").drop(columns="method")


def accuracies() -> pd.DataFrame:
    """Accuracies of the unpruned networks, %: two papers print other values for the same ones."""
    return pd.read_csv(places.package_folder() / "published" / "sp2ps_accuracies.csv")


def numbers(models: pd.DataFrame, tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Every printed number with ours and the difference: accuracies, and both drops of Tables 1 to 3."""
    baselines, rows = models.groupby("half")["baseline"].first(), []
    for printed in accuracies().itertuples():
        quantity, own = f"accuracy of the unpruned network, {printed.half}", baselines.get(printed.half)
        rows.append({"quantity": quantity, "published": printed.accuracy, "source": printed.source, "ours": own})
    for number, table in tables.items():
        for row in table.itertuples():
            for name, words in {"acc_drop": "accuracy drop", "sp2ps_drop": "Sp2PS_drop"}.items():
                quantity = f"{words}, PR{row.place}, {METHODS[number]}"
                own = {"published": getattr(row, name), "ours": getattr(row, f"{name}_ours")}
                rows.append({"quantity": quantity, "source": f"Sp2PS, Table {number}"} | own)
    found = pd.DataFrame(rows).astype({"ours": float})
    found = found.assign(unit="%", sd=math.nan, seeds=1, difference=found["ours"] - found["published"])
    return found[["quantity", "unit", "published", "source", "ours", "sd", "seeds", "difference"]]
