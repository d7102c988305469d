"""Diagrams of the MNIST IoU study: convolution, network, iterative pruning."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle

from pruncam.report.diagrams import Box, Point, boxes
from pruncam.report.plots import BLUE, GREEN, GREY, ORANGE, PURPLE, style

_SPACING = 1.9  # between the boxes of two layers
_LAYERS = {  # title, size of the output and colour of each layer of the network
    "image": ("image", "1 x 28 x 28", GREY),
    "conv1": ("conv 3x3", "4 x 26 x 26", BLUE),
    "relu1": ("ReLU", "4 x 26 x 26", GREEN),
    "pool1": ("max 2", "4 x 13 x 13", GREEN),
    "conv2": ("conv 3x3", "8 x 11 x 11", BLUE),
    "relu2": ("ReLU", "8 x 11 x 11", GREEN),
    "pool2": ("max 2", "8 x 5 x 5 = 200", GREEN),
    "fc": ("FC", "10 logits", PURPLE),
}
_WEIGHTS = {"conv1": "36 weights", "conv2": "288 weights", "fc": "2,000 weights"}


def convolution() -> Figure:
    """Draw a 3x3 kernel for vertical edges over a small image (after thesis, Figure 2.1).

    Two windows and their products are marked.
    """
    image = np.zeros((6, 6), int)
    image[:, 3:] = 1
    image[4:, :] = 0
    kernel = np.array([[-1, 0, 1]] * 3)
    windows = np.lib.stride_tricks.sliding_window_view(image, (3, 3))
    output = (windows * kernel).sum(axis=(2, 3))
    corners = {ORANGE: (0, 1), GREEN: (3, 3)}
    with style():
        figure = Figure(figsize=(7.2, 2.9), layout="constrained")
        left, middle, right = figure.subplots(1, 3, width_ratios=(6, 3, 4))
        _draw_numbers(
            left,
            image,
            "image (6x6)",
            corners,
            frame=3,
        )
        _draw_numbers(middle, kernel, "kernel (3x3)", {})
        _draw_numbers(
            right,
            output,
            "feature map (4x4)",
            corners,
            frame=1,
        )
    return figure


def _draw_numbers(
    axes: Axes,
    values: np.ndarray,
    title: str,
    corners: Mapping[str, tuple[int, int]],
    frame: int = 1,
) -> None:
    """Draw a matrix with its numbers, and a square frame of each colour at its corner."""
    axes.imshow(values, cmap="Greys", vmin=-3, vmax=6)
    for (row, column), value in np.ndenumerate(values):
        axes.text(
            column,
            row,
            str(value),
            ha="center",
            va="center",
            fontsize=9,
        )
    for colour, (row, column) in corners.items():
        corner = (column - 0.5, row - 0.5)
        square = Rectangle(
            corner,
            frame,
            frame,
            fill=False,
            edgecolor=colour,
            linewidth=2.4,
        )
        axes.add_patch(square)
    axes.set(title=title, xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def mnist_network(target_layer: str) -> Figure:
    """Draw the network with the size of every feature map (after thesis, Figure 2.2)."""
    layers = [
        Box(number * _SPACING, 0, title, text, colour)
        for number, (title, text, colour) in enumerate(_LAYERS.values())
    ]
    target = list(_LAYERS).index(target_layer)
    heatmap = Box(target * _SPACING, 1.5, "heatmap", "read here", ORANGE)
    arrows = [(layer, layer + 1, "") for layer in range(len(layers) - 1)]
    arrows.append((target, len(layers), ""))
    figure = boxes([*layers, heatmap], arrows, size=(11.0, 2.4))
    axes = figure.axes[0]
    for layer, label in _WEIGHTS.items():
        middle = (list(_LAYERS).index(layer) - 0.5) * _SPACING
        axes.text(
            middle,
            -0.62,
            label,
            ha="center",
            va="top",
            fontsize=7.5,
            color=BLUE,
        )
    return figure


def lottery_pipeline(levels: int) -> Figure:
    """Draw pretraining, then pruning, rewinding and retraining (after thesis, Figure 2.3)."""
    initial = Box(0, 0, "initial weights", "", GREY)
    pretrained = Box(2.2, 0, "pretrained", "kept for rewinding", BLUE)
    models = [
        Box(4.4, 0, "model 0", "all weights", GREEN),
        Box(6.6, 0, "model 1", "80 % of them", GREEN),
        Box(8.8, 0, f"model {levels}", "the sparsest", GREEN),
    ]
    masks = [
        Box(4.4, 1.6, "mask of ones", "", ORANGE),
        Box(6.6, 1.6, "mask 1", "from model 0", ORANGE),
        Box(8.8, 1.6, f"mask {levels}", f"from model {levels - 1}", ORANGE),
    ]
    arrows = [(0, 1, "train"), (1, 2, "retrain"), (5, 2, ""), (6, 3, ""), (7, 4, "")]
    figure = boxes([initial, pretrained, *models, *masks], arrows, size=(9.6, 3.1))
    axes = figure.axes[0]
    for model, mask, linestyle in ((models[0], masks[1], "-"), (models[1], masks[2], "--")):
        start, end = (model.x + 0.5, model.y + 0.45), (mask.x - 0.75, mask.y - 0.2)
        _add_arrow(
            axes,
            start,
            end,
            ORANGE,
            linestyle=linestyle,
        )
    axes.text(
        5.35,
        0.62,
        "prune 20 %",
        fontsize=7.5,
        color=ORANGE,
        ha="left",
    )
    for model in models[1:]:
        start, end = (pretrained.x, -0.45), (model.x, -0.45)
        _add_arrow(
            axes,
            start,
            end,
            BLUE,
            connectionstyle="arc3,rad=0.22",
        )
    text = "rewind to the pretrained weights, apply the mask, retrain"
    axes.text(
        5.4,
        -2.0,
        text,
        fontsize=7.5,
        color=BLUE,
        ha="center",
    )
    axes.set_ylim(-2.2, 2.4)
    return figure


def _add_arrow(
    axes: Axes,
    start: Point,
    end: Point,
    colour: str,
    *,
    linestyle: str = "-",
    connectionstyle: str = "arc3",
) -> None:
    arrow = FancyArrowPatch(
        start,
        end,
        arrowstyle="-|>",
        connectionstyle=connectionstyle,
        mutation_scale=11,
        color=colour,
        linestyle=linestyle,
    )
    axes.add_patch(arrow)
