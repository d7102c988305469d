"""Diagrams of the PE-score study: removed neurons and the scoring pipeline."""

from collections.abc import Collection

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pruncam.report.diagrams import Box, Point, boxes
from pruncam.report.plots import BLUE, GREEN, GREY, ORANGE, PURPLE, style

_LAYERS = (3, 5, 2)  # neurons: inputs, the layer that is pruned, outputs
_PRUNED_LAYER = 1


def removed_neurons() -> Figure:
    """Draw two FC layers before and after 40 % of five neurons are removed (PE-score, Figure 1)."""
    with style():
        figure = Figure(figsize=(6.6, 2.8), layout="constrained")
        before, after = figure.subplots(1, 2)
        _draw_layers(before, (), "5 neurons")
        _draw_layers(after, (1, 3), "40 % removed: 3 neurons")
    return figure


def _draw_layers(
    axes: Axes,
    removed: Collection[int],
    title: str,
) -> None:
    """Draw the layers; `removed` are the neurons of the middle layer that are removed."""
    layers = [
        [(float(layer), neuron - (count - 1) / 2) for neuron in range(count)]
        for layer, count in enumerate(_LAYERS)
    ]
    inputs, hidden, outputs = layers
    for start in inputs:
        for neuron, end in enumerate(hidden):
            if neuron not in removed:
                _draw_connection(axes, start, end)
    for neuron, start in enumerate(hidden):
        for end in outputs:
            if neuron not in removed:
                _draw_connection(axes, start, end)
    for layer, points in enumerate(layers):
        for neuron, (x, y) in enumerate(points):
            is_hidden = layer == _PRUNED_LAYER
            is_removed = is_hidden and neuron in removed
            colour = "white" if is_removed else BLUE if is_hidden else "#DDDDDD"
            axes.scatter(
                [x],
                [y],
                s=170,
                facecolor=colour,
                edgecolor=ORANGE if is_removed else "#444444",
                linestyle="--" if is_removed else "-",
                zorder=2,
            )
    axes.set(title=title, xlim=(-0.3, 2.3), ylim=(-2.5, 2.5))
    axes.set_axis_off()


def _draw_connection(axes: Axes, start: Point, end: Point) -> None:
    axes.plot(
        *zip(start, end, strict=True),
        color=GREY,
        linewidth=0.7,
        zorder=1,
    )


def pe_pipeline() -> Figure:
    """Draw how SSIM, IoU and confidence variation make the PE score (after PE-score, Figure 3)."""
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
    pairs = [
        (0, 2),
        (1, 3),
        (2, 4),
        (2, 5),
        (3, 5),
        (3, 6),
        (4, 7),
        (5, 7),
        (6, 7),
        (2, 6),
        (3, 4),
    ]
    return boxes(entries, [(start, end, "") for start, end in pairs], size=(8.6, 3.6))
