"""What a run found and writes: tables, figures on demand, and how they came about."""

import json
import os
import re
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from pruncam.choices import check_choice
from pruncam.report import plots, rendering

_WRITTEN = re.compile(r"table_.+\.csv|figure_.+\.(png|svg)|claims\.csv|captions\.json|manifest\.json")


@dataclass(frozen=True)
class Drawing:
    """A figure that can be drawn from a result, and its caption."""

    draw: Callable[[], Figure]
    caption: str
    lines: bool = False  # made of lines and text alone: small as SVG, so it is saved as that too

    @cached_property
    def figure(self) -> Figure:
        """The figure, drawn when it is first asked for."""
        return rendering.laid_out(self.draw())


@dataclass(frozen=True, kw_only=True)
class Result(ABC):
    """Tidy tables, and figures that are drawn when they are asked for."""

    tables: dict[str, pd.DataFrame]
    drawings: dict[str, Drawing]
    manifest: dict[str, Any]

    @property
    @abstractmethod
    def place(self) -> Path:
        """The folder that it is saved in where none is named."""

    @property
    def sheets(self) -> dict[str, pd.DataFrame]:
        """The tables by the stem of their file."""
        return {f"table_{_slug(key)}": table for key, table in self.tables.items()}

    def figures(self) -> dict[str, Figure]:
        """Every figure, by the paper's number or, where it has none, by a name."""
        return {key: drawing.figure for key, drawing in self.drawings.items()}

    def show(self, key: str) -> None:
        """Display one figure with its caption in a notebook."""
        from IPython.display import Markdown, display

        check_choice("figure", key, self.drawings)
        plots.show(self.drawings[key].figure)
        number = f"*Figure {key}.* " if key[0].isdigit() else ""
        display(Markdown(f"{number}{self.drawings[key].caption}"))

    def show_all(self) -> None:
        """Display every figure with its caption in a notebook."""
        for key in self.drawings:
            self.show(key)

    def save(self, folder: str | os.PathLike | None = None) -> Path:
        """Write tables, figures and manifest; returns the folder, by default `place`.

        Every file is written under a temporary name and renamed; tables and figures of an earlier result that this one
        does not have are removed, other files stay; the manifest goes first and comes last.
        """
        folder = Path(folder) if folder else self.place
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".saving-") as temporary:
            written = self._write(Path(temporary))
            for old in folder.iterdir():
                if _WRITTEN.fullmatch(old.name) and (old.name not in written or old.name == "manifest.json"):
                    old.unlink(missing_ok=True)
            for name in written:
                os.replace(Path(temporary) / name, folder / name)
        return folder

    def _write(self, folder: Path) -> list[str]:
        for stem, table in self.sheets.items():
            table.to_csv(folder / f"{stem}.csv", index=False, lineterminator="\n")
        for key, drawing in self.drawings.items():
            stem = f"figure_{_slug(key)}"
            (folder / f"{stem}.png").write_bytes(rendering.for_file(drawing.figure))
            if drawing.lines:
                (folder / f"{stem}.svg").write_bytes(rendering.svg(drawing.figure, salt=stem))
        captions = {f"figure_{_slug(key)}": drawing.caption for key, drawing in self.drawings.items()}
        (folder / "captions.json").write_text(json.dumps(captions, indent=2, ensure_ascii=False) + "\n")
        (folder / "manifest.json").write_text(json.dumps(self.manifest, indent=2) + "\n")
        names = sorted(path.name for path in folder.iterdir())
        return sorted(names, key=lambda name: name == "manifest.json")


def _slug(key: str) -> str:
    return re.sub(r"[. ]", "_", key)
