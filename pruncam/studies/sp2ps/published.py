"""The numbers the Sp2PS paper prints: Tables 1 to 3 and the accuracies of its networks."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from pruncam._core import paths
from pruncam.studies.published_numbers import PublishedNumber, published_table

METHODS = {"1": "ablation-cam", "2": "grad-cam", "3": "grad-cam++"}  # by the number of the table
_TABLE_PLACES = 6  # rows of each table
_DROPS = {"acc_drop": "accuracy drop", "sp2ps_drop": "Sp2PS_drop"}


def drops() -> pd.DataFrame:
    """Return Tables 1 to 3 as printed: CAM method, place, and the two drops of both scores."""
    return pd.read_csv(paths.package_folder() / "published" / "sp2ps.csv")


def accuracies() -> pd.DataFrame:
    """Return the printed accuracies of the unpruned networks, in %; two papers differ."""
    return pd.read_csv(paths.package_folder() / "published" / "sp2ps_accuracies.csv")


def table_beside_ours(our_drops: pd.DataFrame, method: str) -> pd.DataFrame:
    """Return one of Tables 1 to 3 with our drops at the same place in the order of accuracy drops.

    Our models are averaged over seeds, one per rule and rate as in the paper; six of them, spread
    evenly, match the six rows of the table. The printed PE values are of another paper's networks;
    ours are of the same models as our Sp2PS.
    """
    printed = drops()
    printed = printed[printed["method"] == method]
    columns = ["acc_drop", "sp2ps_drop", "pe_drop"]
    of_method = our_drops[our_drops["method"] == method]
    models = of_method.groupby(["rule", "rate"], as_index=False)[columns].mean()
    models = models.sort_values("acc_drop", kind="stable", ignore_index=True)
    count = min(_TABLE_PLACES, len(models))
    spread = np.linspace(0, len(models) - 1, count).round().astype(int)
    models = models.iloc[np.unique(spread)]
    models = models.assign(place=range(1, len(models) + 1))
    models = models[["place", "rule", "rate", *columns]]
    models = models.rename(columns={name: f"{name}_ours" for name in columns})
    return printed.merge(models, on="place", how="left").drop(columns="method")


def distances(readings: pd.DataFrame, models: pd.DataFrame) -> pd.DataFrame:
    """Return every Sp2PS drop of Tables 1 to 3 beside ours at each reading of the network.

    `readings` are mean scores by reading of one data set (`readings.scores_by_reading`), `models`
    the accuracies of its models. Columns: `reading`, `layer`, `method`, `place`, `printed`, `ours`.
    """
    ours = readings.merge(models[["rule", "rate", "seed", "acc_drop"]], on=["rule", "rate", "seed"])
    ours = ours.assign(sp2ps_drop=100 * (1 - ours["sp2ps"]), pe_drop=100 * (1 - ours["pe"]))
    tables = []
    for (reading, layer), part in ours.groupby(["reading", "layer"], sort=False):
        for method in METHODS.values():
            if method in set(part["method"]):
                table = table_beside_ours(part, method).dropna(subset="sp2ps_drop_ours")
                names = {"sp2ps_drop": "printed", "sp2ps_drop_ours": "ours"}
                table = table.rename(columns=names)[["place", "printed", "ours"]]
                tables.append(table.assign(reading=reading, layer=layer, method=method))
    return pd.concat(tables, ignore_index=True)


def numbers_beside_ours(models: pd.DataFrame, tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return every printed accuracy and drop with ours; `tables` are Tables 1 to 3 by number."""
    baselines = models.groupby("dataset")["baseline"].first()
    numbers = [
        PublishedNumber(
            quantity=f"accuracy of the unpruned network, {printed.dataset}",
            unit="%",
            published=printed.accuracy,
            source=printed.source,
            ours=baselines.get(printed.dataset, np.nan),
        )
        for printed in accuracies().itertuples()
    ]
    for number, table in tables.items():
        for row in table.itertuples():
            numbers += [
                PublishedNumber(
                    quantity=f"{title}, PR{row.place}, {METHODS[number]}",
                    unit="%",
                    published=getattr(row, column),
                    source=f"Sp2PS, Table {number}",
                    ours=getattr(row, f"{column}_ours"),
                )
                for column, title in _DROPS.items()
            ]
    return published_table(numbers)
