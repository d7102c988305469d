"""How long a move of the explorer takes: from the choice to the finished page."""

import itertools
import time

import numpy as np
import pandas as pd

from pruncam.explorer import drawing
from pruncam.explorer.looking import Choice, Explorer
from pruncam.seeds import derive

STRIDE = 7  # of the images that a walk visits; prime, so that it meets all classes


def choices(explorer: Explorer, title: str) -> list[Choice]:
    """Every rule, rate, CAM and target layer of a collection, each at another image, in an order drawn from a seed."""
    of = explorer.collections[title]
    chosen = itertools.product(of.half.rules, of.rates, of.half.config.methods, of.layers)
    found = [Choice(title, STRIDE * n % len(of.half.test), *parts) for n, parts in enumerate(chosen)]
    order = np.random.default_rng(derive(0, "explorer", title)).permutation(len(found))
    return [found[n] for n in order]


def measure(explorer: Explorer, moves: list[Choice]) -> pd.DataFrame:
    """Milliseconds of each move: looking (both networks, heatmaps, scores), drawing (the page), and both."""
    rows = []
    for choice in moves:
        start = time.perf_counter()
        look = explorer.look(choice)
        looked = time.perf_counter()
        of = explorer.collections[choice.collection]
        drawing.page(of, look), drawing.words(look)
        drawn = time.perf_counter()
        rows.append({"looking, ms": 1000 * (looked - start), "drawing, ms": 1000 * (drawn - looked)})
    table = pd.DataFrame(rows)
    return table.assign(**{"move, ms": table.sum(axis=1)})
