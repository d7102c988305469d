"""The alternative text of figures: what is seen, from the figure itself."""

import numpy as np
from matplotlib.figure import Figure

from pruncam.report import plots
from pruncam.report.alt_text import MAX_LENGTH, describe
from pruncam.report.diagrams import Box, boxes


def test_curves_are_described_by_their_ends_and_their_extremes():
    figure = Figure()
    axes = figure.subplots()
    axes.plot([0, 20, 40], [98, 90, 12], label="accuracy")
    axes.plot([0, 20, 40], [1, 3, 0.5], label="score")
    axes.plot([0, 40], [50, 50])  # without a label: a line to guide the eye
    axes.set(title="MNIST", xlabel="rate, %", ylabel="value")
    assert describe(figure) == (
        "MNIST: value against rate, %: accuracy from 98 at 0 to 12 at 40; "
        "score from 1 at 0 to 0.5 at 40, highest 3 at 20."
    )


def test_values_that_are_missing_are_left_out():
    figure = Figure()
    figure.subplots().plot([0, 1, 2, 3], [np.nan, 5, 6, np.nan], label="a")
    assert describe(figure) == "a from 5 at 1 to 6 at 2."


def test_a_grid_names_its_rows_and_columns_and_counts_the_empty_heatmaps():
    figure = plots.grid(
        [[np.eye(2), np.ones((2, 2)) / 2], [np.eye(2), np.zeros((2, 2))]],
        columns=["a cat", "a dog"],
        labels=["image", "20 %\npruned"],
        grey=plots.first_rows(1),
    )
    text = describe(figure)
    assert text.startswith("4 images. Rows: image, 20 % pruned. Columns: a cat, a dog. 1 of them")
    assert plots.EMPTY_TEXT in text


def test_a_matrix_names_its_rows_but_not_the_numbers_of_an_axis_or_a_colour_bar():
    figure = Figure()
    left, right = figure.subplots(1, 2)
    left.imshow(np.eye(3))
    left.set_title("image")
    drawn = right.imshow(np.eye(2))
    right.set_yticks([0, 1], ["cat", "dog"])
    right.plot([0, 1], [0, 1])  # so that it is no grid of images
    figure.colorbar(drawn)
    assert describe(figure) == (
        "2 plots. image: image of 3 by 3 cells. image of 2 by 2 cells, rows cat, dog."
    )


def test_a_diagram_is_described_by_its_labels():
    figure = boxes([Box(0, 0, "prune", "20 %"), Box(3, 0, "rewind")], [(0, 1, "mask")], size=(4, 2))
    text = describe(figure)
    assert all(label in text for label in ("prune", "20 %", "rewind", "mask"))


def test_the_legend_is_read_once_and_a_long_text_is_cut_at_a_word():
    figure = Figure()
    for axes in figure.subplots(1, 2):
        axes.plot([0, 1], [0, 1], label="one")
        axes.legend()
    assert describe(figure).startswith("2 plots. one from 0 at 0 to 1 at 1.")
    assert describe(figure).endswith("Legend: one.")
    figure.axes[0].set_title("long words " * 200)
    assert len(describe(figure)) <= MAX_LENGTH
    assert describe(figure).endswith(("long…", "words…"))
