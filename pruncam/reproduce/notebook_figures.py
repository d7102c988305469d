"""The figures that an executed notebook shows: what is seen in them, and how links find them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pruncam.reproduce.notebook_files import load

_SHOW = re.compile(r"\.show\(\s*[\"']([^\"']+)[\"']\s*\)")
_HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
_IMAGES = ("image/png", "image/svg+xml", "image/jpeg")


@dataclass(frozen=True)
class ShownFigure:
    """An image among the outputs of a notebook; `key` is that of the study's result, if any."""

    key: str
    description: str

    @property
    def anchor(self) -> str:
        """Return the fragment of links to it, the stem of its file; empty if it is of no result."""
        return f"figure_{re.sub('[. ]', '_', self.key)}" if self.key else ""

    @property
    def title(self) -> str:
        """Return its name in a sentence."""
        return f"Figure {self.key}"


def shown_figures(notebook: Path) -> list[ShownFigure]:
    """Return the images among a notebook's outputs, in their order."""
    figures: list[ShownFigure] = []
    section = ""
    for cell in load(notebook).cells:
        if cell.cell_type == "code":
            figures += _figures_of(cell, section)
        elif cell.cell_type == "markdown":
            section = next(reversed(_HEADING.findall(cell.source)), section)
    return figures


def _figures_of(cell: Any, section: str) -> Iterator[ShownFigure]:
    """Iterate over the images of one cell.

    Their keys are those of its calls of `show`, if there are as many. Without a description by the
    figure itself, the caption below it describes an image, or the heading above it.
    """
    outputs = [output for output in cell.outputs if "data" in output]
    places = [place for place, output in enumerate(outputs) if _image_of(output)]
    keys = _SHOW.findall(cell.source)
    if len(keys) != len(places):
        keys = [""] * len(places)
    for place, key in zip(places, keys, strict=True):
        mime = _image_of(outputs[place])
        description = outputs[place].metadata.get(mime, {}).get("alt", "")
        description = description or _caption(outputs[place + 1 :])
        yield ShownFigure(key, description or f"Figure of the section: {section}")


def _image_of(output: Mapping[str, Any]) -> str:
    """Return the media type of an output's image, empty if it has none."""
    return next((mime for mime in _IMAGES if mime in output["data"]), "")


def _caption(following: list[Any]) -> str:
    """Return the caption that follows an image, empty if there is none."""
    texts = [output["data"].get("text/markdown", "") for output in following[:1]]
    return re.sub(r"[*`]", "", " ".join("".join(texts).split()))
