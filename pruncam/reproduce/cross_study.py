"""Tables that need the saved results of two studies.

These are Tables 1 to 3 of the Sp2PS paper, Table 3 of the PE-score paper, and the scores of both
papers on the same models.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pruncam._core import paths
from pruncam._core.text_files import RUN_AGAIN, read_json, read_table
from pruncam._core.validation import PROFILES, check_choice
from pruncam.report.result import Drawing, Result
from pruncam.reproduce.cross_study_figures import draw_crossed, draw_same_models
from pruncam.statistics import correlation, partial_rank_correlation
from pruncam.studies import pe_score, sp2ps
from pruncam.studies.original_data import shown_names

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
# The models in the PE rows of Tables 1 to 3, by place: pruning rule and rate. The printed accuracy
# drops are those of the PE-score paper's captions.
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
            sources = {study: read_table(file, RUN_AGAIN) for study, file in files.items()}
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
    manifest = read_json(file, RUN_AGAIN)
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
    """Return one of Tables 1 to 3 with our models of both networks.

    The Sp2PS rows have our model of the nearest accuracy drop, as the Sp2PS study chose it; the PE
    rows have the model of the same rule and rate as the paper's.
    """
    is_chosen = (drops["dataset"] == DATASET) & (drops["method"] == method)
    models = drops[is_chosen].groupby(["rule", "rate"])[["acc_drop", "pe_drop"]].mean()
    rows = models.reindex(list(PE_MODELS)).reset_index(names=["pe_rule", "pe_rate"])
    rows = rows.rename(columns={"acc_drop": "pe_paper_acc_drop_ours", "pe_drop": "pe_drop_ours"})
    rows = rows.assign(place=range(1, len(rows) + 1))
    # The column that is dropped has the PE of the Sp2PS models, which is in "same_models".
    published = published.drop(columns="pe_drop_ours")
    return published.merge(rows, on="place", how="left")


def _complexity_and_accuracy(
    published: pd.DataFrame, sweep: pd.DataFrame, models: pd.DataFrame
) -> pd.DataFrame:
    """Return Table 3 of the PE-score paper: CSG, and the accuracy of our unpruned networks in %.

    If both studies train on a data set, the plain network of the sweeps counts.
    """
    columns = {
        "baseline": "accuracy_ours",
        "baseline_low": "accuracy_ours_low",
        "baseline_high": "accuracy_ours_high",
    }
    baselines = [table[["dataset", *columns]] for table in (sweep, models)]
    accuracy = pd.concat(baselines).drop_duplicates("dataset").rename(columns=columns)
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
    """Return how alike two drops rank the models, for each pair of accuracy, scores and SSIM.

    Models that have collapsed are left out: their maps say nothing. `without_ssim` is the rank
    correlation without what both share with SSIM, which Sp2PS and PE contain; NaN where nothing is
    left, as when a score ranks the models exactly as SSIM does. The models have a baseline in
    common, so no interval can be computed from their number.
    """
    drops = ["acc_drop", *(f"{score}_drop" for score in (*SCORES, "ssim"))]
    working = same_models[~same_models["collapsed"]]
    rows = []
    for (network, method), models in working.groupby(["network", "method"], sort=False):
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
                "without_ssim": _without_ssim(models, first, second),
            }
            rows.append(row)
    return pd.DataFrame(rows)


def _without_ssim(models: pd.DataFrame, first: str, second: str) -> float:
    """Return the rank correlation of two drops beyond SSIM, NaN for too few models."""
    if len(models) < _MIN_MODELS:
        return np.nan
    return partial_rank_correlation(models[first], models[second], models["ssim_drop"])


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
            "Drops of Sp2PS and PE against the accuracy drop as the Sp2PS paper compares them: two "
            "different networks and two kinds of pruning. Open: printed in its Tables 1 to 3; "
            "filled: ours, for Sp2PS the model of the nearest accuracy drop, for PE that of the "
            "same rule and rate. The scale ends where the printed accuracy drops do; an arrow is a "
            f"model of ours beyond it. Ours: {_images(profile)}, profile {profile}."
        )
        drawings["crossed"] = Drawing(partial(draw_crossed, crossed), caption, lines=True)
    if "same_models" in tables:
        caption = (
            "The same scores on the same models, one panel per network and CAM: here a distance "
            "between two points above each other is one between the scores. Colour: score; "
            "marker: pruning rule, open where accuracy has collapsed. "
            f"{_images(profile)}, profile {profile}."
        )
        draw = partial(draw_same_models, tables["same_models"], SCORES)
        drawings["same models"] = Drawing(draw, caption, lines=True)
    return drawings


def _images(profile: str) -> str:
    """Return the name of the images that stand for `DATASET` in both studies."""
    studies = (sp2ps, pe_score)
    names = [shown_names(study.configure(profile).datasets)[DATASET] for study in studies]
    return " and ".join(dict.fromkeys(names))
