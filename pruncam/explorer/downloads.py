"""A view to keep: its figure as PNG and its numbers as CSV, in links that hold the files."""

import html

import numpy as np
import pandas as pd

from pruncam.explorer import drawing, page
from pruncam.explorer.session import Explorer
from pruncam.explorer.view import View
from pruncam.report import rendering


def files(explorer: Explorer, view: View) -> dict[str, bytes]:
    """Return the files of a view by their names: the figure, the scores, all values of pixels."""
    stem = _stem(explorer, view)
    scores = explorer.table([view.selection]).assign(view=explorer.code(view.selection))
    return {
        f"{stem}.png": rendering.for_file(rendering.lay_out(drawing.figure([view]))),
        f"{stem}-scores.csv": _csv(scores),
        f"{stem}-heatmaps.csv": _csv(pixels(view)),
    }


def pixels(view: View) -> pd.DataFrame:
    """Return both heatmaps and their difference, a row per pixel, counted from the top left."""
    rows, columns = np.indices(view.baseline.shape)
    values = {
        "row": rows,
        "column": columns,
        "unpruned": view.baseline,
        "pruned": view.pruned,
        "difference": view.difference,
    }
    return pd.DataFrame({name: np.ravel(value) for name, value in values.items()})


def links_html(contents: dict[str, bytes]) -> str:
    """Return a link to each file, which the browser saves under its name."""
    links = [
        f'<a href="{page.data_url(content, _kind(name))}" download="{html.escape(name)}">'
        f"{html.escape(name)}</a>"
        for name, content in contents.items()
    ]
    return f'<div style="line-height:1.5">Save: {"<br>".join(links)}</div>'


def _stem(explorer: Explorer, view: View) -> str:
    """Return what the names of the files begin with: data, image, network and CAM."""
    selection = view.selection
    source = explorer.sources[selection.source].spec.source
    rate = f"{100 * selection.rate:g}"
    return "-".join([source, str(selection.image), selection.rule, rate, selection.method])


def _kind(name: str) -> str:
    return "image/png" if name.endswith(".png") else "text/csv"


def _csv(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False, lineterminator="\n").encode()
