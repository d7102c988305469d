"""A view as HTML for a browser: panels, film strip, the study's curve with a marker, scores."""

import base64
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import PIL.Image
from matplotlib.transforms import Transform

from pruncam import cams, metrics
from pruncam.explorer import drawing
from pruncam.explorer.sources import StudySource
from pruncam.explorer.view import View
from pruncam.report import plots, rendering

_DPI = 100
_CURVE_COLOURS = 64  # in the palette of its PNG
_CURVE_NOTE = (
    "Curves: the study, means of all test images at layer {layer}. Bands: only fine-tuned, not "
    "pruned; dotted: random weights."
)
_IMAGE_STYLE = "width:100%;image-rendering:pixelated;display:block;border:1px solid #ccc"


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


def curve(source: StudySource, rule: str) -> Curve:
    """Return the study's curve, drawn at the first call."""
    return source.cached(("curve", rule), lambda: _draw_curve(source, rule))


def _draw_curve(source: StudySource, rule: str) -> Curve:
    drawn = rendering.lay_out(drawing.curve_figure(source, rule))
    image = rendering.pixels(drawn, _DPI)
    png = rendering.png(image, _CURVE_COLOURS)
    return Curve(png, drawn.axes[1].transData.frozen(), image.size)


def view_html(source: StudySource, view: View, pixel: tuple[int, int] | None = None) -> str:
    """Return the view as HTML: four images with captions, curve with marker, table of scores.

    A cross marks the `pixel`, (row, column), in every image. The values of all pixels are in data
    attributes, from which `browser_script` reads the pixel under the mouse.
    """
    marker = "" if pixel is None else _cross(pixel, view.baseline.shape)
    panels = drawing.panels(view).items()
    figures = [_panel(name, image, view, marker) for name, image in panels]
    grid_style = (
        "display:grid;grid-template-columns:repeat(4,minmax(0,1fr));gap:10px;max-width:660px"
    )
    row_style = "display:flex;flex-wrap:wrap;gap:6px 20px;max-width:720px;margin-top:6px"
    return (
        f'<div class="pruncam-panels" style="{grid_style}" {_values(view)}>{"".join(figures)}</div>'
        '<div class="pruncam-hover" style="min-height:1.4em" aria-hidden="true"></div>'
        f'<div style="{row_style}">{_marked_curve(source, view)}{_score_table(view)}</div>'
    )


def strip_html(views: Mapping[str, View], panels: Sequence[str]) -> str:
    """Return several views side by side, each with its name, prediction and Sp2PS.

    `panels` are the images that are shown of each view, names of `drawing.PANELS`.
    """
    figures = "".join(_strip_figure(name, view, panels) for name, view in views.items())
    columns = f"repeat({len(views)},minmax(0,150px))"
    style = f"display:grid;grid-template-columns:{columns};gap:10px;margin-top:10px"
    note = f"<div>From top to bottom: {', '.join(panels)}.</div>" if len(panels) > 1 else ""
    return f'<div class="pruncam-strip" style="{style}">{figures}</div>{note}'


def _strip_figure(name: str, view: View, panels: Sequence[str]) -> str:
    images = drawing.panels(view)
    method = cams.METHODS[view.selection.method].title
    networks = {"unpruned": "the unpruned network", "pruned": view.network_in_words}
    parts = [
        f'<img src="{data_url(_png(images[panel]), "image/png")}" '
        f'alt="{html.escape(f"{method} of {networks[panel]}")}" style="{_IMAGE_STYLE}">'
        for panel in panels
    ]
    score = f"Sp2PS {view.scores['sp2ps']:.3f}{_empty_note(view.pruned)}"
    text = f"{name}: {view.predictions[1].class_name}, {score}"
    caption = f'<figcaption style="line-height:1.3">{html.escape(text)}</figcaption>'
    return f'<figure style="margin:0">{"".join(parts)}{caption}</figure>'


def text_html(text: str) -> str:
    """Return one line as HTML that a screen reader reads out when it changes."""
    return f'<div aria-live="polite" style="line-height:1.4">{html.escape(text)}</div>'


def status_html(text: str) -> str:
    """Return lines of text as HTML that a screen reader reads out when they change."""
    lines = "<br>".join(html.escape(line) for line in text.splitlines())
    style = "max-width:900px;line-height:1.5"
    return f'<div role="status" aria-live="polite" style="{style}">{lines}</div>'


def _panel(name: str, image: np.ndarray, view: View, marker: str) -> str:
    source = data_url(_png(image), "image/png")
    caption = html.escape(_caption(name, view))
    return (
        '<figure style="margin:0"><div style="position:relative">'
        f'<img src="{source}" alt="{html.escape(_alternative(name, view))}" '
        f'style="{_IMAGE_STYLE}">{marker}</div>'
        f'<figcaption style="line-height:1.3">{caption}</figcaption></figure>'
    )


def _alternative(panel: str, view: View) -> str:
    """Return in words what a panel shows."""
    method = cams.METHODS[view.selection.method].title
    if panel == "image":
        return view.image_name if view.image is not None else "a blank: the image is not shown"
    if panel == "unpruned":
        return f"{method} heatmap of the unpruned network"
    if panel == "pruned":
        return f"{method} heatmap of {view.network_in_words}"
    return "heatmap of the pruned network minus that of the unpruned network"


def _cross(pixel: tuple[int, int], shape: tuple[int, ...]) -> str:
    """Return a cross over the centre of a pixel; its values are in a text of their own."""
    row, column = pixel
    top, left = (row + 0.5) / shape[0], (column + 0.5) / shape[1]
    style = (
        f"position:absolute;left:{left:.2%};top:{top:.2%};transform:translate(-50%,-50%);"
        "line-height:1;font-size:16px;color:white;text-shadow:0 0 2px black,0 0 2px black"
    )
    return f'<div style="{style}" aria-hidden="true">+</div>'


def _values(view: View) -> str:
    """Return both heatmaps as data attributes, a byte per pixel (255 stands for 1)."""
    height, width = view.baseline.shape
    maps = {"unpruned": view.baseline, "pruned": view.pruned}
    attributes = [
        f'data-{name}="{base64.b64encode(_bytes(values).tobytes()).decode()}"'
        for name, values in maps.items()
    ]
    return f'data-height="{height}" data-width="{width}" {" ".join(attributes)}'


def _caption(panel: str, view: View) -> str:
    unpruned, pruned = view.predictions
    if panel == "image":
        name = view.label or view.file
        return "not shown: forbidden by its licence" if view.image is None else f"image: {name}"
    if panel == "unpruned":
        return f"unpruned: {unpruned.class_name}{_empty_note(view.baseline)}"
    if panel == "pruned":
        return f"{view.network}: {pruned.class_name}{_empty_note(view.pruned)}"
    return "difference: red is more, blue is less after pruning"


def _empty_note(heatmap: np.ndarray) -> str:
    return f" ({plots.EMPTY_TEXT})" if plots.is_empty(heatmap) else ""


def _marked_curve(source: StudySource, view: View) -> str:
    """Return the curve with this image's score as a diamond over it.

    The diamond is an element of its own, so that the curve need not be redrawn when it moves.
    There is none if the view is read at another layer than the study's.
    """
    drawn = curve(source, view.selection.rule)
    score, rate = view.scores[source.kind.score], view.selection.rate
    title = metrics.SCORES[source.kind.score]
    alternative = f"{title} of the study against the rate"
    note = f"No diamond: this image is read at layer {view.selection.layer}. "
    diamond = ""
    if drawing.has_marker(source, view):
        method = cams.METHODS[view.selection.method].title
        alternative += f"; {method} of this image at {100 * rate:g} %: {score:.3f}"
        note = f"Diamond: {title} of this image by {method}. "
        diamond = _diamond(drawn.position(rate, score), drawing.marker_colour(view))
    note += _CURVE_NOTE.format(layer=source.study_layer)
    return (
        '<figure style="margin:0;flex:3 1 340px;min-width:260px;max-width:400px">'
        '<div style="position:relative">'
        f'<img src="{data_url(drawn.png, "image/png")}" alt="{html.escape(alternative)}" '
        f'style="width:100%;display:block">{diamond}</div>'
        f'<figcaption style="line-height:1.3">{html.escape(note)}</figcaption></figure>'
    )


def _diamond(position: tuple[float, float], colour: str) -> str:
    left, top = position
    style = (
        f"position:absolute;left:{left:.2%};top:{top:.2%};width:9px;height:9px;"
        f"margin:-6px 0 0 -6px;transform:rotate(45deg);background:white;border:2.5px solid {colour}"
    )
    return f'<div class="pruncam-diamond" style="{style}" aria-hidden="true"></div>'


def _score_table(view: View) -> str:
    header_style = "text-align:left;font-weight:normal;padding:1px 16px 1px 0"
    cell_style = "text-align:right;padding:1px 0;font-variant-numeric:tabular-nums"
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
    file = io.BytesIO()
    PIL.Image.fromarray(_bytes(image)).save(file, "PNG")
    return file.getvalue()


def _bytes(values: np.ndarray) -> np.ndarray:
    return np.rint(255 * values.clip(0, 1)).astype(np.uint8)


def data_url(content: bytes, kind: str) -> str:
    """Return content as an address that holds it; `kind` is its media type."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
