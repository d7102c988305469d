"""Diagrams of the pruning sweeps: the two networks, and what becomes of pruned connections in fine-tuning."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from pruncam.report.diagrams import Box, boxes
from pruncam.report.plots import BLUE, GREY, ORANGE, PURPLE, style

CIFAR = (("128", "32 x 32"), ("128, max 2", "16 x 16"), ("256", "16 x 16"), ("256, max 2", "8 x 8"))
CIFAR += (("512", "8 x 8"), ("512, max 2", "4 x 4"), ("1024, max 2", "1 x 1"))
STL = (("32, max 2", "48 x 48"), ("64, max 2", "24 x 24"), ("128, max 2", "12 x 12"), ("128, max 2", "6 x 6"))
STL += (("256", "4 x 4"), ("256, max 2", "1 x 1"))


def cifar_network() -> Figure:
    """The network for 32x32 images, block by block (after the complexity paper, Figure 2)."""
    return _network("3 x 32 x 32", CIFAR, "10 or 100 logits")


def stl_network() -> Figure:
    """The network for 96x96 images, block by block (after the complexity paper, Figure 3)."""
    return _network("3 x 96 x 96", STL, "10 logits")


def _network(image: str, blocks: tuple[tuple[str, str], ...], logits: str) -> Figure:
    """Blocks of a 3x3 convolution, BatchNorm and ReLU, with their filters and the size of their map."""
    entries = [Box(0, 0, "image", image, GREY)]
    entries += [Box(1.45 * k, 0, filters, size, BLUE) for k, (filters, size) in enumerate(blocks, start=1)]
    entries.append(Box(1.45 * (len(blocks) + 1), 0, "FC", logits, PURPLE))
    arrows = [(k, k + 1, "") for k in range(len(entries) - 1)]
    figure = boxes(entries, arrows, size=(1.18 * len(entries), 1.7), box=(1.2, 0.9))
    words = "each block: 3x3 convolution (its filters), BatchNorm, ReLU; below, the size of its map"
    figure.axes[0].text(1.45, -0.75, words, fontsize=7.5, color=BLUE)
    return figure


def connections() -> Figure:
    """Sixteen weights: trained, half of them pruned, and fine-tuned without and with masks (after Section 4.4)."""
    trained = np.array([[0.9, -0.2, 0.4, -0.7], [0.1, 0.8, -0.3, 0.2], [-0.6, 0.3, 1.0, -0.1], [0.2, -0.9, 0.1, 0.5]])
    kept = np.abs(trained) > np.median(np.abs(trained))
    step = np.array([[0.1, -0.1, 0.0, 0.1], [0.2, -0.1, -0.2, 0.1], [0.1, 0.2, -0.1, -0.1], [0.1, 0.1, -0.2, 0.1]])
    pruned = trained * kept
    states = {
        "trained": trained,
        "pruned: half are zero": pruned,
        "fine-tuned, masks dropped:\nconnections re-established": pruned + step,
        "fine-tuned, masks kept:\nstill pruned": (pruned + step) * kept,
    }
    with style():
        figure = Figure(figsize=(9.6, 2.9), layout="constrained")
        for axes, (title, weights) in zip(figure.subplots(1, len(states)), states.items(), strict=True):
            _weights(axes, weights, kept, title)
    return figure


def _weights(axes: Axes, weights: np.ndarray, kept: np.ndarray, title: str) -> None:
    """A matrix with its numbers; what was pruned has a frame, and is orange where it has grown back."""
    axes.imshow(np.abs(weights), cmap="Greys", vmin=0, vmax=2)
    for (row, column), value in np.ndenumerate(weights):
        grown = not kept[row, column] and value != 0 and title != "trained"
        axes.text(column, row, f"{value:.1f}" if value else "0", ha="center", va="center", fontsize=8,
                  color=ORANGE if grown else "black")  # fmt: skip
        if not kept[row, column] and title != "trained":
            frame = {"fill": False, "edgecolor": ORANGE, "linestyle": "--"}
            axes.add_patch(Rectangle((column - 0.44, row - 0.44), 0.88, 0.88, **frame))
    axes.set(title=title, xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
