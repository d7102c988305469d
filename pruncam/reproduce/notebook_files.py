"""Reading, cleaning and writing notebook files."""

import json
from pathlib import Path
from typing import Any

from pruncam._core.extras import needed_for
from pruncam._core.store import write_text_atomically

_KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
_WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def load(path: Path) -> Any:
    """Read a notebook of format 4; raise ValueError if the file is not one.

    Cells of an old notebook that have no id get one that is the same at every reading.
    """
    with needed_for("running notebooks", "notebooks"):
        import nbformat

    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["nbformat"] != 4:
            raise ValueError
        for index, cell in enumerate(content["cells"]):
            cell.setdefault("id", f"cell-{index:02d}")
    except (ValueError, KeyError, TypeError):
        raise ValueError(
            f"{path.name} is not a notebook of format 4: open and save it in JupyterLab"
        ) from None
    content["nbformat_minor"] = max(5, content.get("nbformat_minor", 0))
    return nbformat.reads(json.dumps(content), as_version=4)


def save(notebook: Any, path: Path) -> None:
    """Write a notebook completely or not at all."""
    with needed_for("running notebooks", "notebooks"):
        import nbformat

    write_text_atomically(path, nbformat.writes(notebook).rstrip("\n") + "\n")


def clean(notebook: Any) -> Any:
    """Remove, in place, what differs from run to run; return the notebook.

    These are papermill's times and paths, time stamps, and the patch version of Python.
    """
    notebook.metadata.pop("papermill", None)
    notebook.metadata.get("language_info", {}).pop("version", None)
    notebook.metadata["kernelspec"] = dict(_KERNEL)
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        if not cell.metadata.get("tags", True):
            del cell.metadata["tags"]
    return notebook


def prepare_for_commit(notebook: Any) -> Any:
    """Remove, in place, what would differ at the next refresh; return the notebook.

    Besides what `clean` removes, these are the cells that papermill injected, and widgets, whose
    ids are random.
    """
    notebook.cells = [cell for cell in notebook.cells if not _is_injected(cell)]
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(_WIDGET_VIEW, None)
    return clean(notebook)


def _is_injected(cell: Any) -> bool:
    return "injected-parameters" in cell.metadata.get("tags", [])
