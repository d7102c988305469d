"""The command `pruncam verify`: which studies, where they run, and what is printed."""

import datetime
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pruncam._core import paths
from pruncam._core.leftovers import temporary_folder
from pruncam._core.machine import Machine
from pruncam.datasets import DataError, catalog
from pruncam.report import manifest
from pruncam.reproduce import verification
from pruncam.reproduce.gallery import write_gallery
from pruncam.reproduce.notebook_list import NOTEBOOKS, missing_data
from pruncam.reproduce.options import RunOptions
from pruncam.reproduce.study_classes import study_class
from pruncam.reproduce.table_check import TableCheck
from pruncam.reproduce.text_table import aligned
from pruncam.reproduce.verification import Committed, Verification

_HEADINGS = ("table", "the number that moved furthest", "moved", "numbers")
_LONGEST = 90  # characters of the name of a number


@dataclass(frozen=True)
class VerifyOptions(RunOptions):
    """The options of `pruncam verify`, beside those of a run."""

    keep: str | None = field(
        default=None,
        metadata={
            "help": "folder in which an interrupted verification is kept, to continue from it",
            "metavar": "DIR",
        },
    )
    record: bool = field(
        default=False,
        metadata={"help": f"if all holds, write {verification.RECORD} beside the manifest"},
    )


def verify(options: VerifyOptions) -> int:
    """Run committed studies anew and print what moved; return 1 if something broke, else 0.

    Raises ValueError for an unknown study or one that is not committed, and DataError, before
    anything is computed, if data sets are missing.
    """
    folders = _committed_folders(options)
    if options.record and options.profile == "quick":
        raise ValueError("--record: the tables that the tests expect have no manifest to go with")
    machine = Machine(device=options.device, data_dir=options.data or None)
    _ensure_data(list(folders), options)
    results = [Committed.read(folder) for folder in folders.values()]
    failed = []
    with _scratch_folder(options.keep) as scratch:
        for study, committed in zip(folders, results, strict=True):
            print(f"{study}, profile {options.profile}: {_short(committed.folder)}", flush=True)
            if not _verify(study, committed, options, machine, scratch):
                failed.append(study)
    if options.record:
        write_gallery(_figures())
    kept = len(folders) - len(failed)
    print(f"{kept} of {len(folders)} committed results hold", *_named(failed), sep="; ")
    print("moved: as a share of what is allowed, which is an interval or a stated tolerance")
    return int(bool(failed))


def _verify(
    name: str, committed: Committed, options: VerifyOptions, machine: Machine, scratch: Path
) -> bool:
    """Verify one study and print the outcome; return whether it holds."""
    study_type = study_class(name)
    with paths.cache_in(scratch):
        study = study_type(study_type.configure(options.profile), machine=machine)
        study.load()
        reasons = verification.outdated(committed, study)
        if reasons:
            print(*(f"  broken: {reason}" for reason in reasons), sep="\n")
            command = f"make reproduce PROFILE={options.profile} STUDY={name}"
            print(f"  not run: `{command}` makes a result to commit\n", flush=True)
            return False
        outcome = verification.compare(committed, study.run())
    print(*_report(outcome), sep="\n", end="\n\n", flush=True)
    if outcome.passed and options.record:
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        print(f"  recorded in {_short(verification.record(committed, outcome, today))}\n")
    return outcome.passed


# ---------------------------------------------------------------- what to verify, and where


def _committed_folders(options: VerifyOptions) -> dict[str, Path]:
    """Return the folder of every committed result of the profile, or of the one study.

    Of the quick profile, the tables that the tests expect are committed.
    """
    root = paths.project_root()
    parent = _figures() / options.profile
    if options.profile == "quick":
        parent = root / "tests" / "expected" / "quick"
    folders = {study: parent / study for study in NOTEBOOKS}
    folders = {study: folder for study, folder in folders.items() if any(folder.glob("*.csv"))}
    if not folders:
        raise ValueError(f"no results of profile {options.profile!r} are committed in {parent}")
    if not options.study:
        return folders
    if options.study not in folders:
        raise ValueError(
            f"no results of study {options.study!r} are committed for profile "
            f"{options.profile!r}: choose one of {', '.join(folders)}"
        )
    return {options.study: folders[options.study]}


def _figures() -> Path:
    """Return the folder of the committed figures; PRUNCAM_FIGURES has no effect."""
    return paths.project_root() / "figures"


def _ensure_data(studies: Sequence[str], options: VerifyOptions) -> None:
    """Raise DataError, which names all of them, if data sets are missing."""
    missing = {
        name: study
        for study in studies
        for name in missing_data(study, options.profile, options.data)
    }
    if missing:
        needs = [
            f"{study} needs {name}: {catalog.how_to_get(name)}" for name, study in missing.items()
        ]
        raise DataError(f"data sets are missing: {'; '.join(needs)}")


@contextmanager
def _scratch_folder(named: str | None) -> Iterator[Path]:
    """Provide a folder for the steps of the new run, removed when all studies are done.

    In the folder that is named, it stays after an interruption; another revision of the code has
    another one. Without a name, it is on the disk with more room, and never stays.
    """
    if named:
        folder = Path(named).expanduser().resolve() / f"pruncam-verify-{manifest.revision()}"
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
        shutil.rmtree(folder)
        return
    data = paths.project_root() / "data"
    places = [Path(tempfile.gettempdir()), *filter(Path.is_dir, [data])]
    roomiest = max(places, key=lambda place: shutil.disk_usage(place).free)
    with temporary_folder("pruncam-verify", roomiest) as temporary:
        yield Path(temporary)


# ---------------------------------------------------------------- text


def _report(outcome: Verification) -> Iterator[str]:
    """Iterate over the lines of one study: a table of its tables, then notes and breaks."""
    rows = [_row(check) for check in outcome.checks]
    yield from (f"  {line}" for line in aligned([_HEADINGS, *rows], text_columns=2))
    for check in outcome.checks:
        yield from (f"  note: {check.table}: {text}" for text in check.notes)
    for check in outcome.checks:
        yield from (f"  broken: {check.table}: {text}" for text in check.breaks)
    minutes = outcome.manifest["wall_seconds"] / 60
    yield f"  {'holds' if outcome.passed else 'broken'}, after {minutes:.1f} minutes"


def _row(check: TableCheck) -> list[str]:
    """Return the cells of one table; a movement is a share of what is allowed."""
    if check.largest is None:
        return [check.table, "", "0 %", f"{check.held:,}"]
    text = str(check.largest)
    shortened = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
    return [check.table, shortened, f"{100 * check.largest.share:.3g} %", f"{check.held:,}"]


def _named(failed: Sequence[str]) -> list[str]:
    return [f"broken: {', '.join(failed)}"] if failed else []


def _short(path: Path) -> str:
    """Return a path relative to the project, if it is inside it."""
    root = paths.project_root()
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
