"""Execution of one notebook through papermill, with this interpreter as its kernel."""

import logging
import os
import re
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pruncam._core import disk
from pruncam._core.extras import needed_for
from pruncam._core.leftovers import temporary_folder
from pruncam._core.store import move_into_place
from pruncam.reproduce.kernels import Kernel
from pruncam.reproduce.notebook_files import clean, load, save
from pruncam.reproduce.pages import to_page
from pruncam.reproduce.parameters import check_parameters, declared_parameters

_START_SECONDS = 600  # for the imports of a notebook, which take seconds on an idle machine
Watch = Callable[[int, int], None]  # called with the number of the cell that starts, and of all
_ANSI_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class NotebookFailed(RuntimeError):
    """A notebook stopped with an error; `notebook` and `log` are the files that remain of it."""

    def __init__(self, message: str, notebook: Path, log: Path) -> None:
        super().__init__(message)
        self.notebook = notebook
        self.log = log


@dataclass(frozen=True)
class Execution:
    """One notebook with its parameters and its kernel, and what else happens as it runs.

    `following` is the kernel of the notebook after this one. It starts after a quarter of the
    cells: by then a study has run, and tables and figures keep one core busy.
    """

    notebook: Any
    parameters: Mapping[str, Any]
    kernel: Kernel
    watch: Watch | None = None
    following: Kernel | None = None

    @property
    def cells(self) -> int:
        """Return the number of cells, with the one that papermill injects."""
        return len(self.notebook.cells) + bool(self.parameters)

    async def cell_starts(self, cell: Any, cell_index: int) -> None:
        """Report the start of a cell to `watch`, and start the next kernel; nbclient's hook."""
        if self.watch is not None:
            self.watch(cell_index + 1, self.cells)
        if self.following is not None and cell_index >= self.cells / 4:
            with suppress(Exception):  # it is that notebook's error: its own turn will raise it
                await self.following.launch()


def run_notebook(
    path: Path,
    parameters: Mapping[str, Any] | None,
    out_folder: Path,
    *,
    kernel: Kernel | None = None,
    following: Kernel | None = None,
    watch: Watch | None = None,
) -> Path:
    """Run one notebook in its folder and write it, executed, to `out_folder`.

    The results are `NAME.ipynb`, which is returned, and `NAME.html`. A notebook that stops with an
    error is saved as `NAME.failed.ipynb` with its error in `NAME.log`.

    Parameters
    ----------
    parameters : values that replace those of the notebook's parameters cell
    kernel : the kernel of this notebook, which ends with it; None: a new one
    following : the kernel of the next notebook, which starts meanwhile
    watch : function that is called with the number of a cell and of all cells as the cell starts

    Raises
    ------
    ValueError
        If a parameter is not declared by the notebook or has another type; before anything runs.
    NotebookFailed
        If the notebook stops with an error.
    """
    path, parameters = Path(path).resolve(), dict(parameters or {})
    notebook = load(path)
    check_parameters(path.name, declared_parameters(notebook), parameters)
    kernel = kernel or Kernel(notebook, path.parent)
    execution = Execution(notebook, parameters, kernel, watch, following)
    out_folder.mkdir(parents=True, exist_ok=True)
    with disk.explained(out_folder), temporary_folder(".running", out_folder) as folder:
        partial = Path(folder).resolve() / path.name
        error = _execute(execution, partial)
        if error is not None:
            raise _save_failure(partial, out_folder, error)
        return _save_success(partial, out_folder, path.parent)


# ---------------------------------------------------------------- running


def _execute(execution: Execution, partial: Path) -> str | None:
    """Run a notebook into the file `partial`; return the error as text, None if there is none."""
    kernel = execution.kernel
    try:
        kernel.start()
        _call_papermill(execution, partial)
    except Exception as error:  # an error of any kind must not stop the other notebooks
        text = f"{kernel.log}\n{type(error).__name__}: {error}"
        return _ANSI_COLOUR.sub("", text).strip() + "\n"
    finally:
        kernel.stop()
    return None


def _call_papermill(execution: Execution, partial: Path) -> None:
    """Execute a notebook; every finished cell is saved at once, so a killed kernel leaves them."""
    with needed_for("running notebooks", "notebooks"):
        import papermill

    source = partial.with_suffix(".source.ipynb")
    save(execution.notebook, source)
    logging.getLogger("papermill").setLevel(logging.CRITICAL)  # its errors come as exceptions
    papermill.execute_notebook(
        _escape_braces(source),
        _escape_braces(partial),
        parameters=execution.parameters,
        kernel_name="python3",
        language="python",
        progress_bar=False,
        start_timeout=_START_SECONDS,
        km=execution.kernel.manager,
        on_cell_start=execution.cell_starts,
    )


def _escape_braces(path: Path) -> str:
    """Return a path as papermill takes it, which formats paths."""
    return re.sub(r"([{}])", r"\1\1", str(path))


# ---------------------------------------------------------------- saving


def _save_success(partial: Path, out_folder: Path, source_folder: Path) -> Path:
    """Move an executed notebook and its page to `out_folder`, in place of those of earlier runs.

    The links of the page lead to the files beside the notebook in `source_folder`.
    """
    notebook = clean(load(partial))
    final = out_folder / partial.name
    page = partial.with_suffix(".html")
    folder = Path(os.path.relpath(source_folder, out_folder.resolve())).as_posix()
    page.write_text(to_page(notebook, partial.stem, folder), encoding="utf-8")
    _remove_earlier(out_folder, partial.stem)
    move_into_place(page, final.with_suffix(".html"))
    save(notebook, final)
    return final


def _save_failure(partial: Path, out_folder: Path, error: str) -> NotebookFailed:
    """Save what there is of a failed notebook; results of earlier runs would mislead."""
    _remove_earlier(out_folder, partial.stem)
    failed = out_folder / f"{partial.stem}.failed.ipynb"
    log = out_folder / f"{partial.stem}.log"
    if partial.exists():
        save(clean(load(partial)), failed)
    else:  # the kernel did not even start
        shutil.copyfile(partial.with_suffix(".source.ipynb"), failed)
    log.write_text(error, encoding="utf-8")
    return NotebookFailed(error, failed, log)


def _remove_earlier(out_folder: Path, stem: str) -> None:
    """Remove the results of an earlier run of this notebook."""
    for suffix in (".ipynb", ".html", ".failed.ipynb", ".log"):
        (out_folder / f"{stem}{suffix}").unlink(missing_ok=True)
