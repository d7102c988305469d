"""Diagrams of the pruning sweeps: the two networks, and pruned connections in fine-tuning."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from pruncam.report.diagrams import Box, boxes
from pruncam.report.plots import BLUE, GREY, ORANGE, PURPLE, style

Block = tuple[str, str]  # filters of its convolution, size of its feature map

_CIFAR_BLOCKS: list[Block] = [
    ("128", "32 x 32"),
    ("128, max 2", "16 x 16"),
    ("256", "16 x 16"),
    ("256, max 2", "8 x 8"),
    ("512", "8 x 8"),
    ("512, max 2", "4 x 4"),
    ("1024, max 2", "1 x 1"),
]
_STL_BLOCKS: list[Block] = [
    ("32, max 2", "48 x 48"),
    ("64, max 2", "24 x 24"),
    ("128, max 2", "12 x 12"),
    ("128, max 2", "6 x 6"),
    ("256", "4 x 4"),
    ("256, max 2", "1 x 1"),
]
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


def cifar_network() -> Figure:
    """Draw the network for 32x32 images block by block (after the complexity paper, Figure 2)."""
    return _network("3 x 32 x 32", _CIFAR_BLOCKS, "10 or 100 logits")


def stl_network() -> Figure:
    """Draw the network for 96x96 images block by block (after the complexity paper, Figure 3)."""
    return _network("3 x 96 x 96", _STL_BLOCKS, "10 logits")


def _network(
    image: str,
    blocks: list[Block],
    logits: str,
) -> Figure:
    """Draw blocks of a 3x3 convolution, BatchNorm and ReLU in a row."""
    entries = [Box(0, 0, "image", image, GREY)]
    for position, (filters, size) in enumerate(blocks, start=1):
        entries.append(Box(1.45 * position, 0, filters, size, BLUE))
    entries.append(Box(1.45 * (len(blocks) + 1), 0, "FC", logits, PURPLE))
    arrows = [(k, k + 1, "") for k in range(len(entries) - 1)]
    figure = boxes(
        entries,
        arrows,
        size=(1.18 * len(entries), 1.7),
        box=(1.2, 0.9),
    )
    note = "each block: 3x3 convolution (its filters), BatchNorm, ReLU; below, the size of its map"
    figure.axes[0].text(
        1.45,
        -0.75,
        note,
        fontsize=7.5,
        color=BLUE,
    )
    return figure


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
