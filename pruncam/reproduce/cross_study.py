"""Tables that need the saved results of two studies.

These are Tables 1 to 3 of the Sp2PS paper, Table 3 of the PE-score paper, and the scores of both
papers on the same models.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pruncam import metrics
from pruncam._core import paths
from pruncam._core.validation import PROFILES, check_choice
from pruncam.report import plots
from pruncam.report.result import Drawing, Result
from pruncam.statistics import correlation

SOURCES = {  # of each table: the study's tables it is made of
    "1": {"sp2ps": "1", "pe_score": "drops"},
    "2": {"sp2ps": "2", "pe_score": "drops"},
    "3": {"sp2ps": "3", "pe_score": "drops"},
    "pe_3": {"csg": "pe_3", "sweeps": "sweep", "pe_score": "models"},
    "same_models": {"sp2ps": "drops", "pe_score": "drops"},
}
OPTIONAL = ("same_models",)  # not reported as missing: the other tables name the same studies
METHODS = {"1": "ablation-cam", "2": "grad-cam", "3": "grad-cam++"}  # by table of the Sp2PS paper
DATASET = "CIFAR-10"
SCORES = ("sp2ps", "pe", "soft_iou")
# The models in the PE rows of Tables 1 to 3: pruning rule and rate.
PE_MODELS = (
    ("Weight", 0.35),
    ("SeNPIS-Faster", 0.35),
    ("SeNPIS-Faster", 0.5),
    ("SeNPIS-Faster", 0.7),
    ("SeNPIS-Faster", 0.8),
    ("SeNPIS-Faster", 0.88),
)
_NETWORKS = {"sp2ps": "plain network, weights masked", "pe_score": "VGG11, filters removed"}
_MIN_MODELS = 5  # for a rank correlation
_COLOURS = (plots.BLUE, plots.ORANGE, plots.GREEN)


@dataclass(frozen=True, kw_only=True)
class CrossStudyResult(Result):
    """Tables of several studies side by side.

    `missing` names the tables that could not be made, and the commands that produce their sources.
    """

    profile: str
    missing: list[str] = field(default_factory=list)

    @property
    def default_folder(self) -> Path:
        """Return figures/<profile>/comparison."""
        return paths.figures_folder(self.profile) / "comparison"


def compare_studies(profile: str) -> CrossStudyResult:
    """Compare the saved results of the studies under one profile.

    A table is left out if one of its studies was not run. Raises ValueError for an unknown profile.
    """
    check_choice("profile", profile, PROFILES)
    tables = {}
    missing = []
    for key in SOURCES:
        files = _source_files(profile, key)
        absent = [study for study, file in files.items() if not file.is_file()]
        if not absent:
            sources = {study: pd.read_csv(file) for study, file in files.items()}
            tables[key] = _make_table(key, sources)
        elif key not in OPTIONAL:
            command = f"make reproduce PROFILE={profile} STUDY="
            missing += [f"table {key} needs `{command}{study}`" for study in absent]
    if "same_models" in tables:
        tables["agreement"] = _agreement(tables["same_models"])
    return CrossStudyResult(
        profile=profile,
        tables=tables,
        drawings=_drawings(profile, tables),
        manifest={"profile": profile, "made_of": _origins(profile)},
        missing=missing,
    )


def _source_files(profile: str, key: str) -> dict[str, Path]:
    return {
        study: _folder(profile, study) / f"table_{table}.csv"
        for study, table in SOURCES[key].items()
    }


def _folder(profile: str, study: str) -> Path:
    """Return the folder with a study's results.

    CSG needs little training, so its results of the profile `paper` also serve `overnight`.
    """
    folder = paths.figures_folder(profile) / study
    if study == "csg" and profile == "overnight" and not folder.is_dir():
        return paths.figures_folder("paper") / study
    return folder


def _origins(profile: str) -> dict[str, dict[str, Any] | None]:
    """Return the profile and revision of each study's results, None if it was not run."""
    studies = {study for tables in SOURCES.values() for study in tables}
    return {study: _origin(_folder(profile, study)) for study in sorted(studies)}


def _origin(folder: Path) -> dict[str, Any] | None:
    file = folder / "manifest.json"
    if not file.is_file():
        return None
    manifest = json.loads(file.read_text(encoding="utf-8"))
    return {
        "profile": manifest["profile"],
        "git": manifest.get("git"),
    }


# ---------------------------------------------------------------- tables


def _make_table(key: str, sources: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    if key in METHODS:
        return _crossed(sources["sp2ps"], sources["pe_score"], METHODS[key])
    if key == "pe_3":
        return _complexity_and_accuracy(sources["csg"], sources["sweeps"], sources["pe_score"])
    return _same_models(sources)


def _crossed(published: pd.DataFrame, drops: pd.DataFrame, method: str) -> pd.DataFrame:
    """Return one of Tables 1 to 3 as the paper builds it.

    Sp2PS is that of one network's models, PE that of another network's, both in the order of their
    accuracy drops.
    """
    is_chosen = (drops["dataset"] == DATASET) & (drops["method"] == method)
    models = drops[is_chosen].set_index(["rule", "rate"])
    available = [model for model in PE_MODELS if model in models.index]
    rows = models.loc[available].reset_index()
    rows = rows.sort_values("acc_drop", kind="stable", ignore_index=True)
    ours = pd.DataFrame(
        {
            "pe_rule": rows["rule"],
            "pe_rate": rows["rate"],
            "pe_paper_acc_drop_ours": rows["acc_drop"],
            "pe_drop_ours": rows["pe_drop"],
            "place": range(1, len(rows) + 1),
        }
    )
    # The column that is dropped has the PE of the Sp2PS models, which is in "same_models".
    published = published.drop(columns="pe_drop_ours")
    return published.merge(ours, on="place", how="left")


def _complexity_and_accuracy(
    published: pd.DataFrame, sweep: pd.DataFrame, models: pd.DataFrame
) -> pd.DataFrame:
    """Return Table 3 of the PE-score paper: CSG, and the accuracy of our unpruned networks.

    If both studies train on a data set, the plain network of the sweeps counts.
    """
    baselines = [table[["dataset", "baseline"]] for table in (sweep, models)]
    accuracy = pd.concat(baselines).drop_duplicates("dataset")
    accuracy = accuracy.rename(columns={"baseline": "accuracy_ours"})
    return published.merge(accuracy, on="dataset", how="left")


def _same_models(drops: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the drop of every score on the same models."""
    parts = []
    for study, table in drops.items():
        part = table[table["dataset"] == DATASET]
        part = part.drop(columns=["dataset", "place"])
        part.insert(0, "network", _NETWORKS[study])
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def _agreement(same_models: pd.DataFrame) -> pd.DataFrame:
    """Return how alike two drops rank the models, for each pair of accuracy and the scores."""
    drops = ["acc_drop", *(f"{score}_drop" for score in SCORES)]
    rows = []
    for (network, method), models in same_models.groupby(["network", "method"], sort=False):
        for first, second in combinations(drops, 2):
            x, y = models[first].to_numpy(), models[second].to_numpy()
            row = {
                "network": network,
                "method": method,
                "models": len(models),
                "of": first,
                "and": second,
                "spearman": _rank_correlation(x, y, "spearman"),
                "kendall": _rank_correlation(x, y, "kendall"),
            }
            rows.append(row)
    return pd.DataFrame(rows)


def _rank_correlation(x: np.ndarray, y: np.ndarray, kind: str) -> float:
    """Return a rank correlation, NaN for too few models."""
    if len(x) < _MIN_MODELS:
        return np.nan
    return correlation(x, y, kind).value


# ---------------------------------------------------------------- figures


def _drawings(profile: str, tables: Mapping[str, pd.DataFrame]) -> dict[str, Drawing]:
    drawings = {}
    crossed = {METHODS[key]: tables[key] for key in METHODS if key in tables}
    if crossed:
        caption = (
            "Drops of Sp2PS and PE against the accuracy drop as the Sp2PS paper compares them: "
            "two different networks and two kinds of pruning. Dashed: printed in its Tables 1 to "
            f"3; solid: ours, profile {profile}."
        )
        drawings["crossed"] = Drawing(partial(_draw_crossed, crossed), caption, lines=True)
    if "same_models" in tables:
        caption = (
            "The same scores on the same models, one panel per network and CAM: here a difference "
            f"between two curves is one between the scores. {DATASET}, profile {profile}."
        )
        draw = partial(_draw_same_models, tables["same_models"])
        drawings["same models"] = Drawing(draw, caption, lines=True)
    return drawings


def _draw_crossed(tables: Mapping[str, pd.DataFrame]) -> Figure:
    curves = {
        "Sp2PS": ("acc_drop", "sp2ps_drop", plots.BLUE),
        "PE": ("pe_paper_acc_drop", "pe_drop", plots.ORANGE),
    }
    with plots.style():
        figure = Figure(figsize=(3.2 * len(tables), 3.2), layout="constrained")
        (row,) = figure.subplots(1, len(tables), squeeze=False, sharey=True)
        for axes, (method, table) in zip(row, tables.items(), strict=True):
            for name, (x, y, colour) in curves.items():
                _draw_published_and_ours(
                    axes,
                    table,
                    x,
                    y,
                    name,
                    colour,
                )
            axes.set(title=method, xlabel="accuracy drop, points", ylim=(0, 102))
            axes.grid(alpha=0.25, linewidth=0.6)
        row[0].set_ylabel("drop of the score, %")
        handles, labels = row[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


def _draw_published_and_ours(
    axes: Axes,
    table: pd.DataFrame,
    x: str,
    y: str,
    name: str,
    colour: str,
) -> None:
    (published,) = axes.plot(table[x], table[y], linestyle="--", label=f"{name}, printed")
    (ours,) = axes.plot(table[f"{x}_ours"], table[f"{y}_ours"], label=f"{name}, ours")
    published.set_alpha(0.6)
    for line in (published, ours):
        line.set(color=colour, marker="o", markersize=3.5, linewidth=1.4)


def _draw_same_models(table: pd.DataFrame) -> Figure:
    networks = table["network"].unique()
    methods = table["method"].unique()
    with plots.style():
        size = (3.0 * len(methods), 2.6 * len(networks))
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(len(networks), len(methods), squeeze=False, sharey=True)
        for (row, column), axes in np.ndenumerate(panels):
            network, method = networks[row], methods[column]
            models = table[(table["network"] == network) & (table["method"] == method)]
            _draw_scores(axes, models.sort_values("acc_drop", kind="stable"))
            axes.set_title(f"{method}\n{network}")
        for axes in panels[:, 0]:
            axes.set_ylabel("drop of the score, %")
        for axes in panels[-1]:
            axes.set_xlabel("accuracy drop, points")
        handles, labels = panels[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


def _draw_scores(axes: Axes, models: pd.DataFrame) -> None:
    for score, colour in zip(SCORES, _COLOURS, strict=True):
        axes.plot(
            models["acc_drop"],
            models[f"{score}_drop"],
            color=colour,
            label=metrics.SCORES[score],
            linewidth=1.2,
            marker="o",
            markersize=3,
        )
    axes.set_ylim(0, 102)
    axes.grid(alpha=0.25, linewidth=0.6)
