"""Diagrams of labelled boxes and arrows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from pruncam.report.plots import GREY, style

Point = tuple[float, float]
Arrow = tuple[int, int, str]  # from, to (positions in the list of boxes), label


@dataclass(frozen=True)
class Box:
    """A labelled box of a diagram: its centre, its two lines of text, its colour."""

    x: float
    y: float
    title: str
    text: str = ""
    colour: str = GREY


def boxes(
    entries: Sequence[Box],
    arrows: Sequence[Arrow],
    *,
    size: tuple[float, float],
    box: tuple[float, float] = (1.5, 0.9),
) -> Figure:
    """Draw boxes and the arrows between them.

    `size` is the figure's in inches, `box` the width and height of every box.
    """
    width, height = box
    with style():
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots()
        for start, end, label in arrows:
            _draw_arrow(axes, *_edge_points(entries[start], entries[end], box), label)
        for entry in entries:
            _draw_box(axes, entry, box)
        xs = [entry.x for entry in entries]
        ys = [entry.y for entry in entries]
        axes.set_xlim(min(xs) - width * 0.6, max(xs) + width * 0.6)
        axes.set_ylim(min(ys) - height * 0.8, max(ys) + height)
        axes.set_axis_off()
    return figure


def _draw_box(axes: Axes, entry: Box, box: tuple[float, float]) -> None:
    width, height = box
    patch = FancyBboxPatch(
        (entry.x - width / 2, entry.y - height / 2),
        width,
        height,
        boxstyle="round,pad=0.02,rounding_size=0.08",
        facecolor=entry.colour + "22",
        edgecolor=entry.colour,
    )
    axes.add_patch(patch)
    title_y = entry.y + (0.14 if entry.text else 0)
    title = axes.text(
        entry.x,
        title_y,
        entry.title,
        fontsize=9,
        weight="bold",
    )
    text = axes.text(
        entry.x,
        entry.y - 0.2,
        entry.text,
        fontsize=7.5,
        color="#333333",
    )
    for line in (title, text):
        line.set(ha="center", va="center")


def _edge_points(start: Box, end: Box, box: tuple[float, float]) -> tuple[Point, Point]:
    """Return where an arrow leaves one box and meets the other.

    It runs along the row if the boxes are beside each other, else along the column.
    """
    width, height = box
    dx, dy = end.x - start.x, end.y - start.y
    if abs(dx) >= abs(dy):
        offset = np.sign(dx) * width / 2
        return (start.x + offset, start.y), (end.x - offset, end.y)
    offset = np.sign(dy) * height / 2
    return (start.x, start.y + offset), (end.x, end.y - offset)


def _draw_arrow(axes: Axes, start: Point, end: Point, label: str) -> None:
    arrow = FancyArrowPatch(
        start,
        end,
        arrowstyle="-|>",
        mutation_scale=11,
        color="#444444",
        shrinkA=3,
        shrinkB=3,
    )
    axes.add_patch(arrow)
    if label:
        x = (start[0] + end[0]) / 2
        y = (start[1] + end[1]) / 2 + 0.1
        axes.text(
            x,
            y,
            label,
            ha="center",
            va="bottom",
            fontsize=7.5,
        )
