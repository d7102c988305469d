"""Tables 1 to 3 of the Sp2PS paper, beside ours."""

import numpy as np
import pandas as pd

from pruncam import places


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
