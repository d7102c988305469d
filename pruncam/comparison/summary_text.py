"""The result of a comparison in plain sentences."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from pruncam import metrics, scoring
from pruncam.comparison.faithfulness import faithfulness_sentence
from pruncam.comparison.on_objects import objects_sentence
from pruncam.comparison.other_layers import layer_sentence
from pruncam.comparison.titles import title

_NO_FLOOR = (
    "It is not known how far fine-tuning alone moves the maps: any training changes them a little. "
    "Pass training images to measure this reference. Until then, a score below 1 may be due to "
    "fine-tuning instead of pruning."
)


def paragraphs(tables: Mapping[str, pd.DataFrame], left_out: str | None = None) -> list[str]:
    """Return the paragraphs at the top of the report.

    `left_out` names the images without a usable mask.
    """
    summary = tables["summary"]
    sp2ps = summary[summary["score"] == "sp2ps"]
    sentences = [*_empty_maps(sp2ps), _sanity(sp2ps), _layers(tables["layers"])]
    texts = [" ".join(sentences), _accuracy(tables["models"]), _cost(tables["cost"])]
    texts += [_similarity(row) for row in sp2ps.to_dict("records")]
    if summary["floor_low"].isna().all():
        texts.append(_NO_FLOOR)
    if "sweep" in tables:
        texts.append(_sweep(tables["sweep"]))
    if "other_layers" in tables:
        texts.append(layer_sentence(tables["other_layers"]))
    if "objects" in tables:
        texts.append(objects_sentence(tables["objects"], left_out or ""))
    if "faithfulness" in tables:
        texts.append(faithfulness_sentence(tables["faithfulness"]))
    return texts


def _empty_maps(sp2ps: pd.DataFrame) -> list[str]:
    """Return a sentence that names the CAMs with many empty maps, if there are any."""
    shares = []
    for row in sp2ps.to_dict("records"):
        for column, model in (("baseline_empty", "baseline"), ("pruned_empty", "pruned network")):
            if row[column] > scoring.MANY_EMPTY:
                name = title(row["method"])
                shares.append(f"{_percent(row[column])} of the {name} maps of the {model}")
    if not shares:
        return []
    return [f"Many heatmaps are empty and explain nothing: {', '.join(shares)}."]


def _sanity(sp2ps: pd.DataFrame) -> str:
    """Return a sentence on the scores of networks with random weights, the chance level."""
    below, others = [], []
    for row in sp2ps.to_dict("records"):
        empty = (
            f", {_percent(row['chance_empty'])} of the maps empty" if row["chance_empty"] else ""
        )
        text = f"{row['chance']:.2f} ({title(row['method'])}{empty})"
        (below if row["chance"] < row["low"] else others).append(text)
    texts = []
    if below:
        texts.append(f"{', '.join(below)}, below that of the pruned network")
    if others:
        texts.append(f"{', '.join(others)}, not below that of the pruned network")
    score = metrics.SCORES["sp2ps"]
    return f"Sanity check: networks with random weights reach a {score} of {'; '.join(texts)}."


def _layers(layers: pd.DataFrame) -> str:
    """Describe where the heatmaps of both networks are read."""
    baseline, pruned = layers.to_dict("records")
    texts = [
        f"layer {row['layer']} ({row['kind']}), {row['height']}x{row['width']} cells "
        f"and {row['channels']:,} channel{'s' * (row['channels'] > 1)}"
        for row in (baseline, pruned)
    ]
    if texts[0] == texts[1]:
        return f"The heatmaps are read at {texts[0]} in both networks."
    return f"The heatmaps are read at {texts[0]} in the baseline, at {texts[1]} in the pruned one."


def _percent(share: float) -> str:
    """Return a share in %; it is never rounded to 0 or 100."""
    if 0 < share < 0.01:
        return "less than 1 %"
    if 0.99 < share < 1:
        return "more than 99 %"
    return f"{100 * share:.0f} %"


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
    """Describe the Sp2PS of one CAM between fine-tuning reference and chance level.

    The intervals decide: two that touch or overlap are not called different.
    """
    score = metrics.SCORES["sp2ps"]
    interval = f"{row['mean']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
    text = f"{title(row['method'])}: {score} is {interval} ({_without_empty(row)})"
    if pd.notna(row["floor_low"]):
        floor = f"{row['floor_low']:.2f} to {row['floor_high']:.2f}"
        floor += _empty_share(row["floor_empty"])
        text += f"; fine-tuning alone gives {floor}, so {_against_floor(row)}"
    if pd.notna(row.get("retrained_low")):
        retrained = f"{row['retrained_low']:.2f} to {row['retrained_high']:.2f}"
        text += f"; another training of the baseline gives {retrained}, {_against_retrained(row)}"
    if pd.notna(row["chance"]):
        text += f"; random weights give {row['chance']:.2f}{_empty_share(row['chance_empty'])}"
        if row["low"] <= row["chance"]:
            text += (
                ", and the pruned network's maps are no more similar to the baseline's "
                "than those of random networks"
            )
    return f"{text}."


def _sweep(table: pd.DataFrame) -> str:
    """Return the accuracy and the Sp2PS of every pruned network, by the first CAM, in words."""
    method = table["method"].iloc[0]
    rows = table[table["method"] == method].to_dict("records")
    texts = [f"{row['network']} {row['accuracy']:.1f} %, {row['sp2ps']:.2f}" for row in rows]
    score = metrics.SCORES["sp2ps"]
    return f"All pruned networks (accuracy, {score} by {title(method)}): {'; '.join(texts)}."


def _without_empty(row: Mapping[str, Any]) -> str:
    """Return the shares of empty maps, and the mean without them, in words."""
    baseline, pruned = row["baseline_empty"], row["pruned_empty"]
    if not baseline and not pruned:
        return "no map is empty"
    shares = (
        f"{_percent(baseline)} of the maps of the baseline and {_percent(pruned)} of those of the "
        "pruned network are empty"
    )
    if pd.isna(row["mean_nonempty"]):
        return f"{shares}; no image has two maps that are not"
    return f"{shares}; without them it is {row['mean_nonempty']:.2f}"


def _empty_share(share: float) -> str:
    """Return the share of empty maps of a control in brackets; nothing if there are none."""
    return f" ({_percent(share)} of the maps empty)" if share else ""


def _against_retrained(row: Mapping[str, Any]) -> str:
    if row["low"] > row["retrained_high"]:
        return "so pruning moved the maps less than another seed would"
    if row["high"] < row["retrained_low"]:
        return "so pruning moved the maps further than another seed would"
    return "so pruning moved the maps about as far as another seed would"


def _against_floor(row: Mapping[str, Any]) -> str:
    if row["high"] < row["floor_low"]:
        return "the maps moved further than fine-tuning moves them"
    if row["low"] > row["floor_high"]:
        return "the maps moved less than such fine-tuning moves them"
    return "fine-tuning instead of pruning may have moved the maps"
