"""The report of a comparison, displayed in a notebook or written to a folder."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pruncam._core.extras import needed_for
from pruncam._core.store import write_folder_atomically
from pruncam.comparison import html
from pruncam.comparison.model_card import model_card
from pruncam.report import rendering
from pruncam.report.alt_text import describe
from pruncam.report.result import Result

PAGE = "report.html"
MANIFEST = "manifest.json"
MODEL_CARD = "model_card.md"
_JSON_TABLES = (
    "layers",
    "models",
    "summary",
    "cost",
    "other_layers",
    "sweep",
    "faithfulness",
    "objects",
)


@dataclass(frozen=True, kw_only=True)
class Report(Result):
    """A comparison of two networks: summary in plain sentences, tables, figures and manifest."""

    summary: list[str]

    @property
    def default_folder(self) -> Path:
        """Return the default folder, `report` in the working folder."""
        return Path.cwd() / "report"

    def show_summary(self) -> None:
        """Display the summary in a notebook."""
        with needed_for("showing a summary in a notebook", "notebooks"):
            from IPython.display import Markdown, display

        display(Markdown("\n".join(f"- {paragraph}" for paragraph in self.summary)))

    def model_card(self) -> str:
        """Return a section for the model card of the pruned network, in Markdown."""
        return model_card(self.summary, self.tables, self.manifest)

    def as_json(self) -> dict[str, Any]:
        """Return the summary and the main tables, as lists of rows, as JSON can hold them.

        A number that is not defined is None.
        """
        names = [name for name in _JSON_TABLES if name in self.tables]
        tables = {name: _records(self.tables[name]) for name in names}
        return {"sentences": self.summary, **tables}

    def save(self, folder: str | os.PathLike | None = None) -> Path:
        """Write page, model card, tables, figures and manifest; return the path of the page.

        The folder is written completely or not at all; an earlier report in it is replaced. By
        default it is `report` in the working folder. Raises FileExistsError if the folder holds
        anything other than a report.
        """
        folder = Path(folder or self.default_folder).expanduser().absolute()
        check_destination(folder)
        write_folder_atomically(folder, self._write_files)
        return folder / PAGE

    def _write_files(self, folder: Path) -> None:
        for name, table in self.tables.items():
            table.to_csv(folder / f"table_{name}.csv", index=False, lineterminator="\n")
        pictures = {}
        for name, figure in self.figures().items():
            png = rendering.for_file(figure)
            (folder / f"figure_{name}.png").write_bytes(png)
            pictures[name] = html.Picture(png, self.drawings[name].caption, describe(figure))
        page = html.render_page(self.summary, self.tables, pictures, self.manifest)
        (folder / PAGE).write_text(page, encoding="utf-8")
        (folder / MODEL_CARD).write_text(self.model_card(), encoding="utf-8")
        manifest = json.dumps(self.manifest, indent=2)
        (folder / MANIFEST).write_text(f"{manifest}\n", encoding="utf-8")


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table; `to_json` turns NaN and numbers of NumPy into those of JSON."""
    return json.loads(table.to_json(orient="records", double_precision=15))


def check_destination(folder: Path) -> None:
    """Raise FileExistsError or PermissionError if no report can be written to `folder`.

    An empty folder and an earlier report may be replaced, anything else may not.
    """
    if folder.is_dir():
        names = set(os.listdir(folder))
        if not names or {PAGE, MANIFEST} <= names:
            return
    if folder.exists():
        raise FileExistsError(
            f"{folder} exists and is not a report: choose another name, or move it away"
        )
    parent = next(parent for parent in folder.parents if parent.exists())
    if not (parent.is_dir() and os.access(parent, os.W_OK)):
        raise PermissionError(f"cannot write to {parent}: choose another folder for the report")
