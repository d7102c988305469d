"""Diagrams of the Sp2PS study: the scoring pipeline and the two networks."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from torch import nn

from pruncam.report.diagrams import Arrow, Box, boxes
from pruncam.report.plots import BLUE, GREEN, GREY, ORANGE, PURPLE

_STEP = 1.9  # between the centres of two boxes


def scoring_pipeline() -> Figure:
    """Draw training, pruning, fine-tuning, heatmaps and their scores (after Sp2PS, Figure 2)."""
    entries = [
        Box(
            0,
            0.8,
            "baseline",
            "trained",
            BLUE,
        ),
        Box(
            2.2,
            0.8,
            "pruned",
            "a rate, a rule",
            ORANGE,
        ),
        Box(
            4.4,
            0.8,
            "fine-tuned",
            "masks held",
            ORANGE,
        ),
        Box(
            0,
            -0.9,
            "heatmaps X",
            "three CAMs",
            GREEN,
        ),
        Box(
            4.4,
            -0.9,
            "heatmaps Y",
            "same images",
            GREEN,
        ),
        Box(
            2.2,
            -2.4,
            "SSIM, SAM",
            "of each pair",
            PURPLE,
        ),
        Box(
            5.4,
            -2.4,
            "Sp2PS",
            "harmonic mean",
            PURPLE,
        ),
    ]
    arrows = [
        (0, 1, "prune"),
        (1, 2, "train"),
        (0, 3, ""),
        (2, 4, ""),
        (3, 5, ""),
        (4, 5, ""),
        (5, 6, ""),
    ]
    return boxes(entries, arrows, size=(7.2, 4.2))


def plain_networks(networks: Sequence[tuple[int, nn.Module]]) -> Figure:
    """Draw networks of convolutions by block, after Sp2PS, Figure 3.

    `networks` are pairs of the side of the images and the network for them, with `features`, in
    which every block ends in max pooling, and a `classifier`.
    """
    entries: list[Box] = []
    arrows: list[Arrow] = []
    for number, (side, network) in enumerate(networks):
        first = len(entries)
        entries += _row_of_boxes(side, network, y=-1.4 * number)
        arrows += [(entry, entry + 1, "") for entry in range(first, len(entries) - 1)]
    columns = 1 + max((box.x for box in entries), default=0) / _STEP
    size = (1.5 * columns, 0.5 + 1.2 * len(networks))
    return boxes(entries, arrows, size=size, box=(1.6, 0.8))


def _row_of_boxes(side: int, network: nn.Module, y: float) -> list[Box]:
    texts = [("image", f"3 x {side} x {side}", GREY)]
    texts += [("conv, max 2", filters, BLUE) for filters in filters_by_block(network)]
    texts.append(("FC", f"{network.classifier.out_features} logits", PURPLE))
    return [
        Box(_STEP * column, y, title, text, colour)
        for column, (title, text, colour) in enumerate(texts)
    ]


def filters_by_block(network: nn.Module) -> list[str]:
    """Return the filters of the convolutions of every block in words, such as "128, 128"."""
    blocks = []
    filters: list[str] = []
    padding = ""
    for layer in network.features:
        if isinstance(layer, nn.Conv2d):
            filters.append(str(layer.out_channels))
            padding = "" if any(layer.padding) else " (no padding)"
        elif isinstance(layer, nn.MaxPool2d):
            blocks.append(", ".join(filters) + padding)
            filters = []
    return blocks
