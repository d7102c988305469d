"""Diagrams of the plain network of the Sp2PS and complexity papers, as printed and as run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from matplotlib.figure import Figure
from torch import nn

from pruncam._nn.probe import profile_forward
from pruncam.profiles import DatasetSpec
from pruncam.report.diagrams import Arrow, Box, boxes
from pruncam.report.plots import BLUE, GREY, PURPLE
from pruncam.studies.experiment import PLAIN_NETWORKS
from pruncam.studies.original_data import shown_names

PAPER_WIDTHS = {32: 128, 96: 32}  # filters of the first convolution, by the size of the images
_BOX_DISTANCE = 1.45  # between the centres of two boxes
_ROW_HEIGHT = 1.55
_NOTE = "each block: 3x3 convolution (its filters), BatchNorm, ReLU; below, the size of its map"


@dataclass(frozen=True)
class DrawnNetwork:
    """A network of a diagram: its title, the side of its images, its width, its classes."""

    title: str
    size: int
    width: int  # filters of its first convolution
    classes: str  # such as "10 or 100"


def printed_and_run(
    specs: Sequence[DatasetSpec], size: int, classes: Mapping[str, int], printed_classes: str
) -> list[DrawnNetwork]:
    """Return the paper's network for images of `size` pixels, then those of this run by width.

    `classes` are numbers of classes by data set, `printed_classes` those of the paper's network in
    words.
    """
    of_size = [spec for spec in specs if spec.size == size and spec.width is not None]
    title = "the paper" if of_size else "the paper; this run has no images of this size"
    drawn = [DrawnNetwork(title, size, PAPER_WIDTHS[size], printed_classes)]
    for width in sorted({spec.width for spec in of_size if spec.width}, reverse=True):
        names = shown_names(spec for spec in of_size if spec.width == width)
        numbers = " or ".join(map(str, sorted({int(classes[name]) for name in names})))
        title = f"this run: {'; '.join(names.values())}"
        drawn.append(DrawnNetwork(title, size, width, numbers))
    return drawn


def plain_networks(drawn: Sequence[DrawnNetwork]) -> Figure:
    """Draw networks block by block, one below the other.

    After Sp2PS, Figure 3, and Figures 2 and 3 of the complexity paper.
    """
    entries: list[Box] = []
    arrows: list[Arrow] = []
    for row, network in enumerate(drawn):
        first = len(entries)
        entries += _boxes_of(network, -_ROW_HEIGHT * row)
        arrows += [(k, k + 1, "") for k in range(first, len(entries) - 1)]
    columns = 1 + max(box.x for box in entries) / _BOX_DISTANCE
    size = (1.18 * columns, 1.35 * len(drawn) + 0.5)
    figure = boxes(entries, arrows, size=size, box=(1.2, 0.9))
    axes = figure.axes[0]
    for row, network in enumerate(drawn):
        axes.text(-0.6, 0.55 - _ROW_HEIGHT * row, network.title, fontsize=8.5, va="bottom")
    height = -_ROW_HEIGHT * (len(drawn) - 1) - 0.62
    axes.text(_BOX_DISTANCE - 0.6, height, _NOTE, fontsize=7.5, color=BLUE, va="top")
    return figure


def _boxes_of(network: DrawnNetwork, height: float) -> list[Box]:
    """Return the boxes of a network from left to right, at a height of the diagram."""
    entries = [Box(0, height, "image", f"3 x {network.size} x {network.size}", GREY)]
    for position, (filters, side) in enumerate(_blocks(network), start=1):
        entries.append(Box(_BOX_DISTANCE * position, height, filters, f"{side} x {side}", BLUE))
    end = _BOX_DISTANCE * len(entries)
    entries.append(Box(end, height, "FC", f"{network.classes} logits", PURPLE))
    return entries


def _blocks(network: DrawnNetwork) -> list[tuple[str, int]]:
    """Return filters and pooling of every convolution, and the side of the map after them."""
    model = PLAIN_NETWORKS[network.size](width=network.width).eval()
    image = torch.zeros(1, 3, network.size, network.size)
    blocks: list[tuple[str, int]] = []
    for call in profile_forward(model, image).calls:
        side = call.map_size[0]
        if isinstance(call.module, nn.Conv2d):
            blocks.append((f"{call.channels}", side))
        elif isinstance(call.module, nn.MaxPool2d):
            blocks[-1] = (f"{blocks[-1][0]}, max 2", side)
    return blocks
