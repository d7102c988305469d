"""Diagrams drawn from their data: convolution, network, pipeline."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from pruncam.report.plots import BLUE, GREEN, GREY, ORANGE, PURPLE, style


@dataclass(frozen=True)
class Box:
    """A labelled box of a diagram: its place, its two lines of text, its colour."""

    x: float
    y: float
    title: str
    text: str = ""
    colour: str = GREY


def boxes(
    entries: Sequence[Box], arrows: Sequence[tuple[int, int, str]], *, size: tuple[float, float], box=(1.5, 0.9)
) -> Figure:
    """Boxes and arrows; an arrow is (from, to, label) by the boxes' places in `entries`."""
    with style():
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots()
        for start, end, label in arrows:
            _arrow(axes, entries[start], entries[end], label, box)
        for entry in entries:
            corner = (entry.x - box[0] / 2, entry.y - box[1] / 2)
            rounded = "round,pad=0.02,rounding_size=0.08"
            axes.add_patch(
                FancyBboxPatch(corner, *box, boxstyle=rounded, facecolor=entry.colour + "22", edgecolor=entry.colour)
            )
            lift = 0.14 if entry.text else 0
            axes.text(entry.x, entry.y + lift, entry.title, ha="center", va="center", fontsize=9, weight="bold")
            axes.text(entry.x, entry.y - 0.2, entry.text, ha="center", va="center", fontsize=7.5, color="#333333")
        xs, ys = [e.x for e in entries], [e.y for e in entries]
        axes.set(xlim=(min(xs) - box[0] * 0.6, max(xs) + box[0] * 0.6), ylim=(min(ys) - box[1] * 0.8, max(ys) + box[1]))
        axes.set_axis_off()
    return figure


def _arrow(axes: Axes, start: Box, end: Box, label: str, box: tuple[float, float]) -> None:
    dx, dy = end.x - start.x, end.y - start.y
    # from edge to edge: along the row where the boxes stand beside each other, else along the column
    if abs(dx) >= abs(dy):
        a, b = (start.x + np.sign(dx) * box[0] / 2, start.y), (end.x - np.sign(dx) * box[0] / 2, end.y)
    else:
        a, b = (start.x, start.y + np.sign(dy) * box[1] / 2), (end.x, end.y - np.sign(dy) * box[1] / 2)
    axes.add_patch(FancyArrowPatch(a, b, arrowstyle="-|>", mutation_scale=11, color="#444444", shrinkA=3, shrinkB=3))
    if label:
        axes.text((a[0] + b[0]) / 2, (a[1] + b[1]) / 2 + 0.1, label, ha="center", va="bottom", fontsize=7.5)


def convolution() -> Figure:
    """A 3x3 kernel for vertical edges over a small image; two products are marked (after thesis, Figure 2.1)."""
    image = np.zeros((6, 6), int)
    image[:, 3:] = 1
    image[4:, :] = 0
    kernel = np.array([[-1, 0, 1]] * 3)
    windows = np.lib.stride_tricks.sliding_window_view(image, (3, 3))
    output = (windows * kernel).sum(axis=(2, 3))
    with style():
        figure = Figure(figsize=(7.2, 2.9), layout="constrained")
        row = figure.subplots(1, 3, width_ratios=(6, 3, 4))
        marks = {ORANGE: (0, 1), GREEN: (3, 3)}
        _numbers(row[0], image, "image (6x6)", {colour: (place, 3) for colour, place in marks.items()})
        _numbers(row[1], kernel, "kernel (3x3)", {})
        _numbers(row[2], output, "feature map (4x4)", {colour: (place, 1) for colour, place in marks.items()})
    return figure


def _numbers(axes: Axes, values: np.ndarray, title: str, marks: dict) -> None:
    axes.imshow(values, cmap="Greys", vmin=-3, vmax=6)
    for (r, c), value in np.ndenumerate(values):
        axes.text(c, r, str(value), ha="center", va="center", fontsize=9)
    for colour, ((r, c), size) in marks.items():
        axes.add_patch(Rectangle((c - 0.5, r - 0.5), size, size, fill=False, edgecolor=colour, linewidth=2.4))
    axes.set(title=title, xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def mnist_network() -> Figure:
    """The thesis's network with the size of every feature map (after thesis, Figure 2.2)."""
    layers = [
        Box(0, 0, "image", "1 x 28 x 28", GREY),
        Box(1.9, 0, "conv 3x3", "4 x 26 x 26", BLUE),
        Box(3.8, 0, "ReLU, max 2", "4 x 13 x 13", GREEN),
        Box(5.7, 0, "conv 3x3", "8 x 11 x 11", BLUE),
        Box(7.6, 0, "ReLU, max 2", "8 x 5 x 5 = 200", GREEN),
        Box(9.5, 0, "FC", "10 logits", PURPLE),
        Box(5.7, 1.5, "heatmap", "read here", ORANGE),
    ]
    weights = {(0, 1): "36 weights", (2, 3): "288 weights", (4, 5): "2,000 weights"}
    arrows = [(k, k + 1, "") for k in range(5)] + [(3, 6, "")]
    figure = boxes(layers, arrows, size=(9.6, 2.5))
    for (start, end), label in weights.items():
        middle = (layers[start].x + layers[end].x) / 2
        figure.axes[0].text(middle, -0.62, label, ha="center", va="top", fontsize=7.5, color=BLUE)
    return figure


def lottery_pipeline(levels: int) -> Figure:
    """Pretraining, then prune, rewind, retrain, level after level (after thesis, Figure 2.3)."""
    entries = [
        Box(0, 0, "initial weights", "", GREY),
        Box(2.2, 0, "pretrained", "kept for rewinding", BLUE),
        Box(4.4, 0, "model 0", "all weights", GREEN),
        Box(6.6, 0, "model 1", "80 % of them", GREEN),
        Box(8.8, 0, f"model {levels}", "the sparsest", GREEN),
        Box(4.4, 1.6, "mask of ones", "", ORANGE),
        Box(6.6, 1.6, "mask 1", "from model 0", ORANGE),
        Box(8.8, 1.6, f"mask {levels}", f"from model {levels - 1}", ORANGE),
    ]
    arrows = [(0, 1, "train"), (1, 2, "retrain"), (5, 2, ""), (6, 3, ""), (7, 4, "")]
    figure = boxes(entries, arrows, size=(9.6, 3.1))
    axes = figure.axes[0]
    for start, end in ((entries[2], entries[6]), (entries[3], entries[7])):
        axes.add_patch(
            FancyArrowPatch(
                (start.x + 0.5, start.y + 0.45),
                (end.x - 0.75, end.y - 0.2),
                arrowstyle="-|>",
                mutation_scale=11,
                color=ORANGE,
                linestyle="--" if end is entries[7] else "-",
            )
        )
    axes.text(5.35, 0.62, "prune 20 %", fontsize=7.5, color=ORANGE, ha="left")
    for model in entries[3:5]:
        axes.add_patch(
            FancyArrowPatch(
                (entries[1].x, -0.45),
                (model.x, -0.45),
                connectionstyle="arc3,rad=0.22",
                arrowstyle="-|>",
                mutation_scale=11,
                color=BLUE,
            )  # fmt: skip
        )
    axes.text(
        5.4, -2.0, "rewind to the pretrained weights, apply the mask, retrain", fontsize=7.5, color=BLUE, ha="center"
    )
    axes.set_ylim(-2.2, 2.4)
    return figure


def scoring_pipeline() -> Figure:
    """Train, prune, fine-tune; heatmaps of both models; their scores (after Sp2PS, Figure 2)."""
    entries = [
        Box(0, 0.8, "baseline", "trained", BLUE),
        Box(2.2, 0.8, "pruned", "a rate, a rule", ORANGE),
        Box(4.4, 0.8, "fine-tuned", "masks held", ORANGE),
        Box(0, -0.9, "heatmaps X", "three CAMs", GREEN),
        Box(4.4, -0.9, "heatmaps Y", "same images", GREEN),
        Box(2.2, -2.4, "SSIM, SAM", "of each pair", PURPLE),
        Box(5.4, -2.4, "Sp2PS", "harmonic mean", PURPLE),
    ]
    arrows = [(0, 1, "prune"), (1, 2, "train"), (0, 3, ""), (2, 4, ""), (3, 5, ""), (4, 5, ""), (5, 6, "")]
    return boxes(entries, arrows, size=(7.2, 4.2))


def plain_networks() -> Figure:
    """The networks for 32x32 and 96x96 images, blocks between poolings (after Sp2PS, Figure 3)."""
    rows = {
        1.4: ("3 x 32 x 32", ["128, 128", "256, 256", "512, 512", "1024 (no padding)"]),
        0.0: ("3 x 96 x 96", ["32", "64", "128", "128", "256, 256 (no padding)"]),
    }
    entries, arrows = [], []
    for y, (image, blocks) in rows.items():
        first = len(entries)
        entries.append(Box(0, y, "image", image, GREY))
        entries += [Box(1.9 * place, y, "conv, max 2", filters, BLUE) for place, filters in enumerate(blocks, start=1)]
        entries.append(Box(1.9 * (len(blocks) + 1), y, "FC", "10 logits", PURPLE))
        arrows += [(k, k + 1, "") for k in range(first, len(entries) - 1)]
    return boxes(entries, arrows, size=(10.4, 2.9), box=(1.6, 0.8))


def removed_neurons() -> Figure:
    """Two FC layers before and after 40 % of five neurons are removed (after PE-score, Figure 1)."""
    with style():
        figure = Figure(figsize=(6.6, 2.8), layout="constrained")
        for axes, removed, title in zip(
            figure.subplots(1, 2), ((), (1, 3)), ("5 neurons", "40 % removed: 3 neurons"), strict=True
        ):
            columns = [(0.0, range(3)), (1.0, range(5)), (2.0, range(2))]
            points = [[(x, (k - (len(rows) - 1) / 2)) for k in rows] for x, rows in columns]
            for left, right in ((0, 1), (1, 2)):
                for a, start in enumerate(points[left]):
                    for b, end in enumerate(points[right]):
                        if (a if left else b) not in removed:
                            axes.plot(*zip(start, end, strict=True), color=GREY, linewidth=0.7, zorder=1)
            for place, column in enumerate(points):
                for k, (x, y) in enumerate(column):
                    gone = place == 1 and k in removed
                    look = {"facecolor": "white" if gone else (BLUE if place == 1 else "#DDDDDD"), "zorder": 2}
                    edge = {"edgecolor": ORANGE if gone else "#444444", "linestyle": "--" if gone else "-"}
                    axes.scatter([x], [y], s=170, **look, **edge)
            axes.set(title=title, xlim=(-0.3, 2.3), ylim=(-2.5, 2.5))
            axes.set_axis_off()
    return figure


def pe_pipeline() -> Figure:
    """Heatmaps and confidences of both models; SSIM, IoU and confidence variation; PE (after PE-score, Figure 3)."""
    entries = [
        Box(0, 1.0, "unpruned model", "", BLUE),
        Box(0, -1.0, "pruned model", "fine-tuned", ORANGE),
        Box(2.3, 1.0, "heatmap X", "confidence", GREEN),
        Box(2.3, -1.0, "heatmap Y", "confidence", GREEN),
        Box(4.8, 1.2, "SSIM", "structure", PURPLE),
        Box(4.8, 0.0, "IoU", "above the mean", PURPLE),
        Box(4.8, -1.2, "1 - variation", "of confidence", PURPLE),
        Box(7.2, 0.0, "PE", "harmonic mean", PURPLE),
    ]
    arrows = [
        (0, 2, ""),
        (1, 3, ""),
        (2, 4, ""),
        (2, 5, ""),
        (3, 5, ""),
        (3, 6, ""),
        (4, 7, ""),
        (5, 7, ""),
        (6, 7, ""),
    ]
    return boxes(entries, [*arrows, (2, 6, ""), (3, 4, "")], size=(8.6, 3.6))
