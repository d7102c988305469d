"""A move of the explorer in notebook 06, from the selection to the finished page, in wall time.

A walk through every rule, rate, CAM and target layer of each data set that can be explored here,
each with another image. A move covers both networks (the unpruned one's heatmap is reused for the
next move of the same image), scores, images and text.
"""

import pandas as pd

from pruncam.explorer import Explorer, open_explorer, speed


def run() -> pd.DataFrame:
    """Return a row per data set: median and 95th percentile of a move, medians of its parts."""
    explorer = open_explorer(progress=False)
    return pd.DataFrame([_walk(explorer, title) for title in explorer.sources])


def _walk(explorer: Explorer, title: str) -> dict[str, object]:
    selections = speed.walk(explorer, title)
    speed.measure(explorer, selections[:3])  # warms up: reads the models and draws the curve
    moves = speed.measure(explorer, selections)
    medians = moves.median()
    return {
        "explored": title,
        "moves": len(moves),
        "ms a move": medians["move, ms"],
        "95th percentile": moves["move, ms"].quantile(0.95),
        "looking ms": medians["looking, ms"],
        "drawing ms": medians["drawing, ms"],
    }
