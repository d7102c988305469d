"""The report as one page that needs nothing else: pictures and styles are in it, and it asks no network."""

import base64
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import pandas as pd
from pandas.api.types import is_numeric_dtype

from pruncam.own.figures import NAMES
from pruncam.studies.figures import TITLES

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #5b6470; --line: #d9dee4; --back: #ffffff; --box: #f4f6f8 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ed; --soft: #a3adb8; --line: #3a424c; --back: #14181d; --box: #1e242b }
}
body { color: var(--ink); background: var(--back); font: 16px/1.55 system-ui, sans-serif; max-width: 62rem;
  margin: 2rem auto; padding: 0 1rem }
h1 { line-height: 1.2 } h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line) }
.reading { background: var(--box); border-radius: .5rem; padding: .6rem 1.2rem }
.wide { overflow-x: auto } figure { margin: 1rem 0 } figcaption, .note { color: var(--soft); font-size: .9rem }
img { max-width: 100%; height: auto; background: #fff; border-radius: .3rem }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap }
th { position: sticky; top: 0; background: var(--back) }
dt { color: var(--soft); float: left; clear: left; width: 11rem } dd { margin-left: 11.5rem; overflow-wrap: anywhere }
"""
# Columns of words begin on the left; a table's classes say which columns those are, of the first nine: no table of
# the page has words farther right.
_STYLE += "".join(f".words{n} :is(th, td):nth-child({n}) {{ text-align: left }}\n" for n in range(1, 10))
_SECTIONS = (  # heading, table, figure, what to know about them
    (
        "The scores, and what they are worth",
        "summary",
        "scale",
        "Means over all images with 95 % bootstrap intervals. floor_low to floor_high is what the unpruned baseline "
        "gets after fine-tuning alone: a score in there says nothing about pruning. chance is what random weights get. "
        "Confidence variation is best at 0, all other scores at 1.",
    ),
    (
        "Where the maps moved most",
        "moved",
        "moved",
        "The lowest Sp2PS of each CAM. Look at the pictures: a number cannot tell a map that moved to the background "
        "from one that spread over the object.",
    ),
    ("How the scores are spread", None, "distributions", ""),
    ("Class by class", "classes", "classes", "Accuracies in %, means of every score."),
    (
        "Right and wrong answers",
        "correctness",
        None,
        "Images that the pruned network gets right and wrong: maps often move where the answer changes.",
    ),
    ("Accuracy of every model", "models", None, "In %, with 95 % bootstrap intervals; acc_drop in points."),
    (
        "What both networks cost",
        "cost",
        None,
        "FLOPs of one image. Zeros lower `nonzero` alone: on dense hardware they are multiplied as any other number.",
    ),
    (
        "The two ends of the scale",
        "ends",
        None,
        "Each fine-tuned copy of the baseline, each network with random weights.",
    ),
)
_ROWS = 60  # of a table on the page; the CSV has them all


def html(
    reading: Sequence[str],
    tables: Mapping[str, pd.DataFrame],
    pictures: Mapping[str, bytes],
    captions: Mapping[str, str],
    manifest: Mapping[str, Any],
) -> str:
    """The page; `pictures` are PNG files by the figure's name, `captions` what stands below them."""
    title = "Does the pruned network still look at the same pixels?"
    parts = [f"<h1>{title}</h1>", f'<div class="reading">{"".join(f"<p>{escape(text)}</p>" for text in reading)}</div>']
    for heading, table, figure, note in _SECTIONS:
        if table is not None and tables[table].empty:
            continue
        parts.append(f"<h2>{heading}</h2>")
        parts.append(f'<p class="note">{escape(note)}</p>' if note else "")
        parts.append(_figure(pictures[figure], captions[figure]) if figure else "")
        parts.append(_table(tables[table], table) if table else "")
    parts += ["<h2>How it came about</h2>", _facts(manifest)]
    body = "\n".join(part for part in parts if part)
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>'
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}<style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n'
    )


def _figure(picture: bytes, caption: str) -> str:
    source, text = base64.b64encode(picture).decode(), escape(caption, quote=True)
    return f'<figure><img alt="{text}" src="data:image/png;base64,{source}"><figcaption>{text}</figcaption></figure>'


def _table(table: pd.DataFrame, name: str) -> str:
    """A table with names as they are written; the first rows of a long one."""
    shown = table.head(_ROWS).replace({"method": TITLES, "score": NAMES})
    shown = shown.dropna(axis="columns", how="all").rename(columns=NAMES)
    words = [f"words{n}" for n, column in enumerate(shown, start=1) if not is_numeric_dtype(shown[column])]
    how = {"index": False, "border": 0, "escape": True, "na_rep": "", "classes": words}
    text = shown.to_html(**how, float_format=lambda value: f"{value:.4g}")
    more = f"the first {_ROWS} of {len(table)} rows; " if len(table) > _ROWS else ""
    return f'<div class="wide">{text}</div><p class="note">{more}table_{name}.csv</p>'


def _facts(manifest: Mapping[str, Any]) -> str:
    """Where the numbers come from, as a list."""
    facts = {"model": manifest.get("model")}
    facts |= {c["name"]: f"{c['bytes']:,} bytes, SHA-256 {c['sha256']}" for c in manifest.get("checkpoints", [])}
    facts |= {f"{s['split']} pictures": f"{s['images']:,}: {s['provenance']}" for s in manifest["data"]}
    facts |= {name: value for name, value in manifest["config"].items() if value is not None}
    facts |= {name.replace("_", " "): manifest[name] for name in ("own_methods", "own_scores") if manifest[name]}
    facts |= {"device": manifest["device"], "PyTorch": manifest["packages"]["torch"]}
    rows = (f"<dt>{escape(str(key))}</dt><dd>{escape(_words(value))}</dd>" for key, value in facts.items() if value)
    return f"<dl>{''.join(rows)}</dl>"


def _words(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
