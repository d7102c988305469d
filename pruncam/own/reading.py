"""What a comparison says, in plain words."""

from collections.abc import Mapping

import pandas as pd

from pruncam.own.figures import NAMES
from pruncam.studies.figures import TITLES

_NO_FLOOR = (
    "How far fine-tuning alone moves the maps is not known here: any training changes them a little. Give training "
    "pictures for this noise floor; until then a score below 1 may come from fine-tuning and not from pruning."
)


def sentences(tables: Mapping[str, pd.DataFrame], no_chance: str = "") -> list[str]:
    """The paragraphs at the top of the report; `no_chance` says why there is no chance level, where there is none."""
    summary = tables["summary"]
    found = [_accuracy(tables["models"]), _cost(tables["cost"])]
    found += [_maps(row) for row in summary[summary["score"] == "sp2ps"].to_dict("records")]
    if summary["floor_low"].isna().all():
        found.append(_NO_FLOOR)
    if no_chance:
        found.append(f"There is no chance level: {no_chance}.")
    return found


def _accuracy(models: pd.DataFrame) -> str:
    rows = models.set_index("model")
    before, after = rows.loc["baseline"], rows.loc["pruned"]
    drop = after["acc_drop"]
    change = "as many" if drop == 0 else f"{abs(drop):.1f} points {'fewer' if drop > 0 else 'more'}"
    return (
        f"The baseline is right for {before['accuracy']:.1f} % of {int(before['images']):,} images, the pruned "
        f"network for {after['accuracy']:.1f} % [{after['low']:.1f}, {after['high']:.1f}], {change}. "
        f"They give the same answer for {after['same_prediction']:.1f} %."
    )


def _cost(table: pd.DataFrame) -> str:
    before, after = table.to_dict("records")
    parts = {name: after[name] / before[name] for name in ("parameters", "flops")}
    if parts["parameters"] == 1:
        return (
            f"Both networks have {before['parameters']:,} parameters and the same FLOPs; "
            f"{100 * after['sparsity']:.1f} % of the pruned one's weights are zero, which makes it neither smaller nor "
            "faster by itself."
        )
    return (
        f"The pruned network has {100 * parts['parameters']:.1f} % of the baseline's parameters and needs "
        f"{100 * parts['flops']:.1f} % of its FLOPs."
    )


def _maps(row: Mapping) -> str:
    """One CAM's Sp2PS against the two ends of the scale. Intervals decide, and touching ones decide nothing."""
    text = (
        f"{TITLES.get(row['method'], row['method'])}: {NAMES['sp2ps']} is {row['mean']:.2f} "
        f"[{row['low']:.2f}, {row['high']:.2f}]"
    )
    if pd.notna(row["floor_low"]):
        band = f"fine-tuning alone gives {row['floor_low']:.2f} to {row['floor_high']:.2f}"
        if row["high"] < row["floor_low"]:
            text += f"; {band}, so the maps moved further than fine-tuning moves them"
        elif row["low"] > row["floor_high"]:
            text += f"; {band}, so the maps moved less than such fine-tuning moves them"
        else:
            text += f"; {band}, so what moved the maps may be fine-tuning and not pruning"
    if pd.notna(row["chance"]):
        text += f"; random weights give {row['chance']:.2f}"
        if row["low"] <= row["chance"]:
            text += ", and the pruned network's maps are no closer to the baseline's than those"
    return text + "."
