"""All notebooks in one go: `python -m pruncam reproduce`, and the refreshing of what is committed of them."""

import csv
import os
import re
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from pruncam import places
from pruncam.choices import DEVICES, PROFILES, check_choice
from pruncam.execution import NotebookFailed, clean, declared_parameters, load, run_notebook, save
from pruncam.report import readme
from pruncam.report.gallery import write_gallery

STUDIES = {
    "csg": "01_csg_complexity",
    "sweeps": "02_pruning_sweeps",
    "sp2ps": "03_sp2ps",
    "pe_score": "04_pe_score",
    "mnist_iou": "05_mnist_iou",
}
VERDICTS = {  # as claims.csv has them -> heading of the table
    "reproduced": "reproduced",
    "not reproduced": "not reproduced",
    "undecided": "undecided",
    "not tested here": "not tested",
    "holds on stand-in": "holds*",
    "fails on stand-in": "fails*",
}
LAST_LINES = 15  # of a failed notebook's log, enough for the error and the line that raised it


@dataclass
class Outcome:
    """How one notebook went."""

    notebook: str
    study: str | None
    seconds: float = 0.0
    failure: NotebookFailed | None = None
    verdicts: Counter = field(default_factory=Counter)


# ---------------------------------------------------------------- the three commands


def reproduce(profile: str = "quick", study: str | None = None, device: str = "auto", data: str | None = None) -> int:
    """Run the notebooks, one study's or all; a table at the end; 0 where all went through, else 1."""
    check_choice("profile", profile, PROFILES)
    paths = _chosen(study)
    _check_device(device)
    parameters: dict[str, Any] = {"profile": profile, "device": device}
    if data:
        parameters["data_dir"] = str(_existing_folder(data))
    _ensure_data(paths, profile, parameters.get("data_dir"))
    runs, environment = _runs_folder() / profile, _absolute_folders()
    outcomes = _run_all(paths, parameters, runs, environment, profile)
    _refresh_pages(Path(environment["PRUNCAM_FIGURES"]), profile)
    print("\n" + summary(outcomes))
    print(f"\nresults    {_short(Path(environment['PRUNCAM_FIGURES']) / profile)}\nnotebooks  {_short(runs)}")
    return int(any(outcome.failure for outcome in outcomes))


def _refresh_pages(figures: Path, profile: str) -> None:
    """The gallery of all results; and, where committed results may have changed, the tables in README."""
    write_gallery(figures)
    if profile != "quick" and figures == places.project_root() / "figures":
        readme.refresh(places.project_root() / "README.md", readme.RESULTS, readme.results(figures))


def refresh_notebooks() -> int:
    """Execute every notebook and every worked solution with its own defaults, on a fresh cache, and write it back."""
    paths, runs = [*_chosen(None), *_numbered("notebooks/solutions")], _runs_folder() / "notebooks"
    with _fresh_folders() as environment:
        outcomes = _run_all(paths, {}, runs, environment, "quick")
    for path, outcome in zip(paths, outcomes, strict=True):
        if not outcome.failure:
            save(committable(load(runs / path.name)), path)
    return int(any(outcome.failure for outcome in outcomes))


def refresh_expected() -> int:
    """Make the tables of the quick profile, run on a fresh cache, the expected ones; unless a notebook fails."""
    expected = places.project_root() / "tests" / "expected" / "quick"
    with _fresh_folders() as environment:
        outcomes = _run_all(_chosen(None), {"profile": "quick"}, _runs_folder() / "expected", environment, "quick")
        if any(outcome.failure for outcome in outcomes):
            return 1
        for old in expected.glob("*/*.csv"):
            old.unlink()
        results = Path(environment["PRUNCAM_FIGURES"]) / "quick"
        for table in sorted(results.glob("*/*.csv")):
            target = expected / table.relative_to(results)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(table, target)
    return 0


def committable(notebook: Any) -> Any:
    """Take out, in place, what would differ at the next refresh: injected cells, and widgets, whose ids are random."""
    notebook.cells = [c for c in notebook.cells if "injected-parameters" not in c.metadata.get("tags", [])]
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)
    return clean(notebook)


# ---------------------------------------------------------------- which notebooks, where


def _numbered(folder: str) -> list[Path]:
    """The numbered notebooks of a folder of the project, in the order of their numbers."""
    paths = (places.project_root() / folder).glob("*.ipynb")
    return sorted((p for p in paths if re.match(r"\d+_", p.name)), key=lambda p: (int(p.name.split("_")[0]), p.name))


def _chosen(study: str | None) -> list[Path]:
    """The notebooks to run: all, or the one of `study`."""
    paths = _numbered("notebooks")
    if not paths:
        raise ValueError(f"no notebook named NN_*.ipynb in {places.project_root() / 'notebooks'}")
    if not study:
        return paths
    there = {name: path for name, stem in STUDIES.items() for path in paths if path.stem == stem}
    if study not in there:
        what = f"study {study!r} has no notebook yet" if study in STUDIES else f"unknown study {study!r}"
        raise ValueError(f"{what}: choose one of {', '.join(there) or 'none so far'}")
    return [there[study]]


def _check_device(device: str) -> None:
    """Refuse a device that is not here, before anything runs."""
    check_choice("device", device, DEVICES)
    if device in ("cuda", "mps"):
        from pruncam.studies.study import Machine

        Machine(device=device)


def _ensure_data(paths: list[Path], profile: str, data_dir: str | None) -> None:
    """Find, else download, the data sets that the profile of each study names, before anything runs.

    One that is not there is not downloaded where the profile names a stand-in that is.
    """
    import yaml

    from pruncam.datasets import catalog

    folder = places.package_folder() / "profiles" / profile
    for study in (name for name, stem in STUDIES.items() if any(path.stem == stem for path in paths)):
        settings = folder / f"{study}.yaml"
        if settings.is_file():
            for name, stand_ins in _data_sets(yaml.safe_load(settings.read_text())):
                if not any(catalog.find(other, data_dir) for other in stand_ins):
                    catalog.ensure(name, data_dir)


def _data_sets(settings: dict) -> list[tuple[str, list[str]]]:
    """The data sets in a profile, one `dataset` or those of several `halves`, each with its stand-ins."""
    if "dataset" in settings:
        return [(settings["dataset"], [])]
    others = settings.get("stand_ins", [])
    return [(name, [other for stood, other, _ in others if stood == paper]) for paper, name, *_ in settings["halves"]]


def _existing_folder(folder: str) -> Path:
    """The folder as an absolute path: the kernel runs in another one."""
    path = Path(folder).expanduser().resolve()
    if not path.is_dir():
        raise FileNotFoundError(f"the data folder {folder} does not exist")
    return path


def _runs_folder() -> Path:
    """Where executed notebooks go; git ignores it."""
    return places.project_root() / "runs"


def _absolute_folders() -> dict[str, str]:
    """The folders a notebook finds through the environment, absolute: the kernel runs in another one."""
    folders = {"PRUNCAM_CACHE": places.cache_folder(), "PRUNCAM_FIGURES": places.figures_folder("quick").parent}
    if os.environ.get("PRUNCAM_DATA"):
        folders["PRUNCAM_DATA"] = places.data_folders()[0]
    return {name: str(folder.resolve()) for name, folder in folders.items()}


@contextmanager
def _fresh_folders() -> Iterator[dict[str, str]]:
    """An environment with an empty cache and an empty figures folder, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="pruncam-fresh-") as folder:
        fresh = {"PRUNCAM_CACHE": str(Path(folder) / "cache"), "PRUNCAM_FIGURES": str(Path(folder) / "figures")}
        yield {**_absolute_folders(), **fresh}


def _short(path: Path) -> str:
    """A path as seen from here."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


# ---------------------------------------------------------------- running


def _run_all(
    paths: list[Path], parameters: Mapping[str, Any], runs: Path, environment: Mapping[str, str], profile: str
) -> list[Outcome]:
    """Run the notebooks one after the other; one that fails does not stop the others."""
    known = [declared_parameters(load(path)) for path in paths]  # all read before the first one runs
    results, outcomes = Path(environment["PRUNCAM_FIGURES"]) / profile, []
    for number, (path, names) in enumerate(zip(paths, known, strict=True), start=1):
        given = {name: value for name, value in parameters.items() if name in names}
        with StatusLine(f"[{number}/{len(paths)}] {path.stem}") as status:
            told = {**environment, "PRUNCAM_PROGRESS": str(status.file)}
            run = partial(run_notebook, path, given, runs, environment=told, watch=status.cell)
            outcome = _run_one(path.stem, run, results)
            status.ending = "failed" if outcome.failure else "done"
        _report_failure(outcome)
        outcomes.append(outcome)
    return outcomes


def _run_one(notebook: str, run: Callable[[], Path], results: Path) -> Outcome:
    """Run one notebook and say how it went; its claims count only where this run wrote them."""
    outcome = Outcome(notebook, next((study for study, stem in STUDIES.items() if stem == notebook), None))
    claims = results / (outcome.study or "") / "claims.csv"
    before, start = _signature(claims), time.monotonic()
    try:
        run()
    except NotebookFailed as failure:
        outcome.failure = failure
    outcome.seconds = time.monotonic() - start
    if outcome.study and _signature(claims) not in (None, before):
        outcome.verdicts = _read_verdicts(claims)
    return outcome


def _report_failure(outcome: Outcome) -> None:
    """Say where a failed notebook and its error lie, and how it ended."""
    if outcome.failure:
        notebook, log = _short(outcome.failure.notebook), _short(outcome.failure.log)
        lines = str(outcome.failure).splitlines()[-LAST_LINES:]
        print(f"kept as {notebook}, its error in {log}:", *lines, sep="\n    ", file=sys.stderr)


def _signature(path: Path) -> tuple[int, int, int] | None:
    """What changes whenever a file is written anew, whatever the clock of its disk says; None where there is none."""
    if not path.is_file():
        return None
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_ino, stat.st_size


def _read_verdicts(claims: Path) -> Counter:
    """How often each verdict stands in a claims table."""
    with claims.open(newline="", encoding="utf-8") as file:
        return Counter(row["verdict"] for row in csv.DictReader(file))


class StatusLine:
    """One line per notebook: rewritten every second on a terminal, else printed at its start and end and every minute.

    `file` is where the notebook's own work writes how far it is (`pruncam.progress`).
    """

    def __init__(self, label: str, stream: TextIO | None = None):
        self.label, self.stream, self.ending, self.cells = label, stream or sys.stderr, "interrupted", ""
        self.live, self.start = self.stream.isatty(), time.monotonic()
        self._folder = tempfile.TemporaryDirectory(prefix="pruncam-progress-")
        self.file = Path(self._folder.name) / "progress.txt"
        self._over = threading.Event()
        self._ticker = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> "StatusLine":
        if not self.live:
            print(self.label, "started", file=self.stream, flush=True)
        self._ticker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._ticker.join()
        self._folder.cleanup()
        if self.live:
            self.stream.write("\r\x1b[K")
        print(f"{self.label}  {self.ending}  {duration(time.monotonic() - self.start)}", file=self.stream, flush=True)

    def cell(self, cell: int, cells: int) -> None:
        """Say that a cell starts."""
        self.cells = f"cell {cell}/{cells}"

    def _tick(self) -> None:
        while not self._over.wait(1 if self.live else 60):
            line = "  ".join(
                filter(None, [self.label, self.cells, self._work(), duration(time.monotonic() - self.start)])
            )
            self.stream.write(f"\r{line}\x1b[K" if self.live else f"{line}\n")
            self.stream.flush()

    def _work(self) -> str:
        return self.file.read_text() if self.file.is_file() else ""


# ---------------------------------------------------------------- the table at the end


def summary(outcomes: list[Outcome]) -> str:
    """The table of all notebooks: time, and how many claims got which verdict."""
    rows = [["notebook", "study", "time", *VERDICTS.values()]]
    rows += [[o.notebook, o.study or "-", _time_cell(o), *_verdict_cells(o)] for o in outcomes]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(_aligned(row, widths)).rstrip() for row in rows]
    lines.insert(1, "-" * max(len(line) for line in lines))
    unknown = sorted({verdict for o in outcomes for verdict in o.verdicts if verdict not in VERDICTS})
    notes = ["* on stand-in data"] + [f"not counted: the unknown verdict {verdict!r}" for verdict in unknown]
    return "\n".join(lines + notes)


def _time_cell(outcome: Outcome) -> str:
    return duration(outcome.seconds) + (" FAILED" if outcome.failure else "")


def _verdict_cells(outcome: Outcome) -> list[str]:
    """A count per verdict; dashes where this run judged no claim."""
    return [str(outcome.verdicts[verdict]) if outcome.verdicts else "-" for verdict in VERDICTS]


def _aligned(row: list[str], widths: list[int]) -> list[str]:
    """Names to the left, numbers to the right."""
    return [
        cell.ljust(width) if column < 3 else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]


def duration(seconds: float) -> str:
    """Minutes and seconds, and hours where there are any."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes:02d}:{rest:02d}"
