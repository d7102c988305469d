"""All notebooks in one go: `pruncam reproduce`, and refreshing what is committed of them."""

import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any

from pruncam._core import paths
from pruncam._core.disk import check_writable
from pruncam._core.extras import needed_for
from pruncam._core.leftovers import temporary_folder
from pruncam._core.text_files import RUN_AGAIN, read_rows
from pruncam.reproduce import readme
from pruncam.reproduce.execution import NotebookFailed, run_notebook
from pruncam.reproduce.gallery import write_gallery
from pruncam.reproduce.kernels import Kernel
from pruncam.reproduce.notebook_files import load, prepare_for_commit, save
from pruncam.reproduce.notebook_list import (
    ensure_data,
    numbered_notebooks,
    select_notebooks,
    study_of,
)
from pruncam.reproduce.options import RunOptions
from pruncam.reproduce.outcomes import Outcome, summary_table
from pruncam.reproduce.parameters import declared_parameters
from pruncam.reproduce.status_line import StatusLine

_LOG_LINES = 15  # of a failed notebook; enough for the error and the line that raised it


@dataclass(frozen=True)
class Batch:
    """Notebooks that run one after the other, with the same parameters and environment."""

    notebooks: Sequence[Path]
    profile: str
    out_folder: Path
    environment: Mapping[str, str]
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def figures(self) -> Path:
        """Return the folder with the figures of all profiles."""
        return Path(self.environment["PRUNCAM_FIGURES"])

    @property
    def results(self) -> Path:
        """Return the folder with the results of the profile."""
        return self.figures / self.profile


# ---------------------------------------------------------------- commands


def reproduce(options: RunOptions | None = None) -> int:
    """Run the notebooks, all or one study's, and print a table; return 0 if all succeed, else 1.

    Raises ValueError, OSError or DataError, before anything is computed, if an option does not fit,
    data are missing or the folders of the results cannot be written.
    """
    options = options or RunOptions()
    notebooks = select_notebooks(options.study)
    _check_packages()
    _check_device(options.device)
    parameters: dict[str, Any] = {
        "profile": options.profile,
        "device": options.device,
    }
    if options.data:
        parameters["data_dir"] = str(_existing_folder(options.data))
    ensure_data(notebooks, options.profile, parameters.get("data_dir"))
    environment = _absolute_folders()
    if options.cluster:
        _check_workers(options.cluster)
        environment["PRUNCAM_CLUSTER"] = options.cluster
    out_folder = _runs_folder() / options.profile
    batch = Batch(
        notebooks,
        options.profile,
        out_folder,
        environment,
        parameters,
    )
    check_writable(batch.results, "results", "name another folder in PRUNCAM_FIGURES")
    check_writable(out_folder, "executed notebooks", "copy the project to another folder")
    outcomes = _run_batch(batch)
    _refresh_pages(batch)
    print(f"\n{summary_table(outcomes)}")
    print(f"\nresults    {_short_path(batch.results)}\nnotebooks  {_short_path(out_folder)}")
    return _status(outcomes)


def refresh_notebooks() -> int:
    """Execute the committed notebooks and solutions again and save them; return 0, or 1 on failure.

    They run with their own defaults and an empty cache. A notebook that fails stays as it was.
    """
    notebooks = [*select_notebooks(), *numbered_notebooks("notebooks/solutions")]
    _check_packages()
    out_folder = _runs_folder() / "notebooks"
    with _fresh_folders() as environment:
        outcomes = _run_batch(Batch(notebooks, "quick", out_folder, environment))
    for path, outcome in zip(notebooks, outcomes, strict=True):
        if not outcome.failure:
            save(prepare_for_commit(load(out_folder / path.name)), path)
    return _status(outcomes)


def refresh_expected() -> int:
    """Write the tables of the quick profile that the tests expect; return 0, or 1 on failure.

    The notebooks run with an empty cache. If one fails, the expected tables stay as they were.
    """
    expected = paths.project_root() / "tests" / "expected" / "quick"
    notebooks = select_notebooks()
    _check_packages()
    with _fresh_folders() as environment:
        out_folder = _runs_folder() / "expected"
        parameters = {"profile": "quick"}
        batch = Batch(
            notebooks,
            "quick",
            out_folder,
            environment,
            parameters,
        )
        outcomes = _run_batch(batch)
        if _status(outcomes) == 0:
            _replace_tables(expected, batch.results)
    return _status(outcomes)


def _status(outcomes: Sequence[Outcome]) -> int:
    return int(any(outcome.failure for outcome in outcomes))


def _refresh_pages(batch: Batch) -> None:
    """Write the gallery and, if committed results may have changed, the tables in README."""
    write_gallery(batch.figures)
    root = paths.project_root()
    if batch.profile != "quick" and batch.figures == root / "figures":
        readme.refresh(root / "README.md", readme.RESULTS, readme.results(batch.figures))


def _replace_tables(expected: Path, results: Path) -> None:
    for old in expected.glob("*/*.csv"):
        old.unlink()
    for table in sorted(results.glob("*/*.csv")):
        target = expected / table.relative_to(results)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(table, target)


# ---------------------------------------------------------------- packages, device, folders


def _check_packages() -> None:
    """Raise MissingExtra if notebooks cannot run here, before anything is downloaded."""
    with needed_for("running notebooks", "notebooks"):
        import nbconvert  # noqa: F401
        import papermill  # noqa: F401


def _check_device(device: str) -> None:
    """Raise ValueError if a GPU that is asked for is not available."""
    if device in ("cuda", "mps"):
        from pruncam._core.machine import Machine  # imports torch

        Machine(device=device)


def _check_workers(address: str) -> None:
    """Raise ValueError if the cluster cannot compute, before the first notebook starts."""
    from pruncam._core.cluster import Cluster

    with Cluster(address):
        pass


def _existing_folder(folder: str) -> Path:
    """Return the absolute path of a folder: the kernel runs in another one."""
    path = Path(folder).expanduser().resolve()
    if not path.is_dir():
        raise FileNotFoundError(f"the data folder {folder} does not exist")
    return path


def _runs_folder() -> Path:
    """Return the folder for executed notebooks, which git ignores."""
    return paths.project_root() / "runs"


def _absolute_folders() -> dict[str, str]:
    """Return the environment variables that name folders, as absolute paths."""
    folders = {
        "PRUNCAM_CACHE": paths.cache_folder(),
        "PRUNCAM_FIGURES": paths.figures_folder("quick").parent,
    }
    if os.environ.get("PRUNCAM_DATA"):
        folders["PRUNCAM_DATA"] = paths.data_folders()[0]
    return {name: str(folder.resolve()) for name, folder in folders.items()}


@contextmanager
def _fresh_folders() -> Iterator[dict[str, str]]:
    """Provide an environment with an empty cache and figures folder, removed afterwards."""
    with temporary_folder("pruncam-fresh") as folder:
        environment = _absolute_folders()
        environment["PRUNCAM_CACHE"] = str(Path(folder) / "cache")
        environment["PRUNCAM_FIGURES"] = str(Path(folder) / "figures")
        yield environment


def _short_path(path: Path) -> str:
    """Return a path relative to the working directory, if it is inside it."""
    is_inside = path.is_relative_to(Path.cwd())
    return os.path.relpath(path) if is_inside else str(path)


# ---------------------------------------------------------------- running


def _run_batch(batch: Batch) -> list[Outcome]:
    """Run the notebooks one after the other; one that fails does not stop the others.

    The kernel of the next notebook starts while the one before draws its figures on one core.
    """
    with ExitStack() as stack:
        # All are read before the first one runs.
        turns = [_turn(batch, number) for number in range(len(batch.notebooks))]
        for turn in turns:
            stack.callback(turn.kernel.stop)
        pairs = zip_longest(turns, turns[1:])
        return [_take(turn, following, batch) for turn, following in pairs]


@dataclass(frozen=True)
class _Turn:
    """A notebook of a batch, ready to run."""

    path: Path
    parameters: Mapping[str, Any]
    status: StatusLine
    kernel: Kernel


def _turn(batch: Batch, number: int) -> _Turn:
    """Return the notebook of this number, from 0, with those of the parameters that it declares."""
    path = batch.notebooks[number]
    notebook = load(path)
    declared = declared_parameters(notebook)
    parameters = {name: v for name, v in batch.parameters.items() if name in declared}
    status = StatusLine(f"[{number + 1}/{len(batch.notebooks)}] {path.stem}")
    environment = {**batch.environment, "PRUNCAM_PROGRESS": str(status.file)}
    return _Turn(path, parameters, status, Kernel(notebook, path.resolve().parent, environment))


def _take(turn: _Turn, following: _Turn | None, batch: Batch) -> Outcome:
    """Run a notebook; print its progress and, if it fails, its error."""
    with turn.status as status:
        run = partial(
            run_notebook,
            turn.path,
            turn.parameters,
            batch.out_folder,
            kernel=turn.kernel,
            following=following.kernel if following else None,
            watch=status.show_cell,
        )
        outcome = _run_one(turn.path.stem, run, batch.results)
        status.outcome = "failed" if outcome.failure else "done"
    _report_failure(outcome)
    return outcome


def _run_one(notebook: str, run: Callable[[], Path], results: Path) -> Outcome:
    """Run one notebook; its claims count only if this run wrote them."""
    outcome = Outcome(notebook, study_of(notebook))
    claims = results / (outcome.study or "") / "claims.csv"
    before = _file_identity(claims)
    start = time.monotonic()
    try:
        run()
    except NotebookFailed as failure:
        outcome.failure = failure
    outcome.seconds = time.monotonic() - start
    if outcome.study and _file_identity(claims) not in (None, before):
        outcome.verdicts = _count_verdicts(claims)
    return outcome


def _report_failure(outcome: Outcome) -> None:
    """Print where a failed notebook and its error are, and the last lines of the error."""
    if outcome.failure:
        notebook = _short_path(outcome.failure.notebook)
        log = _short_path(outcome.failure.log)
        lines = str(outcome.failure).splitlines()[-_LOG_LINES:]
        heading = f"saved as {notebook}, its error in {log}:"
        print(heading, *lines, sep="\n    ", file=sys.stderr)


def _file_identity(path: Path) -> tuple[int, int, int] | None:
    """Return values that change when a file is rewritten, even if its time stamp does not."""
    if not path.is_file():
        return None
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_ino, stat.st_size


def _count_verdicts(claims: Path) -> Counter[str]:
    rows = read_rows(claims, RUN_AGAIN)
    return Counter(row["verdict"] for row in rows)
