"""A diagram of the scoring pipeline of the Sp2PS study."""

from matplotlib.figure import Figure

from pruncam.report.diagrams import Box, boxes
from pruncam.report.plots import BLUE, GREEN, ORANGE, PURPLE


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
