"""The result of a comparison in plain sentences."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from pruncam import metrics
from pruncam.comparison.titles import title

_NO_FLOOR = (
    "It is not known how far fine-tuning alone moves the maps: any training changes them a little. "
    "Pass training images to measure this noise floor. Until then, a score below 1 may be due to "
    "fine-tuning instead of pruning."
)


def paragraphs(tables: Mapping[str, pd.DataFrame], no_chance: str = "") -> list[str]:
    """Return the paragraphs at the top of the report.

    `no_chance` is the reason why there is no chance level; empty if there is one.
    """
    summary = tables["summary"]
    sp2ps = summary[summary["score"] == "sp2ps"]
    texts = [_accuracy(tables["models"]), _cost(tables["cost"])]
    texts += [_similarity(row) for row in sp2ps.to_dict("records")]
    if summary["floor_low"].isna().all():
        texts.append(_NO_FLOOR)
    if no_chance:
        texts.append(f"There is no chance level: {no_chance}.")
    return texts


def _accuracy(models: pd.DataFrame) -> str:
    rows = models.set_index("model")
    before, after = rows.loc["baseline"], rows.loc["pruned"]
    drop = after["acc_drop"]
    if drop == 0:
        change = "no change"
    else:
        change = f"{abs(drop):.1f} points {'lower' if drop > 0 else 'higher'}"
    return (
        f"The baseline classifies {before['accuracy']:.1f} % of {int(before['images']):,} images "
        f"correctly, the pruned network {after['accuracy']:.1f} % "
        f"[{after['low']:.1f}, {after['high']:.1f}]: {change}. "
        f"Both predict the same class for {after['same_prediction']:.1f} % of the images."
    )


def _cost(table: pd.DataFrame) -> str:
    before, after = table.to_dict("records")
    parameters = after["parameters"] / before["parameters"]
    flops = after["flops"] / before["flops"]
    if parameters == 1:
        return (
            f"Both networks have {before['parameters']:,} parameters and the same FLOPs. "
            f"{100 * after['sparsity']:.1f} % of the weights of the pruned network are zero, "
            "which alone makes it neither smaller nor faster."
        )
    return (
        f"The pruned network has {100 * parameters:.1f} % of the parameters of the baseline "
        f"and needs {100 * flops:.1f} % of its FLOPs."
    )


def _similarity(row: Mapping[str, Any]) -> str:
    """Describe the Sp2PS of one CAM between noise floor and chance level.

    The intervals decide: two that touch or overlap are not called different.
    """
    score = metrics.SCORES["sp2ps"]
    interval = f"{row['mean']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
    text = f"{title(row['method'])}: {score} is {interval}"
    if pd.notna(row["floor_low"]):
        floor = f"{row['floor_low']:.2f} to {row['floor_high']:.2f}"
        text += f"; fine-tuning alone gives {floor}, so {_against_floor(row)}"
    if pd.notna(row["chance"]):
        text += f"; random weights give {row['chance']:.2f}"
        if row["low"] <= row["chance"]:
            text += (
                ", and the pruned network's maps are no more similar to the baseline's "
                "than those of random networks"
            )
    return f"{text}."


def _against_floor(row: Mapping[str, Any]) -> str:
    if row["high"] < row["floor_low"]:
        return "the maps moved further than fine-tuning moves them"
    if row["low"] > row["floor_high"]:
        return "the maps moved less than such fine-tuning moves them"
    return "fine-tuning instead of pruning may have moved the maps"
