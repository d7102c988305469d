"""Figures as files. A figure is laid out once and drawn once a file; matplotlib's savefig does both twice."""

import io

import matplotlib
import numpy as np
import PIL.Image
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

_DPI = {"file": 150, "notebook": 110}
_UNSEEN = 10  # of 255: an error that nobody sees; in 256 colours curves stay below it, photographs do not
_NEARLY = 99.9  # % of the pixels
_CURVES = 0.3  # of 255: the mean error of 256 colours that tells curves from photographs


def laid_out(figure: Figure) -> Figure:
    """The figure with every part in its final place."""
    figure.set_dpi(_DPI["file"])  # letters do not scale exactly
    engine = figure.get_layout_engine()
    for _ in range(2 if engine else 0):  # the second pass sees where axes of fixed aspect came to lie
        engine.execute(figure)
    figure.set_layout_engine("none")
    return figure


def pixels(figure: Figure, dpi: int) -> PIL.Image.Image:
    """The figure as an RGB image, drawn at so many dots per inch."""
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return PIL.Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def png(image: PIL.Image.Image, colours: int = 0) -> bytes:
    """The image as PNG of at most so many colours (2 to 256); 0: all, or 256 where nobody sees the difference."""
    fewer = image.quantize(colours or 256, dither=PIL.Image.Dither.NONE)
    if _apart(image, fewer).mean() < _CURVES:
        # Of all the image's colours, not of the most frequent ones: a colour bar is a small part of a figure. With the
        # many colours of photographs it would take many seconds.
        fewer = image.quantize(colours or 256, PIL.Image.Quantize.MAXCOVERAGE, kmeans=3, dither=PIL.Image.Dither.NONE)
    if not colours and np.percentile(_apart(image, fewer), _NEARLY) >= _UNSEEN:
        fewer = image
    file = io.BytesIO()
    fewer.save(file, "PNG", optimize=True)
    return file.getvalue()


def _apart(image: PIL.Image.Image, other: PIL.Image.Image) -> np.ndarray:
    """By how much, of 255, each pixel is off in the channel where it is off most."""
    return np.abs(np.asarray(image, dtype=np.int16) - np.asarray(other.convert("RGB"))).max(2)


def for_file(figure: Figure) -> bytes:
    """The figure as PNG to keep."""
    return png(pixels(figure, _DPI["file"]))


def for_notebook(figure: Figure) -> bytes:
    """The figure as PNG of 256 colours: a quarter of the bytes, and notebooks are committed."""
    return png(pixels(figure, _DPI["notebook"]), 256)


def svg(figure: Figure, salt: str) -> bytes:
    """The figure as SVG; the same figure and salt give the same bytes."""
    file = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": salt}):
        FigureCanvasSVG(figure).print_svg(file, metadata={"Date": None})
    return file.getvalue().encode()
