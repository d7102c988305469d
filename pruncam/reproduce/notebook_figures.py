"""The figures that an executed notebook shows: what is seen in them, and how links find them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pruncam.reproduce.notebook_files import load

_SHOW = re.compile(r"\.show\(\s*[\"']([^\"']+)[\"']\s*\)")
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
    cells = (cell for cell in load(notebook).cells if cell.cell_type == "code")
    return [figure for cell in cells for figure in _figures_of(cell)]


def _figures_of(cell: Any) -> Iterator[ShownFigure]:
    """Iterate over the images of one cell.

    Their keys are those of its calls of `show`, if there are as many; without a description from
    the figure itself, the caption below it or the cell's first line of code describes the image.
    """
    outputs = [output for output in cell.outputs if "data" in output]
    places = [place for place, output in enumerate(outputs) if _image_of(output)]
    keys = _SHOW.findall(cell.source)
    if len(keys) != len(places):
        keys = [""] * len(places)
    for place, key in zip(places, keys, strict=True):
        mime = _image_of(outputs[place])
        description = outputs[place].metadata.get(mime, {}).get("alt", "")
        yield ShownFigure(key, description or _caption(outputs[place + 1 :], cell.source))


def _image_of(output: Mapping[str, Any]) -> str:
    """Return the media type of an output's image, empty if it has none."""
    return next((mime for mime in _IMAGES if mime in output["data"]), "")


def _caption(following: list[Any], source: str) -> str:
    """Return the caption that follows an image, else the code that drew it."""
    texts = [output["data"].get("text/markdown", "") for output in following[:1]]
    caption = re.sub(r"[*`]", "", " ".join("".join(texts).split()))
    return caption or f"Figure drawn by: {source.strip().splitlines()[-1]}"
