"""The result of a run: tables, figures on demand, and a manifest, saved to a folder."""

import json
import os
import re
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import PIL.Image
from matplotlib.figure import Figure

from pruncam._core.store import move_into_place
from pruncam._core.validation import check_choice
from pruncam.report import plots, rendering
from pruncam.report.alt_text import describe

_MANIFEST = "manifest.json"
_RESULT_FILE = re.compile(
    r"table_.+\.csv|figure_.+\.(png|svg)|claims\.csv|(captions|alt_texts|manifest|verified)\.json"
)


@dataclass(frozen=True)
class Drawing:
    """A figure that is drawn on demand, with its caption.

    `lines`: the figure has only lines and text, and is also saved as SVG.
    """

    draw: Callable[[], Figure]
    caption: str
    lines: bool = False

    @cached_property
    def figure(self) -> Figure:
        """Return the figure, drawn at the first call."""
        return rendering.lay_out(self.draw())


@dataclass(frozen=True, kw_only=True)
class Result(ABC):
    """Tidy tables, figures that are drawn on demand, and a manifest of how they came about."""

    tables: dict[str, pd.DataFrame]
    drawings: dict[str, Drawing]
    manifest: dict[str, Any]

    @property
    @abstractmethod
    def default_folder(self) -> Path:
        """Return the folder that `save` writes to by default."""

    @property
    def table_files(self) -> dict[str, pd.DataFrame]:
        """Return the tables by the stem of their file."""
        return {f"table_{_slug(key)}": table for key, table in self.tables.items()}

    def figures(self) -> dict[str, Figure]:
        """Return every figure, by the paper's number or, if it has none, by a name."""
        return {key: drawing.figure for key, drawing in self.drawings.items()}

    def show(self, key: str) -> None:
        """Display one figure with its caption in a notebook."""
        from IPython.display import Markdown, display

        check_choice("figure", key, self.drawings)
        drawing = self.drawings[key]
        plots.show(drawing.figure)
        number = f"*Figure {key}.* " if key[0].isdigit() else ""
        display(Markdown(f"{number}{drawing.caption}"))

    def show_all(self) -> None:
        """Display every figure with its caption in a notebook."""
        for key in self.drawings:
            self.show(key)

    def save(self, folder: str | os.PathLike | None = None) -> Path:
        """Write tables, figures and manifest, and return the folder.

        Files are written to a temporary folder and moved into place when all are complete. Files
        of an earlier result that this one does not have are removed, other files stay. The
        manifest is removed first and written last: a folder with a manifest is complete.
        """
        folder = Path(folder) if folder else self.default_folder
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".saving-") as temporary:
            new = Path(temporary)
            self._write_files(new)
            names = {path.name for path in new.iterdir()}
            (folder / _MANIFEST).unlink(missing_ok=True)
            for old in folder.iterdir():
                if _RESULT_FILE.fullmatch(old.name) and old.name not in names:
                    old.unlink(missing_ok=True)
            for name in (*sorted(names - {_MANIFEST}), _MANIFEST):
                move_into_place(new / name, folder / name)
        return folder

    def _write_files(self, folder: Path) -> None:
        for stem, table in self.table_files.items():
            table.to_csv(folder / f"{stem}.csv", index=False, lineterminator="\n")
        drawings = {f"figure_{_slug(key)}": drawing for key, drawing in self.drawings.items()}
        _write_figures(folder, drawings)
        captions = {stem: drawing.caption for stem, drawing in drawings.items()}
        _write_json(folder / "captions.json", captions)
        seen = {stem: describe(drawing.figure) for stem, drawing in drawings.items()}
        _write_json(folder / "alt_texts.json", seen)
        manifest_text = json.dumps(self.manifest, indent=2)
        (folder / _MANIFEST).write_text(f"{manifest_text}\n", encoding="utf-8")


def _write_figures(folder: Path, drawings: Mapping[str, Drawing]) -> None:
    """Write figures, by the stem of their file; one is compressed while the next is drawn."""
    with ThreadPoolExecutor(1) as compressor:
        written = []
        for stem, drawing in drawings.items():
            image = rendering.pixels(drawing.figure, rendering.FILE_DPI)
            written.append(compressor.submit(_write_png, folder / f"{stem}.png", image))
            if drawing.lines:
                svg = rendering.svg(drawing.figure, salt=stem)
                (folder / f"{stem}.svg").write_bytes(svg)
        for task in written:
            task.result()  # raises its error


def _write_json(path: Path, texts: Mapping[str, str]) -> None:
    path.write_text(f"{json.dumps(texts, indent=2, ensure_ascii=False)}\n", encoding="utf-8")


def _write_png(path: Path, image: PIL.Image.Image) -> None:
    path.write_bytes(rendering.png(image))


def _slug(key: str) -> str:
    """Return a figure's or table's key as part of a file name."""
    return re.sub(r"[. ]", "_", key)
