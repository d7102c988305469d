"""The numbers the Sp2PS paper prints: Tables 1 to 3 and the accuracies of its networks."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from pruncam.published import read_printed
from pruncam.studies.paired_scores import Model, PairedScores
from pruncam.studies.published_numbers import PublishedNumber, published_table
from pruncam.studies.sp2ps.judged_models import accuracy_drop

METHODS = {"1": "ablation-cam", "2": "grad-cam", "3": "grad-cam++"}  # by the number of the table
NEAR = 1.0  # points of accuracy drop within which two models are compared
_DROPS = {"acc_drop": "accuracy drop", "sp2ps_drop": "Sp2PS_drop"}
_SOURCE = "Sp2PS, Section 3.2"
_MODEL = ("rule", "rate")  # columns that tell a model
_COLUMNS = [
    "method",
    *_MODEL,
    "acc_drop",
    "acc_drop_low",
    "acc_drop_high",
    "sp2ps_drop",
    "sp2ps_drop_low",
    "sp2ps_drop_high",
    "pe_drop",
]


def drops() -> pd.DataFrame:
    """Return Tables 1 to 3 as printed: CAM method, place, and the two drops of both scores."""
    return read_printed("sp2ps")


def accuracies() -> pd.DataFrame:
    """Return the printed accuracies of the unpruned networks, in %; two papers differ."""
    return read_printed("sp2ps_accuracies")


def accuracy_of(dataset: str) -> tuple[list[float], list[float]]:
    """Return the points (rates in %, accuracies in %) that the paper prints for a data set.

    Its curves have no numbers; only the accuracy of the unpruned network is printed.
    """
    table = accuracies()
    is_printed = (table["dataset"] == dataset) & (table["source"] == _SOURCE)
    values = table.loc[is_printed, "accuracy"].tolist()
    return [0.0] * len(values), values


def our_drops(scores: PairedScores, dataset: str) -> pd.DataFrame:
    """Return the drops of the pruned models of a data set, in points or %, by CAM method.

    They are means over trainings and seeds; those of accuracy and Sp2PS have intervals.
    """
    models = [model for model in scores.pruned_models if model[0] == dataset]
    rows = [
        _accuracy_drop(scores, model) | _score_drop(scores, model, method)
        for model in models
        for method in scores.config.methods
    ]
    return pd.DataFrame(rows, columns=_COLUMNS)


def _accuracy_drop(scores: PairedScores, model: Model) -> dict[str, object]:
    """Return rule and rate of a model, and its accuracy drop with its interval."""
    _, rule, rate = model
    accuracy = scores.interval(accuracy_drop(scores, model))
    return {
        "rule": rule,
        "rate": rate,
        "acc_drop": accuracy.value,
        "acc_drop_low": accuracy.low,
        "acc_drop_high": accuracy.high,
    }


def _score_drop(scores: PairedScores, model: Model, method: str) -> dict[str, object]:
    """Return the drops of both scores by one CAM method, that of Sp2PS with its interval."""
    sp2ps = scores.interval(100 * (1 - scores.of(*model, method, "sp2ps")))
    return {
        "method": method,
        "sp2ps_drop": sp2ps.value,
        "sp2ps_drop_low": sp2ps.low,
        "sp2ps_drop_high": sp2ps.high,
        "pe_drop": 100 * (1 - scores.of(*model, method, "pe").mean()),
    }


def table_beside_ours(models: pd.DataFrame, method: str) -> pd.DataFrame:
    """Return one of Tables 1 to 3, each row with our model of the nearest accuracy drop.

    A row for which no model of ours is within one point of accuracy drop has none; two rows may
    have the same one. The printed PE values are of another paper's networks; ours are of the same
    models as our Sp2PS. `models` has a row per model and CAM method, as of `our_drops`.
    """
    printed = drops()
    printed = printed[printed["method"] == method].drop(columns="method")
    ours = models[models["method"] == method].drop(columns="method").reset_index(drop=True)
    ours = ours.rename(columns={name: f"{name}_ours" for name in ours if name not in _MODEL})
    nearest = [_nearest(ours, drop) for drop in printed["acc_drop"]]
    beside = ours.reindex(nearest).set_axis(printed.index)
    return pd.concat([printed, beside], axis=1).reset_index(drop=True)


def _nearest(models: pd.DataFrame, drop: float) -> int:
    """Return the row of the model with the nearest accuracy drop; -1 if none is near."""
    distances = (models["acc_drop_ours"] - drop).abs()
    if distances.empty or distances.min() > NEAR:
        return -1
    return int(distances.idxmin())


def distances(readings: pd.DataFrame, models: pd.DataFrame) -> pd.DataFrame:
    """Return every Sp2PS drop of Tables 1 to 3 beside ours at each reading of the network.

    `readings` are mean scores by reading of one data set (`readings.scores_by_reading`), `models`
    the accuracies of its models. Columns: `reading`, `layer`, `method`, `place`, `printed`, `ours`.
    """
    ours = readings.merge(models[["rule", "rate", "seed", "acc_drop"]], on=["rule", "rate", "seed"])
    ours = ours.assign(sp2ps_drop=100 * (1 - ours["sp2ps"]), pe_drop=100 * (1 - ours["pe"]))
    keys = ["reading", "layer", "method", *_MODEL]
    ours = ours.groupby(keys, sort=False, as_index=False)[[*_DROPS, "pe_drop"]].mean()
    tables = []
    for (reading, layer), part in ours.groupby(["reading", "layer"], sort=False):
        for method in METHODS.values():
            table = table_beside_ours(part, method).dropna(subset="sp2ps_drop_ours")
            names = {"sp2ps_drop": "printed", "sp2ps_drop_ours": "ours"}
            table = table.rename(columns=names)[["place", "printed", "ours"]]
            tables.append(table.assign(reading=reading, layer=layer, method=method))
    if not tables:
        return pd.DataFrame(columns=["place", "printed", "ours", "reading", "layer", "method"])
    return pd.concat(tables, ignore_index=True)


def numbers_beside_ours(scores: PairedScores, tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return every printed accuracy and drop with ours; `tables` are Tables 1 to 3 by number.

    Drops are those of models with like accuracy drops; accuracies are means over trainings.
    """
    numbers = [
        _accuracy(printed.dataset, printed.accuracy, printed.source, scores)
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


def _accuracy(dataset: str, printed: float, source: str, scores: PairedScores) -> PublishedNumber:
    """Return the printed accuracy of an unpruned network with ours, the mean over trainings."""
    ours: Sequence[float] = []
    if dataset in scores.datasets:
        ours = scores.baseline_correct(dataset).mean(axis=1).tolist()
    return PublishedNumber(
        quantity=f"accuracy of the unpruned network, {dataset}",
        unit="%",
        published=printed,
        source=source,
        ours=float(np.mean(ours)) if ours else np.nan,
        sd=float(np.std(ours, ddof=1)) if len(ours) > 1 else np.nan,
        seeds=max(len(ours), 1),
    )
