"""Diagrams of the Sp2PS study: the scoring pipeline and the two networks."""

from matplotlib.figure import Figure

from pruncam.report.diagrams import Arrow, Box, boxes
from pruncam.report.plots import BLUE, GREEN, GREY, ORANGE, PURPLE

_BLOCKS_32 = ("128, 128", "256, 256", "512, 512", "1024 (no padding)")
_BLOCKS_96 = ("32", "64", "128", "128", "256, 256 (no padding)")


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


def plain_networks() -> Figure:
    """Draw the networks for 32x32 and 96x96 images, by block (after Sp2PS, Figure 3)."""
    entries: list[Box] = []
    arrows: list[Arrow] = []
    networks = ((1.4, "3 x 32 x 32", _BLOCKS_32), (0.0, "3 x 96 x 96", _BLOCKS_96))
    for y, image, blocks in networks:
        first = len(entries)
        entries.append(
            Box(
                0,
                y,
                "image",
                image,
                GREY,
            )
        )
        for column, filters in enumerate(blocks, start=1):
            entries.append(
                Box(
                    1.9 * column,
                    y,
                    "conv, max 2",
                    filters,
                    BLUE,
                )
            )
        entries.append(
            Box(
                1.9 * (len(blocks) + 1),
                y,
                "FC",
                "10 logits",
                PURPLE,
            )
        )
        arrows += [(entry, entry + 1, "") for entry in range(first, len(entries) - 1)]
    return boxes(entries, arrows, size=(10.4, 2.9), box=(1.6, 0.8))
