"""A move of the explorer in notebook 06: from the choice to the finished page, on the machine's own clock.

A walk through every rule, rate, CAM and target layer of each data set that can be looked at here, each at another
image: both networks (the unpruned one's heatmap is kept for the next move of the same image), scores, pictures, text.
"""

import pandas as pd

from pruncam import explorer
from pruncam.explorer import speed


def run() -> pd.DataFrame:
    """One row per data set: the median and the 95th percentile of a move, and the medians of its two parts."""
    found = explorer.open_explorer(progress=False)
    return pd.DataFrame([_walk(found, title) for title in found.collections])


def _walk(found: explorer.Explorer, title: str) -> dict[str, object]:
    choices = speed.choices(found, title)
    speed.measure(found, choices[:3])  # warms up: the first move reads models and draws the curve
    moves = speed.measure(found, choices)
    medians = moves.median()
    return {
        "explored": title,
        "moves": len(moves),
        "ms a move": medians["move, ms"],
        "95th percentile": moves["move, ms"].quantile(0.95),
        "looking ms": medians["looking, ms"],
        "drawing ms": medians["drawing, ms"],
    }
