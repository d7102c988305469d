"""A diagram of pruned connections in fine-tuning."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from pruncam.report.plots import ORANGE, style

_TRAINED_WEIGHTS = [
    [0.9, -0.2, 0.4, -0.7],
    [0.1, 0.8, -0.3, 0.2],
    [-0.6, 0.3, 1.0, -0.1],
    [0.2, -0.9, 0.1, 0.5],
]
_FINE_TUNING_STEP = [
    [0.1, -0.1, 0.0, 0.1],
    [0.2, -0.1, -0.2, 0.1],
    [0.1, 0.2, -0.1, -0.1],
    [0.1, 0.1, -0.2, 0.1],
]


def connections() -> Figure:
    """Draw sixteen weights: trained, half of them pruned, fine-tuned (after Section 4.4)."""
    trained = np.array(_TRAINED_WEIGHTS)
    mask = np.abs(trained) > np.median(np.abs(trained))
    pruned = trained * mask
    tuned = pruned + np.array(_FINE_TUNING_STEP)
    with style():
        figure = Figure(figsize=(9.6, 2.9), layout="constrained")
        first, *others = figure.subplots(1, 4)
        _weights(first, trained, np.ones_like(mask), "trained")
        _weights(others[0], pruned, mask, "pruned: half are zero")
        title = "fine-tuned, masks dropped:\nconnections re-established"
        _weights(others[1], tuned, mask, title)
        _weights(
            others[2],
            tuned * mask,
            mask,
            "fine-tuned, masks kept:\nstill pruned",
        )
    return figure


def _weights(
    axes: Axes,
    weights: np.ndarray,
    mask: np.ndarray,
    title: str,
) -> None:
    """Draw a matrix of weights; pruned ones have a frame, and are orange if they grew back."""
    axes.imshow(
        np.abs(weights),
        cmap="Greys",
        vmin=0,
        vmax=2,
    )
    for (row, column), value in np.ndenumerate(weights):
        text = f"{value:.1f}" if value else "0"
        is_pruned = not mask[row, column]
        colour = ORANGE if is_pruned and value else "black"
        axes.text(
            column,
            row,
            text,
            ha="center",
            va="center",
            fontsize=8,
            color=colour,
        )
        if is_pruned:
            axes.add_patch(_frame(row, column))
    axes.set(title=title, xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def _frame(row: int, column: int) -> Rectangle:
    corner = (column - 0.44, row - 0.44)
    return Rectangle(
        corner,
        0.88,
        0.88,
        fill=False,
        edgecolor=ORANGE,
        linestyle="--",
    )
