"""Diagrams of the CSG study: the complexity paper's outline, and the steps of CSG."""

from matplotlib.figure import Figure

from pruncam.report.diagrams import Box, boxes
from pruncam.report.plots import BLUE, GREEN, GREY, ORANGE, PURPLE


def outline() -> Figure:
    """Draw how complexity and pruning of the same data sets are compared.

    After the complexity paper, Figure 1.
    """
    entries = [
        Box(0, 0, "data sets", "three of them", GREY),
        Box(2.2, 1.1, "complexity", "CSG, no training", PURPLE),
        Box(2.2, -1.1, "trained networks", "one for each", BLUE),
        Box(4.4, -1.1, "pruned", "20 to 90 %", ORANGE),
        Box(6.6, -1.1, "accuracy", "change in points", GREEN),
        Box(6.6, 1.1, "loss against", "complexity", GREEN),
    ]
    arrows = [
        (0, 1, ""),
        (0, 2, ""),
        (2, 3, "prune"),
        (3, 4, "test"),
        (1, 5, ""),
        (4, 5, ""),
    ]
    return boxes(entries, arrows, size=(8.2, 3.4))


def steps() -> Figure:
    """Draw the steps from images to one number (Branchaud-Charron et al. 2019)."""
    entries = [
        Box(0, 0, "images", "as points", GREY),
        Box(2.1, 0, "k neighbours", "of M samples a class", BLUE),
        Box(4.2, 0, "class shares", "a row per class", BLUE),
        Box(6.3, 0, "similarity", "of each two rows", ORANGE),
        Box(8.4, 0, "eigenvalues", "of the Laplacian", PURPLE),
        Box(10.5, 0, "CSG", "their gaps, cumulated", GREEN),
    ]
    arrows = [(step, step + 1, "") for step in range(5)]
    return boxes(entries, arrows, size=(10.6, 1.5), box=(1.7, 0.9))
