"""The report as one HTML page that contains its images and styles and loads nothing else."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, NamedTuple

import pandas as pd
from pandas.api.types import is_numeric_dtype

from pruncam import cams, metrics
from pruncam.comparison.titles import MAIN_SCORES, shortened

MAX_ROWS = 60  # of a table on the page; the CSV has all of them
_TITLE = "Does the pruned network still look at the same pixels?"
_STYLE = """
:root {
  color-scheme: light dark;
  --text: #1b1f24; --muted: #5b6470; --line: #d9dee4; --page: #ffffff; --box: #f4f6f8;
}
@media (prefers-color-scheme: dark) {
  :root { --text: #e6e9ed; --muted: #a3adb8; --line: #3a424c; --page: #14181d; --box: #1e242b }
}
body {
  color: var(--text); background: var(--page); font: 16px/1.55 system-ui, sans-serif;
  max-width: 70rem; margin: 2rem auto; padding: 0 1rem;
}
h1 { line-height: 1.2 }
h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line) }
.summary { background: var(--box); border-radius: .5rem; padding: .6rem 1.2rem }
.wide { overflow-x: auto }
figure { margin: 1rem 0 }
.summary, .note, figure { max-width: 62rem }
figcaption, .note { color: var(--muted); font-size: .9rem }
img { max-width: 100%; height: auto; background: #fff; border-radius: .3rem }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums }
th, td {
  padding: .25rem .6rem; border-bottom: 1px solid var(--line); text-align: right;
  vertical-align: top;
}
td { white-space: nowrap }
th { position: sticky; top: 0; background: var(--page) }
dt { color: var(--muted); float: left; clear: left; width: 11rem }
dd { margin-left: 11.5rem; overflow-wrap: anywhere }
"""
# Columns of words are aligned left. The classes of a table name them by their position, which is
# at most 9 in all tables of the page.
_STYLE += "".join(
    f".words{n} :is(th, td):nth-child({n}) {{ text-align: left }}\n" for n in range(1, 10)
)


@dataclass(frozen=True)
class _Section:
    """A heading with a note, a figure and a table, each optional."""

    heading: str
    note: str = ""
    figure: str | None = None
    table: str | None = None


# Titles of columns on the page; the files have the names on the left.
_COLUMNS = {
    "method": "CAM",
    "baseline_empty": "empty, baseline",
    "pruned_empty": "empty, pruned",
    "mean_nonempty": "mean without empty maps",
    "floor": "fine-tuning alone",
    "floor_empty": "empty, fine-tuning alone",
    "retrained": "another training",
    "chance_empty": "empty, chance",
    "baseline_prediction": "baseline predicts",
    "pruned_prediction": "pruned predicts",
    "acc_drop": "points lost",
    "same_prediction": "same prediction as baseline",
    "file_bytes": "bytes of the file",
    "area": "area of the objects",
    "energy": "energy on the objects",
    "above_area": "energy minus area",
    "pointing": "maximum on the objects",
    "change": "energy minus the baseline's",
}
_FILE_LETTERS = 32
# Tables by group have all scores in their files; on the page they would be too wide.
_BY_GROUP = ("classes", "correctness")
_LEFT_OUT = (*(score for score in metrics.SCORES if score not in MAIN_SCORES), "pe_nonempty")
_OF_FINE_TUNING = ("epochs", "learning_rate", "batch_size")  # settings without meaning otherwise

_SECTIONS = (
    _Section(
        "Scores, fine-tuning reference and chance level",
        "Means over all images with 95 % bootstrap intervals in brackets. What fine-tuning alone "
        "reaches without pruning: a score within this range says nothing about pruning. Another "
        "training: baselines of other seeds, if you passed any. Chance: networks with random "
        "weights. Confidence variation is best at 0, all other scores at 1. Empty: shares of maps "
        "that explain nothing. Two empty maps score 1, one empty map scores 0; the mean without "
        "empty maps leaves such images out.",
        figure="scale",
        table="summary",
    ),
    _Section(
        "Images whose maps moved most",
        "The lowest Sp2PS of each CAM, images with an empty map last. Look at the images: no "
        "number tells a map that moved to the background from one that spread over the object.",
        figure="moved",
        table="moved",
    ),
    _Section("Distribution of the scores", figure="distributions"),
    _Section(
        "Scores by class",
        "Accuracies in %, means of every score.",
        figure="classes",
        table="classes",
    ),
    _Section(
        "Are the maps faithful?",
        "Change of the predicted class's probability when pixels are replaced by what surrounds "
        "them (ROAD, Rong et al. 2022), mean over images and over nine shares of the pixels: the "
        "most relevant pixels of a map first, or the least relevant ones. If a map marks pixels "
        "that matter, the first change is far below 0 and the second is not. Combined is half of "
        "the difference: 0 for a map of random numbers. Empty maps are left out.",
        table="faithfulness",
    ),
    _Section(
        "Are the maps on the object?",
        "Means over the images whose mask marks an object, with 95 % bootstrap intervals in "
        "brackets, of the class that the baseline predicts. Energy: share of the map's sum on the "
        "object (energy-based pointing game, Wang et al. 2020); a map without any preference has "
        "the share of the area that the object covers. Maximum: share of the images whose map is "
        "highest on the object (pointing game, Zhang et al. 2018). Networks with random weights "
        "show what edges and the middle of the image give to any map. The difference from the "
        "baseline is that of the maps of one image. Empty maps are left out.",
        table="objects",
    ),
    _Section(
        "Correct and incorrect predictions",
        "Images that the pruned network classifies correctly and incorrectly: maps often move "
        "where the prediction changes.",
        table="correctness",
    ),
    _Section(
        "Where the maps are read",
        "The target layer of both networks, the size of its maps in cells, and its channels.",
        table="layers",
    ),
    _Section(
        "Does the result depend on the layer?",
        "Sp2PS and chance level (one network of random weights) at the target layer and at other "
        "ones, on some of the images. If a map is closer than chance at one layer and not at "
        "another, say so with the score. Ablation-CAM is left out.",
        table="other_layers",
    ),
    _Section(
        "All pruned networks",
        "Accuracy in %, parameters that are not zero, Sp2PS and PE against the same baseline, with "
        "95 % bootstrap intervals in brackets; the first row is the network of this report.",
        table="sweep",
    ),
    _Section(
        "Accuracy of every model",
        "In %, with 95 % bootstrap intervals in brackets.",
        table="models",
    ),
    _Section(
        "Cost of both networks",
        "FLOPs of one image. Zero weights only lower the column nonzero: dense hardware multiplies "
        "them like any other number.",
        table="cost",
    ),
    _Section(
        "References by network",
        "Each fine-tuned copy of the baseline, each other training, each network with random "
        "weights.",
        table="controls",
    ),
)


class Picture(NamedTuple):
    """A figure as a PNG file, with its caption and with what is seen in it, in words."""

    png: bytes
    caption: str
    alt: str


def render_page(
    summary: Sequence[str],
    tables: Mapping[str, pd.DataFrame],
    pictures: Mapping[str, Picture],
    manifest: Mapping[str, Any],
) -> str:
    """Return the page; `pictures` by the name of the figure."""
    paragraphs = "".join(f"<p>{escape(paragraph)}</p>" for paragraph in summary)
    parts = [f"<h1>{_TITLE}</h1>", f'<div class="summary">{paragraphs}</div>']
    for section in _SECTIONS:
        if section.table and (section.table not in tables or tables[section.table].empty):
            continue
        parts.append(f"<h2>{section.heading}</h2>")
        if section.note:
            parts.append(f'<p class="note">{escape(section.note)}</p>')
        if section.figure:
            parts.append(_figure(pictures[section.figure]))
        if section.table:
            parts.append(_table(tables[section.table], section.table))
    parts += ["<h2>Origin of the results</h2>", _facts(manifest)]
    return _document("\n".join(parts))


def _document(body: str) -> str:
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{_TITLE}</title><style>{_STYLE}</style>"
    )
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def _figure(picture: Picture) -> str:
    source = f"data:image/png;base64,{base64.b64encode(picture.png).decode()}"
    alt, caption = escape(picture.alt, quote=True), escape(picture.caption)
    return f'<figure><img alt="{alt}" src="{source}"><figcaption>{caption}</figcaption></figure>'


def _table(table: pd.DataFrame, name: str) -> str:
    """Return the first rows of a table, with the titles of CAMs and scores.

    Numbers about empty maps come last: a narrow page shows the first columns.
    """
    cam_titles = {method.name: method.title for method in cams.METHODS.values()}
    score_titles = dict(metrics.SCORES)
    rows = table.head(MAX_ROWS).replace({"method": cam_titles, "score": score_titles})
    if name in _BY_GROUP:
        rows = rows.drop(columns=[column for column in _LEFT_OUT if column in rows])
    rows = rows.dropna(axis="columns", how="all")
    is_number = {column: is_numeric_dtype(rows[column]) for column in rows}
    rows = _with_intervals(rows)
    rows = rows[sorted(rows, key=lambda column: column.endswith(("_empty", "_nonempty")))]
    if "file" in rows:
        rows["file"] = [shortened(file, _FILE_LETTERS) for file in rows["file"]]
    word_columns = [
        f"words{position}"
        for position, column in enumerate(rows, start=1)
        if not is_number.get(column, True)  # a column that is new holds ranges of numbers
    ]
    rows = rows.rename(columns=lambda column: _column_title(column, score_titles))
    text = rows.to_html(
        index=False,
        border=0,
        escape=True,
        na_rep="",
        classes=word_columns,
        float_format=lambda value: f"{value:.4g}",
    )
    more = f"the first {MAX_ROWS} of {len(table)} rows; " if len(table) > MAX_ROWS else ""
    return f'<div class="wide">{text}</div><p class="note">{more}table_{name}.csv</p>'


def _with_intervals(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table that is not too wide: a mean and its interval, or a range, in one column.

    Columns X, X_low and X_high become X as "mean [low, high]"; X_low and X_high alone become X as
    "low to high"; low and high belong to the column before them.
    """
    table = table.copy()
    for low in [column for column in table if column == "low" or column.endswith("_low")]:
        high = f"{low.removesuffix('low')}high"
        if high not in table:
            continue
        name = low.removesuffix("low").removesuffix("_")
        before = table.columns[table.columns.get_loc(low) - 1]
        name = name or before
        if name in table:
            values = zip(table[name], table[low], table[high], strict=True)
            table[name] = [_interval(*value) for value in values]
        else:
            values = zip(table[low], table[high], strict=True)
            ranges = ["" if pd.isna(a) else f"{_number(a)} to {_number(b)}" for a, b in values]
            table.insert(table.columns.get_loc(low), name, ranges)
        table = table.drop(columns=[low, high])
    return table


def _interval(mean: float, low: float, high: float) -> str:
    if pd.isna(mean):
        return ""
    return f"{_number(mean)} [{_number(low)}, {_number(high)}]"


def _number(value: float) -> str:
    """Return a number for an interval: three digits are as many as its ends can tell apart."""
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def _column_title(column: str, score_titles: Mapping[str, str]) -> str:
    """Return the title of a column: that of a score, one in plain words, or its name."""
    base = column.removesuffix("_nonempty")
    if base != column and base in score_titles:
        return f"{score_titles[base]} without empty maps"
    return score_titles.get(column) or _COLUMNS.get(column) or column.replace("_", " ")


def _facts(manifest: Mapping[str, Any]) -> str:
    """Return networks, images, settings and versions as a definition list."""
    facts = {"model": manifest.get("model")}
    facts |= {name: manifest.get(name) for name in ("command", "shards", "date", "pruncam", "git")}
    for checkpoint in manifest.get("checkpoints", []):
        name = f"{checkpoint['role']}: {checkpoint['name']}"
        size, sha256 = checkpoint["bytes"], checkpoint["sha256"]
        verified, weights = checkpoint["verified"], checkpoint["weights"]
        facts[name] = f"{size:,} bytes, SHA-256 {sha256} ({verified}); weights: {weights}"
    for images in manifest["data"]:
        facts[f"{images['split']} images"] = f"{images['images']:,}: {images['provenance']}"
    facts["size"] = " x ".join(map(str, manifest["size"])) + " pixels"
    facts["resizing"] = manifest.get("resizing")
    for name in ("normalisation", "output", "reshape"):
        facts[name] = manifest.get(name)
    facts["target layers"] = manifest["target_layers"]
    is_trained = any(images["split"] == "train" for images in manifest["data"])
    left_out = () if is_trained else _OF_FINE_TUNING
    facts |= {name: value for name, value in manifest["config"].items() if name not in left_out}
    facts["custom methods"] = manifest["custom_methods"]
    facts["custom scores"] = manifest["custom_scores"]
    facts["device"] = manifest["device"]
    facts["PyTorch"] = manifest["packages"]["torch"]
    entries = [
        f"<dt>{escape(str(name))}</dt><dd>{escape(_text(value))}</dd>"
        for name, value in facts.items()
        if value
    ]
    return f"<dl>{''.join(entries)}</dl>"


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{entry} ({name})" for name, entry in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
