"""A view as images and figures: panels, film strip, the study's curve with a marker."""

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from pruncam import cams, metrics
from pruncam.explorer.sources import StudySource
from pruncam.explorer.view import View
from pruncam.report import plots
from pruncam.studies.figures import overlay, score_against_rate

PANELS = ("image", "unpruned", "pruned", "pruned minus unpruned")
_DIFFERENCE_COLOURS = "RdBu_r"  # red: higher in the pruned network


def panels(view: View) -> dict[str, np.ndarray]:
    """Return four images by name, (H, W, 3) in [0, 1]: image, both heatmaps, their difference.

    The image is white if it may not be shown. Heatmaps are drawn in colours over the grey image.
    The difference is red where the pruned network's heatmap is higher, blue where it is lower.
    """
    blank = np.ones((*view.baseline.shape, 3))
    difference = colormaps[_DIFFERENCE_COLOURS]((view.difference + 1) / 2)[..., :3]
    return {
        "image": blank if view.image is None else view.image,
        "unpruned": overlay(view.image, view.baseline),
        "pruned": overlay(view.image, view.pruned),
        "pruned minus unpruned": difference,
    }


def figure(views: list[View]) -> Figure:
    """Draw the panels of several views, a row each."""
    rows = [list(panels(view).values()) for view in views]
    return plots.grid(
        rows,
        columns=PANELS,
        labels=_labels(views),
        grey=plots.first_rows(0),
        scale=1.9,
        empty=plots.empty_cells([[None, view.baseline, view.pruned] for view in views]),
    )


def film_strip(rows: list[list[View]]) -> Figure:
    """Draw the heatmap at every rate: a row per list of views, the image in the first column.

    All views of a column have the same rate, and those of a row the same CAM, image and layer.
    """
    strips = [
        [panels(views[0])["image"], *(panels(view)["pruned"] for view in views)] for views in rows
    ]
    rates = [f"{100 * view.selection.rate:g} %" for view in rows[0]]
    labels = [cams.METHODS[views[0].selection.method].title for views in rows]
    return plots.grid(
        strips,
        columns=["image", *rates],
        labels=labels,
        grey=plots.first_rows(0),
        scale=1.4,
        empty=plots.empty_cells([[None, *(view.pruned for view in views)] for views in rows]),
    )


def _labels(views: list[View]) -> list[str]:
    """Return what distinguishes the views: pruned networks, CAMs, target layers."""
    networks = [view.network for view in views]
    methods = [cams.METHODS[view.selection.method].title for view in views]
    layers = [view.selection.layer for view in views]
    different = [names for names in (networks, methods, layers) if len(set(names)) > 1]
    return ["\n".join(names) for names in zip(*different or [networks], strict=True)]


def curve_figure(source: StudySource, rule: str) -> Figure:
    """Draw accuracy and score of the study against the pruning rate."""
    kind = source.kind
    score = (kind.score, metrics.SCORES[kind.score])
    dataset = source.spec.paper
    return score_against_rate(source.tables, dataset, rule, score, xlabel=kind.rate_label)


def marker_colour(view: View) -> str:
    """Return the colour of the diamond of a view: that of the curve of its CAM."""
    return cams.METHODS[view.selection.method].colour


def has_marker(source: StudySource, view: View) -> bool:
    """Return whether a view belongs on the study's curves: it is read at their layer."""
    return view.selection.layer == source.study_layer


def curve_with_marker(source: StudySource, view: View) -> Figure:
    """Draw the study's curves, with the score of this image as a diamond in its CAM's colour.

    There is no diamond if the view is read at another layer than the study's.
    """
    drawn = curve_figure(source, view.selection.rule)
    if not has_marker(source, view):
        return drawn
    drawn.axes[1].plot(
        [100 * view.selection.rate],
        [view.scores[source.kind.score]],
        color=marker_colour(view),
        marker="D",
        markersize=8,
        markerfacecolor="white",
        markeredgewidth=2.5,
        clip_on=False,
        zorder=10,
    )
    return drawn
