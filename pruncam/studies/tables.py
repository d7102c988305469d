"""Tables that the pruning studies share, from rows of scores with their half, rule, rate and seed."""

import math

import numpy as np
import pandas as pd

from pruncam import scoring
from pruncam.seeds import derive
from pruncam.statistics import bootstrap_means
from pruncam.studies.half import CHANCE, FLOOR, StudyConfig

ENDS = (FLOOR, CHANCE)  # of the scale: models that are not pruned


def accuracies(config: StudyConfig, rows: pd.DataFrame) -> pd.DataFrame:
    """One row per model: accuracy in %, and by how many points it lies under the baseline's."""
    table = []
    once = rows[rows["method"] == config.methods[0]]
    for (half, rule, rate, seed), part in once.groupby(["half", "rule", "rate", "seed"], sort=False):
        baseline, own = (100 * (part[f"{who}_prediction"] == part["label"]).mean() for who in ("baseline", "pruned"))
        same = 100 * (part["baseline_prediction"] == part["pruned_prediction"]).mean()
        row = {"half": half, "rule": rule, "rate": rate, "seed": seed, "images": len(part), "baseline": baseline}
        table.append(row | {"accuracy": own, "acc_drop": baseline - own, "same_prediction": same})
    return pd.DataFrame(table)


def curves(config: StudyConfig, rows: pd.DataFrame, accuracy: pd.DataFrame) -> pd.DataFrame:
    """Per half, rule, rate and CAM the accuracy and every score, with intervals.

    Scores are means over images, and over seeds where a rule has several. Intervals resample images, seeds together.
    """
    table = []
    keys = ["half", "rule", "rate", "method"]
    for (half, rule, rate, method), part in rows.groupby(keys, sort=False, observed=True):
        per_image = part.groupby("image")[list(scoring.SCORES)].mean().to_numpy(dtype=float)
        seed = derive(config.seed, "images", half, rule, rate, method)
        found = bootstrap_means(per_image, samples=config.bootstrap, seed=seed)
        of = accuracy[(accuracy["half"] == half) & (accuracy["rule"] == rule) & (accuracy["rate"] == rate)]
        row = dict(zip(keys, (half, rule, rate, method), strict=True)) | {"seeds": len(of)}
        row |= {name: of[name].mean() for name in ("accuracy", "acc_drop", "same_prediction")}
        by_seed = part.groupby("seed")[list(scoring.SCORES)].mean()
        for name, interval in zip(scoring.SCORES, found, strict=True):
            row |= {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
            row[f"{name}_sd"] = by_seed[name].std(ddof=1) if len(of) > 1 else math.nan
        table.append(row)
    return pd.DataFrame(table)


def drops(config: StudyConfig, rows: pd.DataFrame, accuracy: pd.DataFrame, half: str) -> pd.DataFrame:
    """Accuracy drop and the drop of every score of each pruned model, the models in the order of their accuracy drops.

    A score's drop is 100 (1 - score): the unpruned model scores 1 against itself.
    """
    table = []
    models = accuracy[(accuracy["half"] == half) & ~accuracy["rule"].isin(ENDS)].sort_values("acc_drop", kind="stable")
    for method in config.methods:
        for place, model in enumerate(models.itertuples(), start=1):
            chosen = (rows["half"] == half) & (rows["rule"] == model.rule) & (rows["rate"] == model.rate)
            part = rows[chosen & (rows["seed"] == model.seed) & (rows["method"] == method)]
            row = {"method": method, "place": place, "rule": model.rule, "rate": model.rate, "seed": model.seed}
            row |= {"acc_drop": model.acc_drop}
            row |= {
                f"{name}_drop": 100 * (1 - part[name].mean()) for name in ("sp2ps", "pe", "ssim", "iou", "soft_iou")
            }
            table.append(row)
    return pd.DataFrame(table)


def by_class(rows: pd.DataFrame, classes: dict[str, tuple[str, ...]]) -> pd.DataFrame:
    """Mean Sp2PS and PE of every class: which classes lose their place first."""
    table = rows[~rows["rule"].isin(ENDS)]
    table = (
        table.groupby(["half", "rule", "rate", "method", "label"], observed=True)[["sp2ps", "pe"]].mean().reset_index()
    )
    table.insert(5, "class", [classes[row.half][row.label] for row in table.itertuples()])
    return table


def by_correctness(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean scores of images that a pruned model gets right and wrong."""
    table = rows[~rows["rule"].isin(ENDS)]
    right = np.where(table["pruned_prediction"] == table["label"], "correct", "incorrect")
    table = table.assign(prediction=right)
    keys = ["half", "rule", "rate", "method", "prediction"]
    groups = table.groupby(keys, observed=True)
    found = groups[["sp2ps", "pe", "soft_iou"]].mean()
    found.insert(0, "images", groups.size())
    return found.reset_index()


def ends(rows: pd.DataFrame) -> pd.DataFrame:
    """The two ends of the scale: each seed's mean scores of fine-tuning alone, and of random weights."""
    table = rows[rows["rule"].isin(ENDS)]
    return table.groupby(["half", "rule", "seed", "method"], observed=True)[list(scoring.SCORES)].mean().reset_index()
