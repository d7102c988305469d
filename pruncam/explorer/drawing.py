"""A view as images: panels, the study's curve with a marker, HTML for a browser, figures."""

import base64
import html
import io
from dataclasses import dataclass

import numpy as np
import PIL.Image
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.transforms import Transform

from pruncam import cams, metrics
from pruncam.explorer.session import View
from pruncam.explorer.sources import StudySource
from pruncam.report import plots, rendering
from pruncam.studies.figures import overlay, score_against_rate

PANELS = ("image", "unpruned", "pruned", "pruned minus unpruned")
_DIFFERENCE_COLOURS = "RdBu_r"  # red: higher in the pruned network
_DPI = 100
_CURVE_COLOURS = 64  # in the palette of its PNG
_CURVE_NOTE = (
    "Curves: the study, means of all test images at layer {layer}. Bands: only fine-tuned, not "
    "pruned; dotted: random weights."
)


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


def _labels(views: list[View]) -> list[str]:
    """Return what distinguishes the views: pruned networks, CAMs, target layers."""
    networks = [view.network for view in views]
    methods = [cams.METHODS[view.selection.method].title for view in views]
    layers = [view.selection.layer for view in views]
    different = [names for names in (networks, methods, layers) if len(set(names)) > 1]
    return ["\n".join(names) for names in zip(*different or [networks], strict=True)]


@dataclass(frozen=True, eq=False)
class Curve:
    """The study's curve as a PNG that is drawn once, and the positions of points on it."""

    png: bytes
    transform: Transform  # (rate in %, score) to pixels
    size: tuple[int, int]  # width and height in pixels

    def position(self, rate: float, score: float) -> tuple[float, float]:
        """Return the position of a point, as shares of the width and, from the top, the height."""
        x, y = self.transform.transform((100 * rate, score))
        return x / self.size[0], 1 - y / self.size[1]


def curve_figure(source: StudySource, rule: str) -> Figure:
    """Draw accuracy and score of the study against the pruning rate."""
    kind = source.kind
    score = (kind.score, metrics.SCORES[kind.score])
    dataset = source.spec.paper
    return score_against_rate(source.tables, dataset, rule, score, xlabel=kind.rate_label)


def curve_with_marker(source: StudySource, view: View) -> Figure:
    """Draw the study's curve, with the score of this image as a black diamond."""
    drawn = curve_figure(source, view.selection.rule)
    drawn.axes[1].plot(
        [100 * view.selection.rate],
        [view.scores[source.kind.score]],
        color="black",
        marker="D",
        markersize=8,
        markerfacecolor="white",
        clip_on=False,
        zorder=10,
    )
    return drawn


def curve(source: StudySource, rule: str) -> Curve:
    """Return the study's curve, drawn at the first call."""
    return source.cached(("curve", rule), lambda: _draw_curve(source, rule))


def _draw_curve(source: StudySource, rule: str) -> Curve:
    drawn = rendering.lay_out(curve_figure(source, rule))
    image = rendering.pixels(drawn, _DPI)
    png = rendering.png(image, _CURVE_COLOURS)
    return Curve(png, drawn.axes[1].transData.frozen(), image.size)


def view_html(source: StudySource, view: View) -> str:
    """Return the view as HTML: four images with captions, curve with marker, table of scores."""
    figures = [_panel(name, image, view) for name, image in panels(view).items()]
    grid_style = (
        "display:grid;grid-template-columns:repeat(4,minmax(0,1fr));gap:10px;max-width:900px"
    )
    row_style = "display:flex;flex-wrap:wrap;gap:20px;max-width:900px;margin-top:14px"
    return (
        f'<div style="{grid_style}">{"".join(figures)}</div>'
        f'<div style="{row_style}">{_marked_curve(source, view)}{_score_table(view)}</div>'
    )


def status_html(text: str) -> str:
    """Return lines of text as HTML that a screen reader reads out when they change."""
    lines = "<br>".join(html.escape(line) for line in text.splitlines())
    style = "max-width:900px;line-height:1.5"
    return f'<div role="status" aria-live="polite" style="{style}">{lines}</div>'


def _panel(name: str, image: np.ndarray, view: View) -> str:
    style = "width:100%;image-rendering:pixelated;display:block;border:1px solid #ccc"
    source = _data_url(_png(image))
    caption = html.escape(_caption(name, view))
    return (
        '<figure style="margin:0">'
        f'<img src="{source}" alt="{html.escape(name)}" style="{style}">'
        f'<figcaption style="line-height:1.3">{caption}</figcaption></figure>'
    )


def _caption(panel: str, view: View) -> str:
    unpruned, pruned = view.predictions
    if panel == "image":
        return (
            "not shown: forbidden by its licence" if view.image is None else f"image: {view.label}"
        )
    if panel == "unpruned":
        return f"unpruned: {unpruned.class_name}{_empty_note(view.baseline)}"
    if panel == "pruned":
        return f"{view.network}: {pruned.class_name}{_empty_note(view.pruned)}"
    return "difference: higher (red) or lower (blue) in the pruned network"


def _empty_note(heatmap: np.ndarray) -> str:
    return f" ({plots.EMPTY_TEXT})" if plots.is_empty(heatmap) else ""


def _marked_curve(source: StudySource, view: View) -> str:
    """Return the curve with this image's score as a diamond over it.

    The diamond is an element of its own, so that the curve need not be redrawn when it moves.
    """
    drawn = curve(source, view.selection.rule)
    score, rate = view.scores[source.kind.score], view.selection.rate
    title = metrics.SCORES[source.kind.score]
    note = html.escape(_CURVE_NOTE.format(layer=source.study_layer))
    left, top = drawn.position(rate, score)
    diamond_style = (
        f"position:absolute;left:{left:.2%};top:{top:.2%};width:10px;height:10px;"
        "margin:-6px 0 0 -6px;transform:rotate(45deg);background:white;border:2px solid black"
    )
    alternative = (
        f"{title} of the study against the rate; this image at {100 * rate:g} %: {score:.3f}"
    )
    return (
        '<figure style="margin:0;flex:3 1 380px;min-width:260px;max-width:600px">'
        '<div style="position:relative">'
        f'<img src="{_data_url(drawn.png)}" alt="{html.escape(alternative)}" '
        'style="width:100%;display:block">'
        f'<div style="{diamond_style}" aria-hidden="true"></div></div>'
        f'<figcaption style="line-height:1.3">Diamond: {title} of this image. {note}'
        "</figcaption></figure>"
    )


def _score_table(view: View) -> str:
    header_style = "text-align:left;font-weight:normal;padding:2px 16px 2px 0"
    cell_style = "text-align:right;padding:2px 0;font-variant-numeric:tabular-nums"
    rows = [
        f'<tr><th scope="row" style="{header_style}">{title}</th>'
        f'<td style="{cell_style}">{view.scores[name]:.3f}</td></tr>'
        for name, title in metrics.SCORES.items()
    ]
    method = html.escape(cams.METHODS[view.selection.method].title)
    caption_style = "text-align:left;font-weight:bold"
    style = "flex:1 1 200px;max-width:260px;align-self:flex-start;border-collapse:collapse"
    return (
        f'<table style="{style}"><caption style="{caption_style}">{method} of this image</caption>'
        f"{''.join(rows)}{_empty_row(view)}</table>"
    )


def _empty_row(view: View) -> str:
    """Return a row of the table that says what scores of empty heatmaps mean."""
    if not view.empty_text:
        return ""
    return f'<tr><td colspan="2" style="padding-top:6px">{html.escape(view.empty_text)}</td></tr>'


def _png(image: np.ndarray) -> bytes:
    pixels = np.rint(255 * image.clip(0, 1)).astype(np.uint8)
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _data_url(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
