"""Figures as PNG and SVG.

A figure is laid out once and drawn once per file; matplotlib's `savefig` does both twice.
"""

import io

import matplotlib
import numpy as np
import PIL.Image
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

FILE_DPI = 150
_NOTEBOOK_DPI = 110
# Errors of 256 colours, of 255. Below _CURVE_ERROR on average: curves, not a photograph.
# At _SHARE % of the pixels below _VISIBLE_ERROR: imperceptible.
_CURVE_ERROR = 0.3
_VISIBLE_ERROR = 10
_SHARE = 99.9


def lay_out(figure: Figure) -> Figure:
    """Put every part of the figure in its final place, and return the figure."""
    figure.set_dpi(FILE_DPI)  # letters do not scale exactly
    engine = figure.get_layout_engine()
    if engine:
        engine.execute(figure)
        engine.execute(figure)  # now with the positions of axes of fixed aspect
    figure.set_layout_engine("none")
    return figure


def for_file(figure: Figure) -> bytes:
    """Return the figure as a PNG file."""
    return png(pixels(figure, FILE_DPI))


def for_notebook(figure: Figure) -> bytes:
    """Return the figure as PNG of 256 colours: a quarter of the size, for committed notebooks."""
    return png(pixels(figure, _NOTEBOOK_DPI), 256)


def pixels(figure: Figure, dpi: int) -> PIL.Image.Image:
    """Return the figure as an RGB image at `dpi` dots per inch."""
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return PIL.Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def png(image: PIL.Image.Image, colours: int = 0) -> bytes:
    """Return the image as PNG of at most `colours` colours (2 to 256).

    0: 256 colours if the difference is imperceptible, else all.
    """
    fewer = image.quantize(colours or 256, dither=PIL.Image.Dither.NONE)
    if _colour_error(image, fewer).mean() < _CURVE_ERROR:
        # Choose among all colours, not the most frequent ones: a colour bar is a small part of a
        # figure. For the many colours of photographs this would take many seconds.
        fewer = image.quantize(
            colours or 256, PIL.Image.Quantize.MAXCOVERAGE, kmeans=3, dither=PIL.Image.Dither.NONE
        )
    if not colours and np.percentile(_colour_error(image, fewer), _SHARE) >= _VISIBLE_ERROR:
        fewer = image
    file = io.BytesIO()
    fewer.save(file, "PNG", optimize=True)
    return file.getvalue()


def _colour_error(image: PIL.Image.Image, other: PIL.Image.Image) -> np.ndarray:
    """Return the error of each pixel, of 255, in the channel where it is largest."""
    difference = np.asarray(image, dtype=np.int16) - np.asarray(other.convert("RGB"))
    return np.abs(difference).max(2)


def svg(figure: Figure, salt: str) -> bytes:
    """Return the figure as SVG; the same figure and salt give the same bytes."""
    file = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": salt}):
        FigureCanvasSVG(figure).print_svg(file, metadata={"Date": None})
    return file.getvalue().encode()
