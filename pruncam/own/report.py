"""What a comparison found: in words, tables and figures, shown in a notebook or written to a folder."""

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pruncam.own import page
from pruncam.report import rendering
from pruncam.report.result import Result

PAGE = "report.html"


@dataclass(frozen=True, kw_only=True)
class Report(Result):
    """A comparison of two networks: paragraphs in plain words, tables, figures on demand, and how it came about."""

    reading: list[str]

    @property
    def place(self) -> Path:
        """The folder `report` where one works."""
        return Path.cwd() / "report"

    def read(self) -> None:
        """Display the paragraphs in a notebook."""
        from IPython.display import Markdown, display

        display(Markdown("\n".join(f"- {sentence}" for sentence in self.reading)))

    def save(self, folder: str | os.PathLike | None = None) -> Path:
        """Write page, tables, figures and manifest as `folder`, default `place`; returns the page, report.html in it.

        All is written beside the folder under a temporary name and renamed: it is whole or not there. An earlier
        report of that name is replaced. Raises FileExistsError where something else has the name.
        """
        folder = Path(folder or self.place).expanduser().absolute()
        check_free(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.saving-") as temporary:
            new, old = Path(temporary) / "new", Path(temporary) / "old"
            new.mkdir()
            self._write(new)
            if folder.exists():
                os.replace(folder, old)
            os.replace(new, folder)
        return folder / PAGE

    def _write(self, folder: Path) -> None:
        for key, table in self.tables.items():
            table.to_csv(folder / f"table_{key}.csv", index=False, lineterminator="\n")
        pictures = {}
        for key, figure in self.figures().items():
            pictures[key] = rendering.for_file(figure)
            (folder / f"figure_{key}.png").write_bytes(pictures[key])
        captions = {key: drawing.caption for key, drawing in self.drawings.items()}
        text = page.html(self.reading, self.tables, pictures, captions, self.manifest)
        (folder / PAGE).write_text(text, encoding="utf-8")
        (folder / "manifest.json").write_text(json.dumps(self.manifest, indent=2) + "\n", encoding="utf-8")


def check_free(folder: Path) -> None:
    """Refuse a name that something else than an earlier report has."""
    if folder.is_dir() and (not any(folder.iterdir()) or {PAGE, "manifest.json"} <= set(os.listdir(folder))):
        return
    if folder.exists():
        raise FileExistsError(f"{folder} is there and is no report: give another name, or move it away")
    above = next(parent for parent in folder.parents if parent.exists())
    if not (above.is_dir() and os.access(above, os.W_OK)):
        raise PermissionError(f"nothing can be written into {above}: give another place for the report")
