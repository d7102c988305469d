"""Diagrams of the pruning sweeps: the networks, and pruned connections in fine-tuning."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import nn

from pruncam._nn.probe import profile_forward
from pruncam.report.diagrams import Arrow, Box, boxes
from pruncam.report.plots import BLUE, GREY, ORANGE, PURPLE, style
from pruncam.studies.experiment import PLAIN_NETWORKS

_BOX_DISTANCE = 1.45  # between the centres of two boxes
_ROW_HEIGHT = 1.55
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


@dataclass(frozen=True)
class DrawnNetwork:
    """A network of a diagram: its title, the filters of its first convolution, its classes."""

    title: str
    width: int
    classes: str  # such as "10 or 100"


def networks_of(size: int, drawn: Sequence[DrawnNetwork]) -> Figure:
    """Draw the networks for images of `size` pixels block by block, one below the other.

    After Figures 2 and 3 of the complexity paper.
    """
    entries: list[Box] = []
    arrows: list[Arrow] = []
    for row, network in enumerate(drawn):
        boxes_of_row = _network_boxes(size, network, -_ROW_HEIGHT * row)
        first = len(entries)
        last = first + len(boxes_of_row) - 1
        arrows += [(k, k + 1, "") for k in range(first, last)]
        entries += boxes_of_row
    columns = len(entries) // len(drawn)
    figure = boxes(
        entries,
        arrows,
        size=(1.18 * columns, 1.35 * len(drawn) + 0.5),
        box=(1.2, 0.9),
    )
    axes = figure.axes[0]
    for row, network in enumerate(drawn):
        axes.text(-0.6, 0.55 - _ROW_HEIGHT * row, network.title, fontsize=8.5, va="bottom")
    note = "each block: 3x3 convolution (its filters), BatchNorm, ReLU; below, the size of its map"
    height = -_ROW_HEIGHT * (len(drawn) - 1) - 0.62
    axes.text(_BOX_DISTANCE - 0.6, height, note, fontsize=7.5, color=BLUE, va="top")
    return figure


def _network_boxes(size: int, network: DrawnNetwork, height: float) -> list[Box]:
    """Return the boxes of a network from left to right, at a height of the diagram."""
    entries = [Box(0, height, "image", f"3 x {size} x {size}", GREY)]
    for position, (filters, side) in enumerate(_blocks(size, network.width), start=1):
        entries.append(Box(_BOX_DISTANCE * position, height, filters, f"{side} x {side}", BLUE))
    end = _BOX_DISTANCE * len(entries)
    entries.append(Box(end, height, "FC", f"{network.classes} logits", PURPLE))
    return entries


def _blocks(size: int, width: int) -> list[tuple[str, int]]:
    """Return filters and pooling of every convolution, and the side of the map after them."""
    network = PLAIN_NETWORKS[size](width=width).eval()
    blocks: list[tuple[str, int]] = []
    for call in profile_forward(network, torch.zeros(1, 3, size, size)).calls:
        side = call.map_size[0]
        if isinstance(call.module, nn.Conv2d):
            blocks.append((f"{call.channels}", side))
        elif isinstance(call.module, nn.MaxPool2d):
            blocks[-1] = (f"{blocks[-1][0]}, max 2", side)
    return blocks


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
