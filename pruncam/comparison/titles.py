"""Titles and colours of CAM methods and scores, the user's included."""

from collections.abc import Sequence

from pruncam import cams, metrics
from pruncam.report import plots

MAIN_SCORES = ("sp2ps", "pe", "soft_iou")  # shown beside the user's scores
_CUSTOM_COLOURS = (plots.BLUE, plots.GREEN)


def title(name: str) -> str:
    """Return the title of a CAM method or score; a custom one is called by its name."""
    if name in cams.METHODS:
        return cams.METHODS[name].title
    return metrics.SCORES.get(name, name)


def shortened(text: str, letters: int) -> str:
    """Return a text of at most so many letters; one that is longer is cut in its middle.

    Examples
    --------
    >>> shortened("striped_disc/img_0120.jpg", 16)
    'striped…0120.jpg'
    """
    if len(text) <= letters:
        return text
    end = letters // 2
    return f"{text[: letters - end - 1]}…{text[-end:]}"


def label(text: str) -> str:
    """Return a name of the user as text that matplotlib draws as it is.

    It takes text between dollar signs for formulas, and leaves names that begin with an underscore
    out of legends.
    """
    escaped = " ".join(text.splitlines()).replace("$", r"\$")
    return f" {escaped}" if escaped.startswith("_") else escaped


def colour(method: str, methods: Sequence[str]) -> str:
    """Return the colour of a CAM method among all `methods` of a figure."""
    if method in cams.METHODS:
        return cams.METHODS[method].colour
    custom = [name for name in methods if name not in cams.METHODS]
    return _CUSTOM_COLOURS[custom.index(method) % len(_CUSTOM_COLOURS)]
