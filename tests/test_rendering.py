"""Figures as files, against matplotlib's savefig, and names beside points."""

import io
from itertools import combinations
from xml.etree import ElementTree

import numpy as np
import PIL.Image
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from pruncam.report import labels, plots, rendering
from pruncam.studies.csg import class_charts


def curves(layout: str | None = None) -> Figure:
    figure = Figure(figsize=(4, 3), layout=layout)
    axes = figure.subplots()
    axes.plot([0, 1, 3], [2.0, 5.5, 1.0], "C1o-", label="a")
    axes.set(xlabel="pruned, %", ylabel="accuracy")
    figure.legend(loc="outside lower center" if layout else "lower center")
    return figure


def photograph() -> Figure:
    figure = Figure(figsize=(2, 2))
    figure.add_axes((0, 0, 1, 1)).imshow(
        np.random.default_rng(1).random((40, 40, 3)), interpolation="bilinear"
    )
    return figure


def decoded(data: bytes) -> np.ndarray:
    return np.asarray(PIL.Image.open(io.BytesIO(data)).convert("RGB"))


def saved(figure: Figure, dpi: int) -> np.ndarray:
    file = io.BytesIO()
    figure.savefig(file, dpi=dpi)
    return decoded(file.getvalue())


@pytest.mark.parametrize("draw", [curves, photograph])
@pytest.mark.parametrize("dpi", [72, 110, 150])
def test_pixels_are_those_of_savefig(draw, dpi):
    assert np.array_equal(np.asarray(rendering.pixels(draw(), dpi)), saved(draw(), dpi))


def test_a_layout_stays_as_it_is():
    figure = rendering.lay_out(curves("constrained"))
    expected = curves("constrained")
    before = figure.axes[0].get_position().bounds
    expected.set_dpi(150)
    expected.draw_without_rendering()
    assert before == pytest.approx(expected.axes[0].get_position().bounds, abs=1e-3)
    rendering.for_file(figure)
    rendering.svg(figure, "salt")
    rendering.for_notebook(figure)
    assert figure.axes[0].get_position().bounds == before
    assert figure.axes[0].get_position().y0 > 0.15  # there is room for the legend below


def test_photographs_keep_their_colours_and_curves_are_smaller():
    assert np.array_equal(decoded(rendering.for_file(photograph())), saved(photograph(), 150))
    all_colours = io.BytesIO()
    curves().savefig(all_colours, dpi=150)
    fewer_colours = rendering.for_file(curves())
    assert len(fewer_colours) < len(all_colours.getvalue()) / 2
    assert PIL.Image.open(io.BytesIO(fewer_colours)).mode == "P"
    errors = np.abs(decoded(fewer_colours).astype(int) - saved(curves(), 150))
    assert np.percentile(errors, 99.9) < 10
    assert PIL.Image.open(io.BytesIO(rendering.for_notebook(photograph()))).mode == "P"


def test_the_same_figure_is_the_same_svg():
    first, second, other = (rendering.svg(curves(), salt) for salt in ("one", "one", "two"))
    assert first == second != other
    root = ElementTree.fromstring(first)
    assert root.tag.endswith("svg") and root.get("width") == "288pt"


def test_labels_of_a_square_matrix_are_not_cut_off():
    names = ["a name that is rather long"] * 5
    figure = rendering.lay_out(class_charts.similarity_of_classes(np.eye(5), names))
    box = figure.axes[0].get_tightbbox(FigureCanvasAgg(figure).get_renderer())
    assert box.x0 >= 0 and box.y0 >= 0 and box.y1 <= figure.bbox.y1


@pytest.mark.parametrize("count", [3, 10])
def test_names_in_a_crowd_of_classes_can_be_read(count):
    # Nearly equal distances: the positions of the points are arbitrary, and some coincide.
    similarity = 0.9 + 0.05 * np.random.default_rng(4).random((count, count))
    similarity = (similarity + similarity.T) / 2
    np.fill_diagonal(similarity, 1)
    similarity[0, 1] = similarity[1, 0] = 1.0
    names = [
        f"{look} {shape}"
        for shape in ("disc", "triangle", "cross", "square", "ring")
        for look in ("striped", "x")
    ]
    figure = rendering.lay_out(class_charts.similarity_of_classes(similarity, names[:count]))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    axes = figure.axes[1]
    assert sorted(text.get_text() for text in axes.texts) == sorted(names[:count])
    # The extent of the words: that of an annotation includes its line.
    boxes = [Text.get_window_extent(text, canvas.get_renderer()).padded(-1) for text in axes.texts]
    assert not [pair for pair in combinations(boxes, 2) if pair[0].overlaps(pair[1])]
    dots = axes.transData.transform(axes.collections[0].get_offsets())
    assert not [dot for dot in dots for box in boxes if box.contains(*dot)]
    for box in boxes:
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1
        assert figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1


def test_a_name_is_written_where_there_is_room():
    figure = Figure(figsize=(3, 3))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, 10), ylim=(0, 10))
    bar, dot = np.array([[6.0, 2.0], [6.0, 8.0]]), np.array([[3.9, 5.0]])
    labels.write(axes, np.array([[5.0, 5.0], [9.8, 9.8]]), ["middle", "corner"], around=[bar, dot])
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    middle, corner = (Text.get_window_extent(text, canvas.get_renderer()) for text in axes.texts)
    to_pixels = axes.transData.transform
    assert not middle.overlaps(Bbox(to_pixels(bar)).padded(1))
    assert not middle.contains(*to_pixels(dot)[0])
    assert corner.x1 <= figure.bbox.x1 and corner.y1 <= figure.bbox.y1
    # With nothing around it, a name is on the right, at the height of its point.
    free = Figure(figsize=(3, 3)).add_axes((0, 0, 1, 1), xlim=(0, 10), ylim=(0, 10))
    labels.write(free, np.array([[5.0, 5.0]]), ["middle"])
    x, y = free.texts[0].get_position()
    assert x > 0 and y == pytest.approx(0) and free.texts[0].arrow_patch is None


@pytest.mark.parametrize("names", [4 * ["short"], 4 * ["a name of many letters, longer than most"]])
def test_a_legend_has_as_many_columns_as_fit_the_figure(names):
    figure = Figure(figsize=(6.8, 4), layout="constrained")
    axes = figure.subplots()
    lines = [axes.plot([0, 1])[0] for _ in names]
    plots.legend_below(figure, handles=lines, labels=names, columns=4)
    figure.draw_without_rendering()
    (legend,) = figure.legends
    box = legend.get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.x1
    rows = {text.get_window_extent().y0 for text in legend.get_texts()}
    assert len(rows) == (1 if names[0] == "short" else 4)
