"""What needs two studies: Tables 1 to 3 of the Sp2PS paper and Table 3 of the PE-score paper, from saved results."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pruncam import places
from pruncam.choices import PROFILES, check_choice
from pruncam.report import plots
from pruncam.report.result import Drawing, Result
from pruncam.statistics import correlation

NEEDED = {  # the tables that each comparison is made of, by study
    "1": {"sp2ps": "1", "pe_score": "drops"},
    "2": {"sp2ps": "2", "pe_score": "drops"},
    "3": {"sp2ps": "3", "pe_score": "drops"},
    "pe_3": {"csg": "pe_3", "sweeps": "sweep", "pe_score": "models"},
}
METHODS = {"1": "ablation-cam", "2": "grad-cam", "3": "grad-cam++"}  # by the number of the Sp2PS paper's table
# The PE rows of these tables are models of CIFAR-10, in the order of their accuracy drops.
PE_ROWS = [("Weight", 0.35), *(("SeNPIS-Faster", rate) for rate in (0.35, 0.5, 0.7, 0.8, 0.88))]
SET = "CIFAR-10"
SCORES = ("sp2ps", "pe", "soft_iou")


@dataclass(frozen=True, kw_only=True)
class Comparison(Result):
    """Tables of two studies side by side, and what could not be compared for want of a result."""

    profile: str
    missing: list[str] = field(default_factory=list)

    @property
    def place(self) -> Path:
        """figures/<profile>/comparison."""
        return places.figures_folder(self.profile) / "comparison"


def compare(profile: str) -> Comparison:
    """Compare the results that the studies have saved under this profile.

    A table whose studies were not run is left out, and `missing` says which command makes them. Raises ValueError for
    an unknown profile.
    """
    check_choice("profile", profile, PROFILES)
    found, missing = {}, []
    for key, needed in NEEDED.items():
        paths = {study: _folder(profile, study) / f"table_{table}.csv" for study, table in needed.items()}
        absent = [study for study, path in paths.items() if not path.is_file()]
        missing += [f"table {key} needs `make reproduce PROFILE={profile} STUDY={study}`" for study in absent]
        if not absent:
            parts = map(pd.read_csv, paths.values())
            found[key] = _crossed(*parts, METHODS[key]) if key in METHODS else _complexity_and_accuracy(*parts)
    drops = {study: _folder(profile, study) / "table_drops.csv" for study in ("sp2ps", "pe_score")}
    if all(path.is_file() for path in drops.values()):
        found["same_models"] = _same_models({study: pd.read_csv(path) for study, path in drops.items()})
        found["agreement"] = _agreement(found["same_models"])
    studies = sorted({study for needed in NEEDED.values() for study in needed})
    return Comparison(
        profile=profile,
        tables=found,
        drawings=_drawings(profile, found),
        manifest={"profile": profile, "made_of": {study: _origin(profile, study) for study in studies}},
        missing=missing,
    )


def _folder(profile: str, study: str) -> Path:
    """Where the study's results lie; of CSG, for which little is trained, `paper` serves `laptop` as well."""
    folder = places.figures_folder(profile) / study
    borrowed = study == "csg" and profile == "laptop" and not folder.is_dir()
    return places.figures_folder("paper") / study if borrowed else folder


def _origin(profile: str, study: str) -> dict[str, str] | None:
    """Profile and revision that a study's tables were written by, from its manifest; None where it was not run."""
    path = _folder(profile, study) / "manifest.json"
    found = json.loads(path.read_text()) if path.is_file() else None
    return None if found is None else {"profile": found["profile"], "git": found.get("git")}


def _crossed(printed: pd.DataFrame, drops: pd.DataFrame, method: str) -> pd.DataFrame:
    """One of Tables 1 to 3 as the paper builds it: Sp2PS of one network's models, PE of another's."""
    models = drops[(drops["half"] == SET) & (drops["method"] == method)].set_index(["rule", "rate"])
    rows = models.loc[[key for key in PE_ROWS if key in models.index]].reset_index()
    rows = rows.sort_values("acc_drop", kind="stable", ignore_index=True)
    rows = rows[["rule", "rate", "acc_drop", "pe_drop"]]
    rows.columns = ["pe_rule", "pe_rate", "pe_paper_acc_drop_ours", "pe_drop_ours"]
    kept = printed.drop(columns="pe_drop_ours")  # there it is of the same models as Sp2PS: see `_same_models`
    return kept.merge(rows.assign(place=range(1, len(rows) + 1)), on="place", how="left")


def _complexity_and_accuracy(printed: pd.DataFrame, sweep: pd.DataFrame, models: pd.DataFrame) -> pd.DataFrame:
    """Table 3 of the PE-score paper: CSG, and the accuracy of our unpruned networks beside that of the literature.

    Of a data set that both studies train on, the plain network's counts.
    """
    own = pd.concat([table[["half", "baseline"]].drop_duplicates("half") for table in (sweep, models)])
    own = own.drop_duplicates("half").rename(columns={"baseline": "accuracy_ours"})
    return printed.merge(own, on="half", how="left")


def _same_models(drops: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Every score's drop on the same models: what a comparison of scores needs."""
    networks = {"sp2ps": "plain network, weights masked", "pe_score": "VGG11, filters removed"}
    parts = [table[table["half"] == SET].assign(study=study) for study, table in drops.items()]
    table = pd.concat(parts, ignore_index=True).drop(columns=["half", "place"])
    table.insert(0, "network", table["study"].map(networks))
    return table.drop(columns="study")


def _agreement(same: pd.DataFrame) -> pd.DataFrame:
    """How each score's drop ranks the models beside the accuracy drop, and beside the other scores."""
    table = []
    for (network, method), part in same.groupby(["network", "method"], sort=False):
        others = ["acc_drop", *(f"{score}_drop" for score in SCORES)]
        for number, one in enumerate(others):
            for other in others[number + 1 :]:
                row = {"network": network, "method": method, "models": len(part), "of": one, "and": other}
                a, b = part[one].to_numpy(), part[other].to_numpy()
                for kind in ("spearman", "kendall"):  # of fewer than five models there is none
                    row[kind] = correlation(a, b, kind).value if len(part) >= 5 else np.nan
                table.append(row)
    return pd.DataFrame(table)


# ---------------------------------------------------------------- figures


def _drawings(profile: str, tables: Mapping[str, pd.DataFrame]) -> dict[str, Drawing]:
    crossed = {METHODS[key]: tables[key] for key in METHODS if key in tables}
    found = {}
    if crossed:
        caption = (
            "Drops of Sp2PS and PE against the accuracy drop as the Sp2PS paper compares them: two different networks "
            f"and two kinds of pruning. Dashed: printed in its Tables 1 to 3; solid: ours, profile {profile}."
        )
        found["crossed"] = Drawing(partial(_draw_crossed, crossed), caption, lines=True)
    if "same_models" in tables:
        caption = (
            "The same scores on the same models, one panel per network and CAM: here a difference between two curves "
            f"is one of the scores. {SET}'s half, profile {profile}."
        )
        found["same models"] = Drawing(partial(_draw_same, tables["same_models"]), caption, lines=True)
    return found


def _draw_crossed(tables: Mapping[str, pd.DataFrame]) -> Figure:
    sides = {
        "Sp2PS": ("acc_drop", "sp2ps_drop", plots.BLUE),
        "PE": ("pe_paper_acc_drop", "pe_drop", plots.ORANGE),
    }
    with plots.style():
        figure = Figure(figsize=(3.2 * len(tables), 3.2), layout="constrained")
        row = figure.subplots(1, len(tables), squeeze=False, sharey=True)[0]
        for axes, (method, table) in zip(row, tables.items(), strict=True):
            for name, (x, y, colour) in sides.items():
                lines = {"color": colour, "marker": "o", "markersize": 3.5, "linewidth": 1.4}
                axes.plot(table[x], table[y], linestyle="--", label=f"{name}, printed", **lines | {"alpha": 0.6})
                axes.plot(table[f"{x}_ours"], table[f"{y}_ours"], label=f"{name}, ours", **lines)
            axes.set(title=method, xlabel="accuracy drop, points", ylim=(0, 102))
            axes.grid(alpha=0.25, linewidth=0.6)
        row[0].set_ylabel("drop of the score, %")
        figure.legend(*row[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def _draw_same(table: pd.DataFrame) -> Figure:
    networks, methods = table["network"].unique(), table["method"].unique()
    colours = dict(zip(SCORES, (plots.BLUE, plots.ORANGE, plots.GREEN), strict=True))
    names = dict(zip(SCORES, ("Sp2PS", "PE", "soft IoU"), strict=True))
    with plots.style():
        figure = Figure(figsize=(3.0 * len(methods), 2.6 * len(networks)), layout="constrained")
        field = figure.subplots(len(networks), len(methods), squeeze=False, sharey=True)
        for (row, column), axes in np.ndenumerate(field):
            part = table[(table["network"] == networks[row]) & (table["method"] == methods[column])]
            part = part.sort_values("acc_drop", kind="stable")
            for score in SCORES:
                line = {"marker": "o", "markersize": 3, "linewidth": 1.2, "color": colours[score]}
                axes.plot(part["acc_drop"], part[f"{score}_drop"], label=names[score], **line)
            axes.set(title=f"{methods[column]}\n{networks[row]}", ylim=(0, 102))
            axes.grid(alpha=0.25, linewidth=0.6)
        for axes in field[:, 0]:
            axes.set_ylabel("drop of the score, %")
        for axes in field[-1]:
            axes.set_xlabel("accuracy drop, points")
        figure.legend(*field[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure
