"""The result of a comparison in Markdown: a section of a model card, and a step's summary."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from pruncam import __version__, metrics
from pruncam.comparison.titles import title

HEADING = "Heatmaps before and after pruning"
_NAMED_SCORES = ("sp2ps", "pe", "soft_iou")


def model_card(
    summary: Sequence[str], tables: Mapping[str, pd.DataFrame], manifest: Mapping[str, Any]
) -> str:
    """Return a section for the model card of the pruned network, in Markdown.

    `summary`, `tables` and `manifest` are those of a report.
    """
    sentences = "\n".join(f"- {_escaped(paragraph)}" for paragraph in summary)
    images = next(images for images in manifest["data"] if images["split"] != "train")
    source = (
        f"Means over {images['images']:,} images with 95 % bootstrap intervals, best at 1. "
        f"Made by pruncam {__version__}."
    )
    table = _scores(tables["summary"]).to_markdown(index=False, disable_numparse=True)
    return f"## {HEADING}\n\n{sentences}\n\n{table}\n\n{source}\n"


def step_summary(card: str, failures: Sequence[str] | None) -> str:
    """Return a model card's section under the result of the gate; None: there is no gate."""
    if failures is None:
        return card
    if not failures:
        return f"**Passed**: every score reaches its limit.\n\n{card}"
    reasons = "\n".join(f"- {_escaped(failure)}" for failure in failures)
    return f"**Failed** the gate:\n\n{reasons}\n\n{card}"


def _scores(summary: pd.DataFrame) -> pd.DataFrame:
    """Return a row per CAM with its main and custom scores and their references, as text."""
    custom = [score for score in summary["score"].unique() if score not in metrics.SCORES]
    records = []
    for method, rows in summary.groupby("method", sort=False):
        by_score = rows.set_index("score")
        sp2ps = by_score.loc["sp2ps"]
        record = {"CAM": _escaped(title(str(method)))}
        for score in (*_NAMED_SCORES, *custom):
            record[_escaped(title(score))] = _interval(by_score.loc[score])
        record["Sp2PS by fine-tuning alone"] = _range(sp2ps["floor_low"], sp2ps["floor_high"])
        record["Sp2PS by random weights"] = _range(sp2ps["chance"], sp2ps["chance"])
        record["empty maps (baseline, pruned)"] = (
            f"{100 * sp2ps['baseline_empty']:.0f} %, {100 * sp2ps['pruned_empty']:.0f} %"
        )
        records.append(record)
    return pd.DataFrame(records)


def _interval(row: pd.Series) -> str:
    return f"{row['mean']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"


def _range(low: float, high: float) -> str:
    if pd.isna(low):
        return "not measured"
    return f"{low:.2f}" if low == high else f"{low:.2f} to {high:.2f}"


def _escaped(text: str) -> str:
    """Return text that Markdown shows as it is: names come from the user's files."""
    text = " ".join(text.split())
    for character in "\\`*_|<[#":
        text = text.replace(character, f"\\{character}")
    return text
