"""The time from a new selection in the explorer to the finished page."""

import itertools
import time

import numpy as np
import pandas as pd

from pruncam._core.seeds import derive
from pruncam.explorer import page
from pruncam.explorer.session import Explorer
from pruncam.explorer.view import Selection

_STRIDE = 7  # between the images of a walk; prime, so that all classes are visited


def walk(explorer: Explorer, title: str) -> list[Selection]:
    """Return every rule, rate, CAM and layer of a source, each with another image, in random order.

    The order is always the same.
    """
    source = explorer.sources[title]
    images = len(source.experiment.test)
    options = itertools.product(source.rules, source.rates, source.methods, source.layers)
    selections = [
        Selection(title, _STRIDE * number % images, *parts) for number, parts in enumerate(options)
    ]
    random = np.random.default_rng(derive(0, "explorer", title))
    return [selections[number] for number in random.permutation(len(selections))]


def measure(explorer: Explorer, selections: list[Selection]) -> pd.DataFrame:
    """Return the milliseconds that each selection takes.

    Looking covers both networks, heatmaps and scores; drawing the page; a move is both together.
    """
    records = []
    for selection in selections:
        start = time.perf_counter()
        view = explorer.view(selection)
        computed = time.perf_counter()
        page.view_html(explorer.sources[selection.source], view)
        page.status_html(view.text)
        drawn = time.perf_counter()
        records.append(
            {
                "looking, ms": 1000 * (computed - start),
                "drawing, ms": 1000 * (drawn - computed),
                "move, ms": 1000 * (drawn - start),
            }
        )
    return pd.DataFrame(records)
