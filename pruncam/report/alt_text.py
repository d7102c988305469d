"""What a figure shows, in words: the alternative text for readers who cannot see it."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

MAX_LENGTH = 900  # characters; a screen reader cannot skip within the text
_MAX_CURVES = 8  # of a panel that are described one by one


def describe(figure: Figure) -> str:
    """Return what is seen in a figure: its panels, axes, curves with their ends, and labels."""
    panels = [axes for axes in figure.axes if axes.get_visible() and _parts(axes)]
    panels = [axes for axes in panels if axes.get_label() != "<colorbar>"]
    is_grid = len(panels) > 1 and all(axes.images and not axes.lines for axes in panels)
    parts = [_grid(panels)] if is_grid else [_panel(axes) for axes in panels]
    if not is_grid and len(panels) > 1:
        parts.insert(0, f"{len(panels)} plots.")
    legend = _legend(figure)
    if legend:
        parts.append(f"Legend: {', '.join(legend)}.")
    return _shortened(" ".join(parts) or "An empty figure.")


def _parts(axes: Axes) -> list[object]:
    """Return what is drawn in a plot."""
    return [*axes.lines, *axes.images, *axes.patches, *axes.collections, *axes.texts]


# ---------------------------------------------------------------- grids of images


def _grid(panels: list[Axes]) -> str:
    """Describe images and heatmaps in rows and columns."""
    columns = list(dict.fromkeys(filter(None, (_line(axes.get_title()) for axes in panels))))
    rows = list(dict.fromkeys(filter(None, (_line(axes.get_ylabel()) for axes in panels))))
    text = f"{len(panels)} images."
    if rows:
        text += f" Rows: {', '.join(rows)}."
    if columns:
        text += f" Columns: {', '.join(columns)}."
    marks = [_line(mark.get_text()) for axes in panels for mark in axes.texts]
    for mark in dict.fromkeys(mark for mark in marks if _is_word(mark)):
        text += f' {marks.count(mark)} of them are marked "{mark}".'
    return text


# ---------------------------------------------------------------- one plot


def _panel(axes: Axes) -> str:
    """Describe one plot: its title, what is plotted against what, and every curve."""
    title = _line(axes.get_title() or axes.get_title("left"))
    content = _image(axes) or _curves(axes) or _diagram(axes)
    against = " against ".join(filter(None, map(_line, (axes.get_ylabel(), axes.get_xlabel()))))
    return ": ".join(filter(None, (title, against, content))).rstrip(".") + "."


def _image(axes: Axes) -> str:
    """Describe the picture or matrix of a plot; empty if it has none."""
    if not axes.images:
        return ""
    height, width = np.shape(axes.images[0].get_array())[:2]
    labels = (_line(label.get_text()) for label in axes.get_yticklabels())
    names = [name for name in labels if _is_word(name)]
    of = f", rows {', '.join(names)}" if 0 < len(names) <= 12 else ""
    return f"image of {height} by {width} cells{of}"


def _curves(axes: Axes) -> str:
    """Describe the labelled curves, points and bars of a plot; empty if it has none."""
    curves = [line for line in axes.lines if not str(line.get_label()).startswith("_")]
    described = [_curve(line) for line in curves[:_MAX_CURVES]]
    if len(curves) > _MAX_CURVES:
        described.append(f"{len(curves) - _MAX_CURVES} more curves")
    for artist in (*axes.collections, *axes.containers):
        label = str(artist.get_label())
        if label and not label.startswith("_"):
            described.append(_line(label))
    return "; ".join(filter(None, described))


def _curve(line: Line2D) -> str:
    """Describe a curve by its first and last value, and its lowest or highest one between."""
    x, y = (np.asarray(values, dtype=float) for values in line.get_data())
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    name = _line(str(line.get_label()))
    if len(y) < 2:
        return name
    text = f"{name} from {y[0]:.3g} at {x[0]:.3g} to {y[-1]:.3g} at {x[-1]:.3g}"
    low, high = sorted((y[0], y[-1]))
    margin = 0.1 * (y.max() - y.min())
    if y.max() > high + margin:
        text += f", highest {y.max():.3g} at {x[y.argmax()]:.3g}"
    if y.min() < low - margin:
        text += f", lowest {y.min():.3g} at {x[y.argmin()]:.3g}"
    return text


def _diagram(axes: Axes) -> str:
    """Describe a diagram, or a plot without labelled curves, by the texts in it."""
    texts = dict.fromkeys(filter(None, (_line(text.get_text()) for text in axes.texts)))
    if texts:
        return f"with the labels {'; '.join(texts)}"
    names = [_line(label.get_text()) for label in axes.get_xticklabels()]
    return f"bars of {', '.join(filter(None, names))}" if axes.patches and any(names) else ""


# ---------------------------------------------------------------- text


def _legend(figure: Figure) -> list[str]:
    """Return the entries of all legends of a figure, each once."""
    legends = [*figure.legends, *(axes.get_legend() for axes in figure.axes)]
    texts = (text.get_text() for legend in legends if legend for text in legend.get_texts())
    return list(dict.fromkeys(filter(None, map(_line, texts))))


def _is_word(text: str) -> bool:
    return any(letter.isalpha() for letter in text)


def _line(text: str) -> str:
    return " ".join(text.split())


def _shortened(text: str) -> str:
    """Return the text, cut at the end of a word if it is too long."""
    if len(text) <= MAX_LENGTH:
        return text
    return text[: MAX_LENGTH - 1].rpartition(" ")[0] + "…"
